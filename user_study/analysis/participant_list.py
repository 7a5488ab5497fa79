"""Participants as a researcher lists them, and one of them with all answers: traps, times, agreement with the others."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from sqlalchemy import ColumnElement, Connection, Float, cast, func, or_, select

from user_study.analysis import statistics
from user_study.analysis.queries import ListFilter, Listing, filled, page_of
from user_study.database.schema import pair, participant, response, standing_event

PAGE = 50
ANSWERS_SHOWN = 1000
BIN_MS = 500
BINS = 20  # the last one holds everything slower

WHO = {
    "all": "all",
    "included": "included",
    "flagged": "flagged for review",
    "excluded": "excluded",
    "finished": "finished",
    "testers": "testers",
}
ORDERS = {
    "joined": "joined",
    "seen": "last seen",
    "valid": "answers",
    "traps": "traps right",
    "nickname": "nickname",
    "standing": "standing",
}


@dataclass(frozen=True, kw_only=True)
class Filter(ListFilter):
    """Which participants to list; by default those who joined last come first."""

    choices: ClassVar = {"who": WHO, "order": ORDERS}
    who: str = ""
    down: bool = True


@dataclass(frozen=True)
class ParticipantRow:
    """A person without anything that leads to the person: e-mail addresses are never stored, ids of Prolific not shown here.

    `median_ms` is over all answers with a time; None without. `trap_low`, `trap_high`: 95 %.
    """

    id: int
    code: str
    nickname: str
    entry_channel: str
    role: str
    step: str
    standing: str
    standing_reason: str | None
    standing_by: str | None
    flags: tuple[str, ...]
    valid: int
    traps_seen: int
    traps_right: int
    trap_low: float
    trap_high: float
    median_ms: float | None
    created_at: int
    last_seen_at: int
    finished_at: int | None

    @property
    def trap_share(self) -> float | None:
        return self.traps_right / self.traps_seen if self.traps_seen else None


@dataclass(frozen=True)
class ParticipantView:
    """One person.

    Attributes:
        histogram: answers per half second of response time; the last of 20 bins holds everything from 9.5 s on.
        counts: stored answers per (kind, counted, why_not).
        yes_share: of answers to main pairs; None without.
        agreement: mean share of the *others'* counted answers that are the same as this person's; None without.
        repeats, repeats_same: pairs shown twice, and how many got the same answer.
        blurs: share of answers during which the window lost the focus; None without answers.
        answers: rows of `response` with the pair's key, newest first, at most 1,000 of `answers_total`.
        events: rows of `standing_event`, newest first.
    """

    row: ParticipantRow
    external_id: str | None
    completion_code: str | None
    on_leaderboard: bool
    consented_at: int | None
    training_attempts: int
    training_passed_at: int | None
    histogram: tuple[int, ...]
    counts: Sequence[tuple[str, int, str | None, int]]
    yes_share: float | None
    agreement: float | None
    repeats: int
    repeats_same: int
    blurs: float | None
    answers: Sequence[Any]
    answers_total: int
    events: Sequence[Any]


def _conditions(wanted: Filter) -> list[ColumnElement[bool]]:
    p = participant.c
    found: list[ColumnElement[bool]] = [p.role == ("tester" if wanted.who == "testers" else "participant")]
    if wanted.who in ("included", "excluded"):
        found.append(p.standing == wanted.who)
    elif wanted.who == "flagged":
        found += [p.flags != "[]", p.standing == "included"]
    elif wanted.who == "finished":
        found.append(p.finished_at.is_not(None))
    if wanted.search:
        found.append(or_(*(column.contains(wanted.search, autoescape=True) for column in (p.code, p.nickname))))
    return found


def _order(name: str) -> ColumnElement[Any]:
    p = participant.c
    return {
        "joined": p.created_at,
        "seen": p.last_seen_at,
        "valid": p.valid,
        "traps": func.coalesce(cast(p.traps_right, Float) / cast(func.nullif(p.traps_seen, 0), Float), 2.0),
        "nickname": p.nickname_key,
        "standing": p.standing,
    }[name]


def _row(found: Any, median_ms: float | None) -> ParticipantRow:
    low, high = statistics.interval(found.traps_right, found.traps_seen)
    return filled(
        ParticipantRow,
        found,
        entry_channel=found.door,
        flags=tuple(str(flag) for flag in json.loads(found.flags)),
        trap_low=low,
        trap_high=high,
        median_ms=median_ms,
    )


def list_participants(c: Connection, wanted: Filter) -> Listing[ParticipantRow]:
    """A page of the people who fit; a page past the end is the last one. Reads answers of the people of that page alone."""
    order = _order(wanted.order)
    found = page_of(
        c, participant, _conditions(wanted), order.desc() if wanted.down else order.asc(), wanted.page, PAGE
    )
    times: dict[int, list[float]] = {row.id: [] for row in found.rows}
    for person, rt_ms in c.execute(
        select(response.c.participant_id, response.c.rt_ms).where(
            response.c.participant_id.in_(times), response.c.rt_ms.is_not(None), response.c.kind != "training"
        )
    ):
        times[person].append(rt_ms)
    return found.map(lambda row: _row(row, statistics.median(times[row.id])))


def view(c: Connection, code: str) -> ParticipantView | None:
    """The person with this code, with answers; None where there is none."""
    found = c.execute(select(participant).where(participant.c.code == code)).one_or_none()
    if found is None:
        return None
    mine = response.c.participant_id == found.id
    answers = c.execute(
        select(response, pair.c.pair_key, pair.c.yes, pair.c.no, pair.c.unsure, pair.c.truth)
        .join(pair, pair.c.id == response.c.pair_id)
        .where(mine)
        .order_by(response.c.id.desc())
    ).all()
    times = [row.rt_ms for row in answers if row.rt_ms is not None and row.kind != "training"]
    main = [row for row in answers if row.kind == "main"]
    repeats = [row for row in answers if row.kind == "repeat" and row.correct is not None]
    alike = [share for row in main if (share := _alike(row)) is not None]
    tally: dict[tuple[str, int, str | None], int] = {}
    for row in answers:
        key = (row.kind, row.counted, row.why_not)
        tally[key] = tally.get(key, 0) + 1
    events = c.execute(
        select(standing_event).where(standing_event.c.participant_id == found.id).order_by(standing_event.c.id.desc())
    ).all()
    return ParticipantView(
        row=_row(found, statistics.median(times)),
        external_id=found.external_id,
        completion_code=found.completion_code,
        on_leaderboard=bool(found.on_leaderboard),
        consented_at=found.consented_at,
        training_attempts=found.training_attempts,
        training_passed_at=found.training_passed_at,
        histogram=_histogram(times),
        counts=[
            (*key, n) for key, n in sorted(tally.items(), key=lambda item: (item[0][0], -item[0][1], item[0][2] or ""))
        ],
        yes_share=sum(row.answer == "yes" for row in main) / len(main) if main else None,
        agreement=sum(alike) / len(alike) if alike else None,
        repeats=len(repeats),
        repeats_same=sum(row.correct for row in repeats),
        blurs=sum(bool(row.blurs) for row in answers) / len(answers) if answers else None,
        answers=answers[:ANSWERS_SHOWN],
        answers_total=len(answers),
        events=events,
    )


def _alike(row: Any) -> float | None:
    """Share of the others' counted answers to that pair that are the same; None where there are none."""
    same = getattr(row, row.answer)
    others = row.yes + row.no + row.unsure - row.counted
    return (same - row.counted) / others if others > 0 else None


def _histogram(times: Sequence[float]) -> tuple[int, ...]:
    bins = np.clip((np.asarray(times, dtype=float) // BIN_MS).astype(int), 0, BINS - 1)
    return tuple(int(n) for n in np.bincount(bins, minlength=BINS))
