"""A signed-in researcher for tests of the admin pages."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import insert, select
from starlette.testclient import TestClient

from user_study.core.clock import now_ms
from user_study.core.folder import StudyFolder
from user_study.database.schema import admin, audit, session
from user_study.web import sessions

NAME = "ada"


def enter(client: TestClient, study: StudyFolder, name: str = NAME) -> TestClient:
    """Give the client a researcher's session, without the cost of a password."""
    value = f"admin-session-of-{name}-" + "x" * 30
    with study.database.write() as c:
        key = c.execute(insert(admin).values(name=name, password_hash="-", created_at=now_ms())).inserted_primary_key
        c.execute(
            insert(session).values(
                id_hash=sessions.digest(value), admin_id=key[0], created_at=now_ms(), expires_at=now_ms() + 3_600_000
            )
        )
    client.cookies.set("study_admin", value)
    return client


def notes(study: StudyFolder) -> list[tuple[str, str, str]]:
    """(actor, action, target) of the audit log, oldest first."""
    with study.database.read() as c:
        return [
            tuple(row) for row in c.execute(select(audit.c.actor, audit.c.action, audit.c.target).order_by(audit.c.id))
        ]


def text_of(response: Any) -> str:
    """The page without tags, white space folded."""
    assert response.status_code < 500, response.text[:500]
    return " ".join(re.sub(r"<[^>]+>", " ", response.text).split())
