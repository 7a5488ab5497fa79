"""What is tidied up every few seconds: leases that ran out, sessions that are over, rules that turned against somebody."""

from __future__ import annotations

from sqlalchemy import Connection, delete

from user_study.database.schema import session
from user_study.domain import leases, study_state


def sweep(c: Connection, now: int) -> int:
    """Close leases that ran out; returns how many."""
    found = study_state.facts(c)
    closed = leases.sweep(c, now, found.settings.lease_s * 1000)
    c.execute(delete(session).where(session.c.expires_at <= now))
    return closed
