"""The audit log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from starlette.responses import Response

from user_study.admin.deps import AdminRequest, linker, see, whole
from user_study.database.schema import audit

PAGE = 100


@dataclass(frozen=True)
class Listing:
    rows: list[Any]
    page: int
    pages: int


def show(request: AdminRequest) -> Response:
    """GET /admin/audit."""
    with request.database.read() as c:
        total = int(c.execute(select(func.count()).select_from(audit)).scalar_one())
        pages = max(1, -(-total // PAGE))
        page = min(max(whole(request.http.query_params.get("page", "1"), 1), 1), pages)
        rows = c.execute(select(audit).order_by(audit.c.id.desc()).limit(PAGE).offset((page - 1) * PAGE)).all()
        return request.show(
            c,
            "audit.html",
            "/admin/audit",
            "Audit log",
            listing=Listing(list(rows), page, pages),
            link=linker("/admin/audit", {"page": page}, {"page": 1}),
        )


ROUTES = [see("/admin/audit", show)]
