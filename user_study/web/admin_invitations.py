"""Invitation links: made here, shown once, withdrawn here."""

from __future__ import annotations

import secrets

from sqlalchemy import insert, select, update
from starlette.responses import Response

from user_study.database.schema import invitation
from user_study.domain import audit, study_state
from user_study.web.admin_desk import Desk, change, done, see, whole
from user_study.web.errors import Problem
from user_study.web.sessions import digest

MOST_LINKS, MOST_USES = 500, 10_000


def _page(desk: Desk, made: list[str]) -> Response:
    origin = f"{desk.request.url.scheme}://{desk.request.url.netloc}"
    with desk.database.read() as c:
        return desk.show(
            c,
            "invitations.html",
            "/admin/invitations",
            "Invitations",
            rows=c.execute(select(invitation).order_by(invitation.c.id.desc())).all(),
            open_registration=study_state.facts(c).settings.open_registration,
            made=made,
            origin=origin,
        )


def show(desk: Desk) -> Response:
    """GET /admin/invitations."""
    return _page(desk, [])


def make(desk: Desk) -> Response:
    """POST /admin/invitations: the page that answers is the only one that ever shows the links."""
    links, uses = whole(desk.text("links"), 0), whole(desk.text("uses"), 0)
    if not 1 <= links <= MOST_LINKS or not 1 <= uses <= MOST_USES:
        raise Problem(400, "bad_request", f"Make 1 to {MOST_LINKS} links for 1 to {MOST_USES:,} people each.")
    tokens = [secrets.token_urlsafe(18) for _ in range(links)]
    label = desk.text("label", 200)
    with desk.database.write() as c:
        c.execute(
            insert(invitation),
            [{"token_hash": digest(token), "label": label, "uses_left": uses, "created_at": desk.now} for token in tokens],
        )
        audit.note(c, desk.admin, "invitations made", label, {"links": links, "uses": uses}, desk.now)
    origin = f"{desk.request.url.scheme}://{desk.request.url.netloc}"
    return _page(desk, [f"{origin}/invite/{token}" for token in tokens])


def withdraw(desk: Desk) -> Response:
    """POST /admin/invitations/<id>/withdraw."""
    number = desk.request.path_params["id"]
    with desk.database.write() as c:
        label = c.execute(select(invitation.c.label).where(invitation.c.id == number)).scalar_one_or_none()
        if label is None:
            raise Problem(404, "not_found", "There is no such invitation.")
        c.execute(update(invitation).where(invitation.c.id == number).values(uses_left=0))
        audit.note(c, desk.admin, "invitation withdrawn", label, now=desk.now)
    return done("/admin/invitations", "withdrawn")


ROUTES = [
    see("/admin/invitations", show),
    change("/admin/invitations", make),
    change("/admin/invitations/{id:int}/withdraw", withdraw),
]
