"""Invitation links: made here, shown once, withdrawn here."""

from __future__ import annotations

from starlette.responses import Response

from user_study.admin.deps import Desk, change, done, see, whole
from user_study.core import study_state
from user_study.participant import invitations
from user_study.web.errors import Problem

MOST_LINKS, MOST_USES = 500, 10_000


def _page(desk: Desk, made: list[str]) -> Response:
    origin = f"{desk.request.url.scheme}://{desk.request.url.netloc}"
    with desk.database.read() as c:
        return desk.show(
            c,
            "invitations.html",
            "/admin/invitations",
            "Invitations",
            rows=invitations.listed(c),
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
    label = desk.text("label", 200)
    with desk.database.write() as c:
        tokens = [invitations.create(c, label, uses, desk.admin, desk.now) for _ in range(links)]
    origin = f"{desk.request.url.scheme}://{desk.request.url.netloc}"
    return _page(desk, [f"{origin}/invite/{token}" for token in tokens])


def withdraw(desk: Desk) -> Response:
    """POST /admin/invitations/<id>/withdraw."""
    with desk.database.write() as c:
        invitations.revoke(c, desk.request.path_params["id"], desk.admin, desk.now)
    return done("/admin/invitations", "withdrawn")


ROUTES = [
    see("/admin/invitations", show),
    change("/admin/invitations", make),
    change("/admin/invitations/{id:int}/withdraw", withdraw),
]
