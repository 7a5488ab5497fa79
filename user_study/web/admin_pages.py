"""The researchers' pages, one module per subject."""

from __future__ import annotations

from starlette.routing import BaseRoute

from user_study.web import (
    admin_audit,
    admin_backup,
    admin_export,
    admin_import,
    admin_invitations,
    admin_login,
    admin_overview,
    admin_pairs,
    admin_people,
    admin_settings,
)

ROUTES: list[BaseRoute] = [
    *admin_login.ROUTES,
    *admin_overview.ROUTES,
    *admin_pairs.ROUTES,
    *admin_people.ROUTES,
    *admin_settings.ROUTES,
    *admin_invitations.ROUTES,
    *admin_import.ROUTES,
    *admin_export.ROUTES,
    *admin_audit.ROUTES,
    *admin_backup.ROUTES,
]
