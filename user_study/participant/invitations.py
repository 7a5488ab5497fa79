"""Invitation links: random tokens, stored as hashes, good for a number of people."""

from __future__ import annotations

import secrets
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from user_study.core import audit
from user_study.core.codes import digest
from user_study.core.errors import StudyError
from user_study.database.schema import invitation


def create(c: Connection, label: str, uses: int, actor: str, now: int) -> str:
    """A new invitation; returns its token, which is never seen again.

    Raises:
        StudyError: a number of uses outside 1 to 100,000, a label longer than 200 characters.
    """
    if not 1 <= uses <= 100_000:
        raise StudyError(f"an invitation is for 1 to 100,000 people, not {uses}")
    if len(label) > 200:
        raise StudyError(f"the label has {len(label)} characters; 200 at most")
    token = secrets.token_urlsafe(16)
    c.execute(insert(invitation).values(token_hash=digest(token), label=label, uses_left=uses, created_at=now))
    audit.note(c, actor, "invitation", label, {"uses": uses}, now)
    return token


def revoke(c: Connection, invitation_id: int, actor: str, now: int) -> None:
    """Let nobody in by it any more."""
    c.execute(update(invitation).where(invitation.c.id == invitation_id).values(uses_left=0))
    audit.note(c, actor, "invitation revoked", str(invitation_id), now=now)


def is_good(c: Connection, token: str) -> bool:
    """Whether somebody may still join by it."""
    query = select(invitation.c.id).where(invitation.c.token_hash == digest(token), invitation.c.uses_left > 0)
    return c.execute(query).first() is not None


def use(c: Connection, token: str) -> bool:
    """Take one use; False: there is none."""
    taken = c.execute(
        update(invitation)
        .where(invitation.c.token_hash == digest(token), invitation.c.uses_left > 0)
        .values(uses_left=invitation.c.uses_left - 1)
    )
    return taken.rowcount == 1


def listed(c: Connection) -> list[Row[Any]]:
    """id, label, uses_left, created_at; the newest first."""
    return list(
        c.execute(
            select(invitation.c.id, invitation.c.label, invitation.c.uses_left, invitation.c.created_at).order_by(
                invitation.c.id.desc()
            )
        )
    )
