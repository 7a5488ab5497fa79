"""Invitation links: made here, shown once, withdrawn here."""

from __future__ import annotations

from starlette.responses import Response

from user_study.admin.deps import AdminRequest, change, done, see, whole
from user_study.core import study_state
from user_study.participant import invitations
from user_study.web.errors import Problem

MOST_LINKS, MOST_USES = 500, 10_000


def _page(request: AdminRequest, made: list[str]) -> Response:
    origin = f"{request.http.url.scheme}://{request.http.url.netloc}"
    with request.database.read() as c:
        return request.show(
            c,
            "invitations.html",
            "/admin/invitations",
            "Invitations",
            rows=invitations.listed(c),
            open_registration=study_state.facts(c).settings.open_registration,
            made=made,
            origin=origin,
        )


def show(request: AdminRequest) -> Response:
    """GET /admin/invitations."""
    return _page(request, [])


def make(request: AdminRequest) -> Response:
    """POST /admin/invitations: the page that answers is the only one that ever shows the links."""
    links, uses = whole(request.text("links"), 0), whole(request.text("uses"), 0)
    if not 1 <= links <= MOST_LINKS or not 1 <= uses <= MOST_USES:
        raise Problem(400, "bad_request", f"Make 1 to {MOST_LINKS} links for 1 to {MOST_USES:,} people each.")
    label = request.text("label", 200)
    with request.database.write() as c:
        tokens = [invitations.create(c, label, uses, request.admin, request.now) for _ in range(links)]
    origin = f"{request.http.url.scheme}://{request.http.url.netloc}"
    return _page(request, [f"{origin}/invite/{token}" for token in tokens])


def withdraw(request: AdminRequest) -> Response:
    """POST /admin/invitations/<id>/withdraw."""
    with request.database.write() as c:
        invitations.revoke(c, request.http.path_params["id"], request.admin, request.now)
    return done("/admin/invitations", "withdrawn")


ROUTES = [
    see("/admin/invitations", show),
    change("/admin/invitations", make),
    change("/admin/invitations/{id:int}/withdraw", withdraw),
]
