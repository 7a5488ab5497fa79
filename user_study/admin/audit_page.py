"""The audit log."""

from __future__ import annotations

from starlette.responses import Response

from user_study.admin.deps import AdminRequest, linker, see, whole
from user_study.analysis.queries import page_of
from user_study.database.schema import audit

PAGE = 100


def show(request: AdminRequest) -> Response:
    """GET /admin/audit."""
    with request.database.read() as c:
        wanted = whole(request.http.query_params.get("page", "1"), 1)
        listing = page_of(c, audit, (), audit.c.id.desc(), wanted, PAGE)
        return request.show(
            c,
            "audit.html",
            "/admin/audit",
            "Audit log",
            listing=listing,
            link=linker("/admin/audit", {"page": listing.page}, {"page": 1}),
        )


ROUTES = [see("/admin/audit", show)]
