"""Which pair comes next: the least answered first, ties broken by chance, SR models balanced for each person.

PostgreSQL passes over rows that somebody else is just taking (FOR UPDATE SKIP LOCKED); SQLite has one writer, so nothing is
ever locked there.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, bindparam, exists, func, or_, select

from user_study.database.engine import TryAgain
from user_study.database.prepared import Prepared
from user_study.database.schema import assignment, pair, response
from user_study.trial.trials import IS_TAKEN, PAIR_WITH_PICTURES, PICTURES, Trial

_LEVEL = pair.c.done + pair.c.open
_SEEN = exists().where(
    assignment.c.participant_id == bindparam("person"),
    assignment.c.pair_id == pair.c.id,
    assignment.c.repeat_no == 0,
    IS_TAKEN,
)


class PairRow(NamedTuple):
    """A pair with its pictures, in the order of `_of_pairs`."""

    id: int
    kind: str
    truth: str | None
    explanation: str | None
    reference_left: int
    reference_right: int
    reference_token: str
    reference_width: int
    reference_height: int
    candidate_token: str
    candidate_width: int
    candidate_height: int


def _of_pairs(*wanted: Any) -> Select[Any]:
    return (
        select(*(pair.c[name] for name in PairRow._fields if name in pair.c), *PICTURES)
        .select_from(PAIR_WITH_PICTURES)
        .where(*wanted)
        .limit(1)
    )


_MAIN = (pair.c.active == 1, pair.c.kind == "main", bindparam("quota") > _LEVEL, pair.c.quota > _LEVEL, ~_SEEN)
_LEAST = Prepared(select(_LEVEL).where(*_MAIN).order_by(_LEVEL, pair.c.shuffle).limit(1))
_ANY = Prepared(_of_pairs(*_MAIN).order_by(_LEVEL, pair.c.shuffle).with_for_update(of=pair, skip_locked=True))
_AT_LEVEL = (
    *_MAIN,
    bindparam("level") == _LEVEL,
    pair.c.shuffle >= bindparam("low"),
    pair.c.shuffle < bindparam("high"),
)
_FROM = Prepared(_of_pairs(*_AT_LEVEL).order_by(pair.c.shuffle).with_for_update(of=pair, skip_locked=True))
_OF_ORIGIN = Prepared(
    _of_pairs(*_AT_LEVEL, pair.c.origin == bindparam("origin"))
    .order_by(pair.c.shuffle)
    .with_for_update(of=pair, skip_locked=True)
)
_SEEN_OF_ORIGIN = Prepared(
    select(pair.c.origin, func.count())
    .join(assignment, assignment.c.pair_id == pair.c.id)
    .where(assignment.c.participant_id == bindparam("person"), assignment.c.kind == "main", IS_TAKEN)
    .group_by(pair.c.origin)
)
_TRAPS = Prepared(
    select(pair.c.id, pair.c.truth, pair.c.reference_left + pair.c.reference_right)
    .where(pair.c.kind == "trap", pair.c.active == 1, ~_SEEN)
    .order_by(pair.c.id)
)
_ONE = Prepared(_of_pairs(pair.c.id == bindparam("pair")))
_EARLIER = (
    select(assignment.c.pair_id, assignment.c.reference_left)
    .join(response, response.c.assignment_id == assignment.c.id)
    .where(
        assignment.c.participant_id == bindparam("person"),
        assignment.c.kind == "main",
        assignment.c.state == "answered",
        assignment.c.position <= bindparam("latest"),
        or_(response.c.why_not.is_(None), response.c.why_not.in_(("surplus", "tester"))),
    )
    .order_by(assignment.c.position)
)
_REPEATED = select(assignment.c.pair_id).where(
    assignment.c.participant_id == bindparam("person"),
    assignment.c.repeat_no == 1,
    assignment.c.kind == "repeat",
    IS_TAKEN,
)


@dataclass(frozen=True)
class Choice:
    """A pair to show, and how. `row` has the pair's pictures; a `Trial` is shown again."""

    row: PairRow | Trial
    kind: str
    repeat_no: int
    reference_left: int


def main_pair(c: Connection, person: int, quota: int, strata: dict[str, int], rng: Random) -> Choice | None:
    """A main pair with room that the person has not seen; None: there is none.

    Raises:
        TryAgain: others are just taking all that is left; begin the transaction again.
    """
    level = least_answered(c, person, quota)
    if level is None:
        return None
    values = {"person": person, "quota": quota, "level": level}
    start = rng.random()
    halves = ({"low": start, "high": 2.0}, {"low": -1.0, "high": start})
    for origin in _origins(c, person, strata, rng):
        for half in halves:
            row = _OF_ORIGIN.first(c, {**values, **half, "origin": origin})
            if row is not None:
                return _sided(PairRow(*row), rng)
    for half in halves:
        row = _FROM.first(c, {**values, **half})
        if row is not None:
            return _sided(PairRow(*row), rng)
    row = _ANY.first(c, {"person": person, "quota": quota})
    if row is None:
        raise TryAgain
    return _sided(PairRow(*row), rng)


def least_answered(c: Connection, person: int, quota: int) -> int | None:
    """Answers (given and under way) of the least answered pair that the person may get; None: no such pair."""
    row = _LEAST.first(c, {"person": person, "quota": quota})
    return None if row is None else int(row[0])


def trap_pair(c: Connection, person: int, truth: str, rng: Random) -> Choice | None:
    """The least shown trap that the person has not seen, of the wanted polarity where there is one."""
    rows = _TRAPS.rows(c, {"person": person})
    fitting = [row for row in rows if row[1] == truth] or rows
    if not fitting:
        return None
    least = min(row[2] for row in fitting)
    chosen = rng.choice([row[0] for row in fitting if row[2] == least])
    return _sided(_one(c, chosen), rng)


def repeat_pair(c: Connection, person: int, latest: int, rng: Random) -> Choice | None:
    """A pair that the person answered at position `latest` or before, with its sides exchanged; not a second time."""
    earlier = c.execute(_EARLIER, {"person": person, "latest": latest}).all()
    if not earlier:
        return None
    done = set(c.execute(_REPEATED, {"person": person}).scalars())
    fitting = [row for row in earlier if row[0] not in done]
    if not fitting:
        return None
    pair_id, left = rng.choice(fitting)
    return Choice(_one(c, pair_id), "repeat", 1, 1 - left)


def training_pair(c: Connection, pair_id: int, attempt: int, rng: Random) -> Choice:
    """A pair of the training block, on random sides."""
    return Choice(_one(c, pair_id), "training", attempt, rng.randrange(2))


def _one(c: Connection, pair_id: int) -> PairRow:
    return PairRow(*_ONE.rows(c, {"pair": pair_id})[0])


def _sided(row: PairRow, rng: Random) -> Choice:
    less = row.reference_left - row.reference_right
    left = rng.randrange(2) if less == 0 else int(less < 0)
    return Choice(row, row.kind, 0, left)


def _origins(c: Connection, person: int, strata: dict[str, int], rng: Random) -> list[str]:
    """SR models, the one first that the person has seen least of, for its number of pairs."""
    if len(strata) < 2:
        return []
    seen: dict[str, int] = dict(_SEEN_OF_ORIGIN.rows(c, {"person": person}))
    return sorted(strata, key=lambda origin: (seen.get(origin, 0) / max(1, strata[origin]), rng.random()))
