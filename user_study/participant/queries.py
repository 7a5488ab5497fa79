"""What participant pages show of the study as a whole."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, func, select

from user_study.database.prepared import Prepared
from user_study.database.schema import pair, participant
from user_study.trial.trials import PAIR_WITH_PICTURES, PICTURES

SHOWN = 3  # examples of each kind
SECONDS_A_PAIR = 5  # of people who took part in studies of this kind: 3 to 4 s, and the breaks
PRACTICE_MINUTES = 3  # consent, instructions, practice


@dataclass(frozen=True)
class Total:
    """Answers of the study: given, wanted, and of how many people."""

    done: int
    wanted: int
    people: int


@dataclass(frozen=True)
class Picture:
    """Address and size of an image."""

    token: str
    width: int
    height: int


@dataclass(frozen=True)
class Example:
    """A pair with its explanation."""

    reference: Picture
    candidate: Picture
    explanation: str


def total(c: Connection) -> Total:
    """How far the study is."""
    ((done, wanted, people),) = _TOTAL.rows(c, {})
    return Total(int(done), int(wanted), int(people))


def minutes(pairs: int) -> int:
    """About how long a person needs for `pairs` pairs."""
    return PRACTICE_MINUTES + max(1, round(pairs * SECONDS_A_PAIR / 60))


def examples(c: Connection, truth: str) -> list[Example]:
    """Worked examples of one truth. A study without any shows pairs of the practice instead."""
    rows = _EXAMPLES.rows(c, {"truth": truth}) or _TRAINING.rows(c, {"truth": truth})
    return [Example(Picture(*row[:3]), Picture(*row[3:6]), row[6]) for row in rows]


_PEOPLE = (
    select(func.count())
    .select_from(participant)
    .where(participant.c.valid > 0, participant.c.role == "participant")
    .scalar_subquery()
)
_TOTAL = Prepared(
    select(func.coalesce(func.sum(pair.c.done), 0), func.coalesce(func.sum(pair.c.quota), 0), _PEOPLE).where(
        pair.c.kind == "main", pair.c.active == 1
    )
)
_PRACTICE = (
    select(*PICTURES, pair.c.explanation)
    .select_from(PAIR_WITH_PICTURES)
    .where(pair.c.kind == "training", pair.c.active == 1, pair.c.truth == bindparam("truth"), pair.c.explanation != "")
    .order_by(pair.c.id)
    .limit(SHOWN)
)
_TRAINING = Prepared(_PRACTICE)
_EXAMPLES = Prepared(_PRACTICE.where(pair.c.extra.like('%"example": true%')))
