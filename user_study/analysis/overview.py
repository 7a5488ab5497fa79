"""What the overview of a study shows, from counters and from the newest answers: a million answers do not make it slow.

`progress` is cheap and polled. `reliability` takes longer and is kept by `Reliable` until the counters have moved.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import numpy as np
from sqlalchemy import Connection, and_, case, func, select

from user_study.analysis import statistics
from user_study.analysis.queries import count_if
from user_study.database.schema import pair, participant, response

HOUR = 3_600_000  # ms
ACTIVE_MS = 180_000  # seen since then: active now
NEWEST = 20_000  # answers that a rate is taken from, at most
CURVE_POINTS = 60
SCORE_BINS = 10


@dataclass(frozen=True)
class People:
    """Counts of participants; testers are counted in `testers` alone."""

    joined: int = 0
    active: int = 0
    training: int = 0
    finished: int = 0
    excluded: int = 0
    flagged: int = 0
    testers: int = 0


@dataclass(frozen=True)
class Progress:
    """The state of the collection.

    Attributes:
        target, answers: wanted and counted, over active main pairs.
        pairs, complete, untouched: active main pairs; those with all their answers; those with none.
        out: assignments on screens now.
        yes, no, unsure: counted answers.
        per_hour: counted answers an hour, over the last hour (or since the first of them); 0 where there was none.
        hours_left: at that rate; None where nothing is left or nobody answers.
        traps_seen, traps_right: of people who are not excluded.
        people: counts.
    """

    target: int
    answers: int
    pairs: int
    complete: int
    untouched: int
    out: int
    yes: int
    no: int
    unsure: int
    per_hour: float
    hours_left: float | None
    traps_seen: int
    traps_right: int
    people: People

    @property
    def share(self) -> float:
        """Of the target, in [0, 1]; 0 without a target."""
        return min(self.answers / self.target, 1.0) if self.target else 0.0

    @property
    def trap_interval(self) -> tuple[float, float]:
        return statistics.interval(self.traps_right, self.traps_seen)


@dataclass(frozen=True)
class Reliability:
    """How good the labels are, and how they are distributed.

    Attributes:
        agreement: of single answers.
        split_half: reliability of the labels, 0 .. 1; nan where nothing can be said.
        scores: pairs per tenth of the score, from [0, 0.1) to [0.9, 1].
        filling: (answers, pairs that have so many), by answers.
    """

    agreement: statistics.Agreement
    split_half: float
    scores: tuple[int, ...] = field(default=(0,) * SCORE_BINS)
    filling: tuple[tuple[int, int], ...] = ()


def progress(c: Connection, now: int) -> Progress:
    """Progress of the collection at `now` (ms); reads `pair`, `participant` and the newest answers."""
    sums = {"target": "quota", "answers": "done", "out": "open", "yes": "yes", "no": "no", "unsure": "unsure"}
    row = c.execute(
        select(
            *(func.coalesce(func.sum(pair.c[column]), 0).label(name) for name, column in sums.items()),
            func.count().label("pairs"),
            count_if(pair.c.done >= pair.c.quota).label("complete"),
            count_if(pair.c.done == 0).label("untouched"),
        ).where(pair.c.kind == "main", pair.c.active == 1)
    ).one()
    counts = {name: int(value) for name, value in row._mapping.items()}
    people, traps_seen, traps_right = _people(c, now)
    per_hour = _rate(c, now)
    left = counts["target"] - counts["answers"]
    return Progress(
        **counts,
        per_hour=per_hour,
        hours_left=left / per_hour if left > 0 and per_hour > 0 else None,
        traps_seen=traps_seen,
        traps_right=traps_right,
        people=people,
    )


def _people(c: Connection, now: int) -> tuple[People, int, int]:
    """Counts of people, and traps (seen, right) of those who are not excluded."""
    p = participant.c
    included = and_(p.role == "participant", p.standing == "included")

    real = p.role == "participant"
    row = c.execute(
        select(
            count_if(real),
            count_if(and_(real, p.last_seen_at >= now - ACTIVE_MS)),
            count_if(and_(real, p.step == "training")),
            count_if(and_(real, p.finished_at.is_not(None))),
            count_if(and_(real, p.standing == "excluded")),
            count_if(and_(included, p.flags != "[]")),
            count_if(p.role == "tester"),
            func.coalesce(func.sum(case((included, p.traps_seen), else_=0)), 0),
            func.coalesce(func.sum(case((included, p.traps_right), else_=0)), 0),
        )  # type: ignore[call-overload]
    ).one()
    *counts, seen, right = (int(value) for value in row)
    return People(*counts), seen, right


def _rate(c: Connection, now: int) -> float:
    """Counted answers of main pairs an hour. Reads the newest rows by their key: there is no index of times to keep."""
    newest = (
        select(response.c.answered_at, response.c.kind, response.c.counted)
        .order_by(response.c.id.desc())
        .limit(NEWEST)
        .subquery()
    )
    recent = newest.c.answered_at >= now - HOUR
    hit = and_(recent, newest.c.kind == "main", newest.c.counted == 1)
    count, first = c.execute(select(count_if(hit), func.min(case((recent, newest.c.answered_at))))).one()
    if not count:
        return 0.0
    # a study that began ten minutes ago is not measured by an hour; nor are its first seconds multiplied by 3,600
    window = min(HOUR, max(now - int(first), 60_000))
    return int(count) * HOUR / window


def reliability(c: Connection, unsure: bool = False) -> Reliability:
    """Agreement and reliability of the active main pairs.

    Args:
        unsure: whether "not sure" can be answered: it is a third category of alpha and AC1. Split halves are of yes and no.
    """
    rows = c.execute(
        select(pair.c.yes, pair.c.no, pair.c.unsure, func.count())
        .where(pair.c.kind == "main", pair.c.active == 1)
        .group_by(pair.c.yes, pair.c.no, pair.c.unsure)
    ).all()
    distinct = np.array([tuple(row) for row in rows], dtype=np.int64).reshape(-1, 4)
    counts = np.repeat(distinct[:, :3], distinct[:, 3], axis=0)
    answers = counts.sum(axis=1)
    table = counts if unsure or counts[:, 2].any() else counts[:, :2]
    voted = counts[answers > 0]
    scores = (voted[:, 0] + 0.5 * voted[:, 2]) / voted.sum(axis=1)
    bins = np.bincount(np.minimum((scores * SCORE_BINS + 1e-9).astype(int), SCORE_BINS - 1), minlength=SCORE_BINS)
    filled, often = np.unique(answers, return_counts=True)
    return Reliability(
        agreement=statistics.agreement(table),
        split_half=statistics.split_half(counts[:, 0], counts[:, 1]),
        scores=tuple(int(n) for n in bins),
        filling=tuple((int(a), int(n)) for a, n in zip(filled, often, strict=True)),
    )


class Reliable:
    """Keeps the last `Reliability`; computes it again when the counters have changed, one thread at a time, and at most once in
    `pause_ms`: a page that is polled must not slow the participants down.
    """

    def __init__(self, pause_ms: int = 20_000) -> None:
        self._pause_ms = pause_ms
        self._lock = threading.Lock()
        self._seen: tuple[int, ...] | None = None
        self._at = 0
        self._kept: Reliability | None = None

    def get(self, c: Connection, counters: Progress, unsure: bool, now: int) -> Reliability:
        """The figures at about `counters`."""
        seen = (counters.pairs, counters.yes, counters.no, counters.unsure, int(unsure))
        with self._lock:
            resting = 0 <= now - self._at < self._pause_ms
            if self._kept is None or (seen != self._seen and not resting):
                self._kept, self._seen, self._at = reliability(c, unsure), seen, now
            return self._kept


def curve(c: Connection) -> list[tuple[int, float]]:
    """(ms, share of all answers stored until then) at up to 60 moments, read by key; [] with fewer than two answers.

    Keys count answers; where a person's answers were erased the curve is as if they were still there.
    """
    # two questions: SQLite answers min and max from the ends of an index, but both together by reading all of it
    first, last = (c.execute(select(end(response.c.id))).scalar_one() for end in (func.min, func.max))
    if first is None or first == last:
        return []
    keys = np.unique(np.linspace(first, last, CURVE_POINTS).round().astype(int)).tolist()
    rows = c.execute(
        select(response.c.id, response.c.answered_at).where(response.c.id.in_(keys)).order_by(response.c.id)
    ).all()
    span, latest, points = last - first + 1, 0, []
    for key, at in rows:
        latest = max(latest, int(at))  # the clock of the server may have been set back
        points.append((latest, (int(key) - first + 1) / span))
    return points
