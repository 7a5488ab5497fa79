"""Places that assignments hold in the quota of their pairs: taken, given back, renewed, ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Protocol

from sqlalchemy import Connection, bindparam, case, select, update

from user_study.database.prepared import Prepared
from user_study.database.schema import assignment, pair, participant
from user_study.trial.person import Person
from user_study.trial.trials import IS_OPEN, Trial, open_trials

LONGEST = 4  # leases: a trial that stays on the screen is not renewed for longer
GRACE_MS = 20_000  # after leaving the page, so that a reload finds its trial again

_TAKE = Prepared(
    update(pair)
    .where(pair.c.id == bindparam("pair"))
    .values(
        open=pair.c.open + bindparam("place"),
        reference_left=pair.c.reference_left + bindparam("left"),
        reference_right=pair.c.reference_right + 1 - bindparam("left"),
    )
)
_GIVE_BACK = Prepared(
    update(pair)
    .where(pair.c.id == bindparam("pair"))
    .values(
        open=pair.c.open - bindparam("place"),
        reference_left=pair.c.reference_left - bindparam("left"),
        reference_right=pair.c.reference_right - 1 + bindparam("left"),
    )
)
_CLOSE = Prepared(
    update(assignment)
    .where(assignment.c.id == bindparam("of"), assignment.c.state == "open")
    .values(state=bindparam("new"), closed_at=bindparam("at"))
)
_RENEW = Prepared(
    update(assignment)
    .where(assignment.c.participant_id == bindparam("person"), IS_OPEN)
    .values(expires_at=bindparam("until"))
)


class Lease(Protocol):
    """What closing needs of an assignment."""

    @property
    def id(self) -> int: ...
    @property
    def pair_id(self) -> int: ...
    @property
    def kind(self) -> str: ...
    @property
    def reference_left(self) -> int: ...


def holds(kind: str, tester: bool) -> bool:
    """Whether an assignment takes a place in its pair's quota."""
    return kind == "main" and not tester


def take(c: Connection, pair_id: int, kind: str, reference_left: int, tester: bool) -> None:
    """Take a place and count the side. Repeats and training leave no trace on the pair."""
    if kind in ("main", "trap") and not tester:
        _TAKE.change(c, {"pair": pair_id, "place": int(holds(kind, tester)), "left": reference_left})


def close(c: Connection, leases: Sequence[Lease], state: str, tester: bool, now: int) -> None:
    """End assignments without an answer (`expired`, `released`); their places are free again."""
    for lease in sorted(leases, key=lambda lease: lease.pair_id):
        closed = _CLOSE.change(c, {"of": lease.id, "new": state, "at": now})
        if closed and lease.kind in ("main", "trap") and not tester:
            _GIVE_BACK.change(
                c, {"pair": lease.pair_id, "place": int(holds(lease.kind, tester)), "left": lease.reference_left}
            )


def give_up(c: Connection, person: Person, trials: Sequence[Trial], state: str, now: int) -> None:
    """Close open trials of a person who is locked; the caller saves the person."""
    close(c, trials, state, person.tester, now)
    person.position = max(0, person.position - sum(trial.kind != "training" for trial in trials))


def release_all(c: Connection, person: Person, now: int) -> list[int]:
    """Close all open trials of a person who is locked; returns the pairs whose places are free again."""
    trials = open_trials(c, person.id)
    give_up(c, person, trials, "released", now)
    return [trial.pair_id for trial in trials if trial.kind == "main"]


def renew(c: Connection, person: int, until: int) -> None:
    """Let all open assignments of a person run until then."""
    _RENEW.change(c, {"person": person, "until": until})


def expire(c: Connection, now: int, lease_ms: int, limit: int = 500) -> int:
    """Close what has run out, of everybody; returns how many.

    Leases that end later than any lease can (the machine's clock was turned back between two starts) are cut.
    """
    c.execute(
        update(assignment).where(IS_OPEN, assignment.c.expires_at > now + lease_ms).values(expires_at=now + lease_ms)
    )
    rows = c.execute(
        select(
            assignment.c.id,
            assignment.c.pair_id,
            assignment.c.kind,
            assignment.c.reference_left,
            assignment.c.participant_id,
            participant.c.role,
        )
        .join(participant, participant.c.id == assignment.c.participant_id)
        .where(IS_OPEN, assignment.c.expires_at <= now)
        .order_by(assignment.c.participant_id, assignment.c.id)
        .limit(limit)
        .with_for_update(of=[participant, assignment], skip_locked=True)
    ).all()
    for tester in (False, True):
        close(c, [row for row in rows if (row.role == "tester") == tester], "expired", tester, now)
    lost = Counter(row.participant_id for row in rows if row.kind != "training")
    for person, count in sorted(lost.items()):
        position = participant.c.position - count
        c.execute(
            update(participant)
            .where(participant.c.id == person)
            .values(position=case((position < 0, 0), else_=position))
        )
    return len(rows)
