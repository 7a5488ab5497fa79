"""Pairs as a researcher lists them: filters, orders, pages; and one pair with every answer it got."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from sqlalchemy import ColumnElement, Connection, Float, cast, func, literal, or_, select
from sqlalchemy.sql.elements import KeyedColumnElement

from user_study.analysis import statistics
from user_study.analysis.queries import ListFilter, Listing, filled, page_of
from user_study.database.schema import image, pair, participant, response

PAGE = 50
ANSWERS_SHOWN = 500
Z2 = 3.8414588206941227  # square of the normal quantile of 97.5 %
DIVIDED_FROM = 10  # answers: below, the interval of nearly every pair holds one half

STATES = {
    "all": "all",
    "complete": "complete",
    "unfinished": "answers missing",
    "untouched": "no answer yet",
    "retired": "retired",
}
FLAGS = {"any": "any", "divided": "people are divided (interval holds 0.5)", "one_sided": "one side shown more often"}
ORDERS = {
    "key": "pair",
    "origin": "origin",
    "answers": "answers",
    "score": "score",
    "uncertainty": "width of the interval",
    "unsure": "not sure",
}


@dataclass(frozen=True, kw_only=True)
class Filter(ListFilter):
    """Which pairs to list; an empty `origin` means all."""

    choices: ClassVar = {"state": STATES, "flag": FLAGS, "order": ORDERS}
    origin: str = ""
    state: str = ""
    flag: str = ""


@dataclass(frozen=True)
class PairRow:
    """A main pair with its score; `score`, `low`, `high` are None without an answer."""

    id: int
    key: str
    origin: str
    quota: int
    done: int
    open: int
    yes: int
    no: int
    unsure: int
    active: bool
    reference_left: int
    reference_right: int
    score: float | None
    low: float | None
    high: float | None

    @property
    def divided(self) -> bool:
        return self.done >= DIVIDED_FROM and self.low is not None and self.low <= 0.5 <= (self.high or 0.0)


@dataclass(frozen=True)
class Picture:
    """One stored image of a pair."""

    token: str
    width: int
    height: int
    name: str


@dataclass(frozen=True)
class PairView:
    """One pair, of any kind, with both pictures and its answers, newest first, at most 500 of `answers_total`."""

    row: PairRow
    kind: str
    truth: str | None
    source: str
    explanation: str | None
    retired_reason: str | None
    reference: Picture
    candidate: Picture
    answers: Sequence[Any]  # rows of `response` with code, nickname, standing and role of the person
    answers_total: int


def _score() -> ColumnElement[Any]:
    """Yes + half of unsure, of the answers; null without answers."""
    return (pair.c.yes + 0.5 * cast(pair.c.unsure, Float)) / cast(func.nullif(pair.c.done, 0), Float)


def _width() -> ColumnElement[Any]:
    """Grows with the width of Wilson's interval (a quarter of its square over z2): SQLite may come without square roots."""
    p, n = _score(), cast(func.nullif(pair.c.done, 0), Float)
    return (p * (1 - p) / n + Z2 / (4 * n * n)) / ((1 + Z2 / n) * (1 + Z2 / n))


def _conditions(wanted: Filter) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = [pair.c.kind == "main", pair.c.active == (0 if wanted.state == "retired" else 1)]
    if wanted.state == "complete":
        found.append(pair.c.done >= pair.c.quota)
    elif wanted.state == "unfinished":
        found.append(pair.c.done < pair.c.quota)
    elif wanted.state == "untouched":
        found.append(pair.c.done == 0)
    if wanted.origin:
        found.append(pair.c.origin == wanted.origin)
    if wanted.search:
        found.append(
            or_(*(column.contains(wanted.search, autoescape=True) for column in (pair.c.pair_key, pair.c.source_key)))
        )
    if wanted.flag == "divided":
        # Wilson's interval inverts the score test: it holds 1/2 where |p - 1/2| <= z / (2 sqrt n)
        distance = _score() - 0.5
        found += [pair.c.done >= DIVIDED_FROM, distance * distance * 4 * cast(pair.c.done, Float) <= Z2]
    elif wanted.flag == "one_sided":
        found.append(func.abs(pair.c.reference_left - pair.c.reference_right) > 2)
    return found


def _orders() -> dict[str, KeyedColumnElement[Any] | ColumnElement[Any]]:
    return {
        "key": pair.c.pair_key,
        "origin": pair.c.origin,
        "answers": pair.c.done,
        "score": func.coalesce(_score(), literal(-1.0)),
        "uncertainty": func.coalesce(_width(), literal(9.0)),
        "unsure": pair.c.unsure,
    }


def _row(found: Any) -> PairRow:
    halves = found.yes + 0.5 * found.unsure
    low, high = statistics.interval(halves, found.done)
    return filled(
        PairRow,
        found,
        key=found.pair_key,
        active=bool(found.active),
        score=halves / found.done if found.done else None,
        low=low if found.done else None,
        high=high if found.done else None,
    )


def list_pairs(c: Connection, wanted: Filter) -> Listing[PairRow]:
    """A page of the main pairs that fit; a page past the end is the last one."""
    order = _orders()[wanted.order]
    found = page_of(c, pair, _conditions(wanted), order.desc() if wanted.down else order.asc(), wanted.page, PAGE)
    return found.map(_row)


def origins(c: Connection) -> list[str]:
    """Names of the SR models of main pairs, sorted."""
    return [str(name) for (name,) in c.execute(select(pair.c.origin).where(pair.c.kind == "main").distinct()) if name]


def view(c: Connection, pair_id: int) -> PairView | None:
    """The pair with its pictures and answers; None where there is no such pair."""
    found = c.execute(select(pair).where(pair.c.id == pair_id)).one_or_none()
    if found is None:
        return None
    pictures = {
        row.id: row
        for row in c.execute(select(image).where(image.c.id.in_((found.reference_image, found.candidate_image))))
    }

    def picture(key: int, name: str) -> Picture:
        return Picture(pictures[key].token, pictures[key].width, pictures[key].height, name)

    total = int(c.execute(select(func.count()).select_from(response).where(response.c.pair_id == pair_id)).scalar_one())
    answers = c.execute(
        select(response, participant.c.code, participant.c.nickname, participant.c.standing, participant.c.role)
        .outerjoin(participant, participant.c.id == response.c.participant_id)
        .where(response.c.pair_id == pair_id)
        .order_by(response.c.id.desc())
        .limit(ANSWERS_SHOWN)
    ).all()
    return PairView(
        row=_row(found),
        kind=found.kind,
        truth=found.truth,
        source=found.source_key,
        explanation=found.explanation,
        retired_reason=found.retired_reason,
        reference=picture(found.reference_image, found.reference_name),
        candidate=picture(found.candidate_image, found.candidate_name),
        answers=answers,
        answers_total=total,
    )
