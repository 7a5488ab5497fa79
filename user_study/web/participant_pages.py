"""Everything a participant sees: plain forms, POST and redirect; only the trial itself needs JavaScript."""

from __future__ import annotations

from starlette.routing import BaseRoute

from user_study.web import participant_data, participant_door, participant_steps

ROUTES: list[BaseRoute] = [*participant_door.ROUTES, *participant_steps.ROUTES, *participant_data.ROUTES]
