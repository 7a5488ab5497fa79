"""Exclusion and restoration: a status with reason, rules, actor and time. No answer is ever deleted.

In one transaction the person's answers leave the counters of their pairs, so that the quotas are open again; restored answers
count only where there is still room, others become "surplus".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update

from user_study.core import audit
from user_study.database.schema import pair, participant, response, standing_event
from user_study.trial import leases
from user_study.trial.person import Person, lock

ANSWERS = ("yes", "no", "unsure")
_LOCK_PAIRS = (
    select(pair.c.id)
    .where(
        pair.c.id.in_(
            select(response.c.pair_id).where(
                response.c.participant_id == bindparam("person"), response.c.kind == "main"
            )
        )
    )
    .order_by(pair.c.id)
    .with_for_update()
)


def exclude(c: Connection, participant_id: int, reason: str, actor: str, now: int, rules_hash: str = "") -> None:
    """Take a person's answers out; nothing happens to somebody who is excluded (but the admin's decision then counts)."""
    person = lock(c, participant_id)
    exclude_locked(c, person, reason, actor, rules_hash, now)
    person.save(c)
    audit.note(c, actor, "exclude", person.code, {"reason": reason[:500]}, now)


def restore(c: Connection, participant_id: int, reason: str, actor: str, now: int, rules_hash: str = "") -> None:
    """Take a person's answers back in where there is room."""
    person = lock(c, participant_id)
    restore_locked(c, person, reason, actor, rules_hash, now)
    person.save(c)
    audit.note(c, actor, "restore", person.code, {"reason": reason[:500]}, now)


def exclude_locked(c: Connection, person: Person, reason: str, actor: str, rules_hash: str, now: int) -> None:
    """`exclude`, for a person who is locked; the caller saves."""
    if not person.included:
        _write(c, person, "excluded", reason, actor, rules_hash, now)
        return
    c.execute(_LOCK_PAIRS, {"person": person.id})
    released = leases.release_all(c, person, now)
    touched = [*subtract(c, person.id), *released]
    c.execute(
        update(response)
        .where(response.c.participant_id == person.id, response.c.counted == 1)
        .values(counted=0, why_not="excluded")
    )
    _write(c, person, "excluded", reason, actor, rules_hash, now)
    fill_from_surplus(c, touched)


def restore_locked(c: Connection, person: Person, reason: str, actor: str, rules_hash: str, now: int) -> None:
    """`restore`, for a person who is locked; the caller saves."""
    if not person.included:
        c.execute(_LOCK_PAIRS, {"person": person.id})
        _count(c, select(response.c.id).where(response.c.participant_id == person.id, response.c.why_not == "excluded"))
        c.execute(
            update(response)
            .where(response.c.participant_id == person.id, response.c.why_not == "excluded")
            .values(why_not="surplus")
        )
    _write(c, person, "included", reason, actor, rules_hash, now)


def subtract(c: Connection, person: int) -> list[int]:
    """Take the person's counted answers out of the pairs' counters; returns the pairs. The answers still say counted=1."""
    for answer in ANSWERS:
        counted = select(response.c.pair_id).where(
            response.c.participant_id == person, response.c.counted == 1, response.c.answer == answer
        )
        c.execute(
            update(pair).where(pair.c.id.in_(counted)).values({"done": pair.c.done - 1, answer: pair.c[answer] - 1})
        )
    touched = select(response.c.pair_id).where(response.c.participant_id == person, response.c.counted == 1)
    return list(c.execute(touched).scalars())


def fill_from_surplus(c: Connection, pairs: Sequence[int]) -> None:
    """Let answers count that came when their pair was full, now that it has room; the earliest first."""
    if pairs:
        _count(
            c,
            select(response.c.id)
            .join(participant, participant.c.id == response.c.participant_id)
            .where(
                response.c.pair_id.in_(pairs),
                response.c.why_not == "surplus",
                participant.c.standing == "included",
                participant.c.role != "tester",
            ),
        )


def _count(c: Connection, which: Any) -> None:
    """Count answers while their pairs have room."""
    rows = c.execute(
        select(response.c.id, response.c.pair_id, response.c.answer)
        .where(response.c.id.in_(which))
        .order_by(response.c.pair_id, response.c.id)
    ).all()
    for row in rows:
        has_room = (
            update(pair)
            .where(pair.c.id == row.pair_id, pair.c.done + pair.c.open < pair.c.quota)
            .values({"done": pair.c.done + 1, row.answer: pair.c[row.answer] + 1})
        )
        if c.execute(has_room).rowcount:
            c.execute(update(response).where(response.c.id == row.id).values(counted=1, why_not=None))


def _write(c: Connection, person: Person, new: str, reason: str, actor: str, rules_hash: str, now: int) -> None:
    person.standing, person.standing_reason, person.standing_by, person.standing_at = new, reason[:500], actor, now
    c.execute(
        insert(standing_event).values(
            participant_id=person.id, standing=new, reason=reason[:500], rules_hash=rules_hash, actor=actor, at=now
        )
    )
