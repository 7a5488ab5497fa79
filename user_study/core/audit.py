"""Who did what to the study. Never a password, a code, or what somebody typed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, insert

from user_study.core.clock import now_ms
from user_study.database.schema import audit


def note(
    c: Connection,
    actor: str,
    action: str,
    target: str = "",
    detail: Mapping[str, Any] | None = None,
    now: int | None = None,
) -> None:
    """Write one line, in the transaction of the change that it records."""
    c.execute(
        insert(audit).values(
            at=now_ms() if now is None else now,
            actor=actor[:80],
            action=action[:40],
            target=target[:200],
            detail=json.dumps(dict(detail or {}), sort_keys=True),
        )
    )
