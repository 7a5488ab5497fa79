"""Testers: people of the study itself, whose answers never count and who are hidden everywhere."""

from __future__ import annotations

from sqlalchemy import Connection, or_, update

from user_study.core import audit
from user_study.core.errors import StudyError
from user_study.database.schema import participant, response
from user_study.trial import exclusion, leases
from user_study.trial.person import lock

ROLES = ("participant", "tester")


def set_role(c: Connection, participant_id: int, role: str, actor: str, now: int) -> None:
    """Make somebody a tester, or a participant again.

    A tester's answers leave the counters of their pairs, for good: made a participant, answers count from then on.

    Raises:
        StudyError: no such person or role.
    """
    if role not in ROLES:
        raise StudyError(f"no role {role!r}; use {' or '.join(ROLES)}")
    person = lock(c, participant_id)
    if person.role == role:
        return
    leases.release_all(c, person, now)  # they hold places as long as the person is no tester
    person.save(c)
    touched = exclusion.subtract(c, person.id) if role == "tester" else []
    c.execute(update(participant).where(participant.c.id == person.id).values(role=role))
    if role == "tester":
        c.execute(
            update(response)
            .where(
                response.c.participant_id == person.id,
                or_(response.c.counted == 1, response.c.why_not.in_(("surplus", "excluded"))),
            )
            .values(counted=0, why_not="tester")
        )
        exclusion.fill_from_surplus(c, touched)
    audit.note(c, actor, "role", person.code, {"role": role}, now)
