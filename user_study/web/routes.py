"""All addresses of the application: the trial's JSON interface, images, participants' pages, researchers' pages."""

from __future__ import annotations

from starlette.routing import BaseRoute

from user_study.admin import (
    audit_page,
    backup_page,
    export_page,
    import_pages,
    invitation_page,
    login_page,
    overview_page,
    pair_pages,
    participant_pages,
    settings_page,
)
from user_study.participant import data_pages, entry_pages, step_pages
from user_study.trial import trial_api
from user_study.web import images

ADMIN: list[BaseRoute] = [
    *login_page.ROUTES,
    *overview_page.ROUTES,
    *pair_pages.ROUTES,
    *participant_pages.ROUTES,
    *settings_page.ROUTES,
    *invitation_page.ROUTES,
    *import_pages.ROUTES,
    *export_page.ROUTES,
    *audit_page.ROUTES,
    *backup_page.ROUTES,
]
ROUTES: list[BaseRoute] = [
    *trial_api.ROUTES,
    *images.ROUTES,
    *entry_pages.ROUTES,
    *step_pages.ROUTES,
    *data_pages.ROUTES,
    *ADMIN,
]
