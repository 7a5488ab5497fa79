"""A participant inside one transaction: locked, read once, changed in memory, written once."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, select, update

from user_study.core.errors import StudyError
from user_study.database.prepared import Prepared
from user_study.database.schema import participant, session

CHANGING = (
    "step", "training_attempts", "training_passed_at", "standing", "standing_reason", "standing_by", "standing_at", "flags",
    "warned_at", "position", "valid", "score", "scored_at", "spins", "traps_seen", "traps_right", "finished_at",
    "completion_code", "last_seen_at",
)  # fmt: skip


class UnknownParticipant(StudyError):
    """No such person, or erased meanwhile."""


@dataclass
class Person:
    """Columns of `participant` that the trials need."""

    id: int
    code: str
    nickname: str
    door: str
    role: str
    on_leaderboard: int
    step: str
    training_attempts: int
    training_passed_at: int | None
    standing: str
    standing_reason: str | None
    standing_by: str | None
    standing_at: int | None
    flags: str
    warned_at: int | None
    position: int
    valid: int
    score: int
    scored_at: int
    spins: int
    traps_seen: int
    traps_right: int
    finished_at: int | None
    completion_code: str | None
    last_seen_at: int

    @property
    def tester(self) -> bool:
        """Answers never count, and hold no place."""
        return self.role == "tester"

    @property
    def included(self) -> bool:
        """Not excluded."""
        return self.standing == "included"

    def save(self, c: Connection) -> None:
        """Write what changes."""
        _SAVE.change(c, {"of": self.id, **{f"new_{name}": getattr(self, name) for name in CHANGING}})


_COLUMNS = [participant.c[field.name] for field in dataclasses.fields(Person)]
_SAVE = Prepared(
    update(participant)
    .where(participant.c.id == bindparam("of"))
    .values({name: bindparam(f"new_{name}", type_=participant.c[name].type) for name in CHANGING})
)
# two tabs of one person wait for each other here (PostgreSQL; SQLite has one writer anyway)
_LOCKED = Prepared(select(*_COLUMNS).where(participant.c.id == bindparam("of")).with_for_update(of=participant))
_SEEN = Prepared(select(*_COLUMNS).where(participant.c.id == bindparam("of")))
_WITH_SESSION = (
    select(*_COLUMNS)
    .join(session, session.c.participant_id == participant.c.id)
    .where(session.c.id_hash == bindparam("hash"), session.c.expires_at > bindparam("now"))
)
_OF_SESSION = Prepared(_WITH_SESSION.with_for_update(of=participant))
_SEEN_BY_SESSION = Prepared(_WITH_SESSION)


def lock(c: Connection, participant_id: int) -> Person:
    """The person, kept from other transactions until this one ends.

    Raises:
        UnknownParticipant: erased meanwhile.
    """
    return _found(c, _LOCKED, {"of": participant_id})


def look(c: Connection, participant_id: int) -> Person:
    """The person, only to read."""
    return _found(c, _SEEN, {"of": participant_id})


def lock_of_session(c: Connection, session_hash: str, now: int) -> Person | None:
    """The person whom a session belongs to, locked; None: no such session."""
    row = _OF_SESSION.first(c, {"hash": session_hash, "now": now})
    return None if row is None else Person(*row)


def look_by_session(c: Connection, session_hash: str, now: int) -> Person | None:
    """The person whom a session belongs to, only to read; None: no such session."""
    row = _SEEN_BY_SESSION.first(c, {"hash": session_hash, "now": now})
    return None if row is None else Person(*row)


def _found(c: Connection, query: Prepared, values: dict[str, int]) -> Person:
    row = query.first(c, values)
    if row is None:
        raise UnknownParticipant("this participant is not in the study any more; join again")
    return Person(*row)
