"""participants.csv and traps.csv."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select

from user_study.analysis.queries import count_if
from user_study.analysis.statistics import interval, median
from user_study.analysis.trap_list import list_traps
from user_study.database.schema import participant, response
from user_study.exports.options import Options, guarded, iso, write_csv

PARTICIPANTS = (
    "participant", "door", "role", "standing", "standing_reason", "standing_by", "standing_at", "flags", "step",
    "answers", "counted", "yes_share", "traps_seen", "traps_right", "trap_low", "trap_high", "repeats_seen", "repeats_same",
    "median_rt_ms", "training_attempts", "training_passed_at", "consented_at", "created_at", "last_seen_at", "finished_at",
)  # fmt: skip
NAMED = ("nickname", "external_id", "external_study", "external_session")
TRAPS = (
    "pair_id", "kind", "truth", "active", "retired_reason", "seen", "right", "passing_seen", "passing_right",
    "low", "high", "suspect",
)  # fmt: skip


def participants(c: Connection, path: Path, options: Options) -> int:
    """One row per person. Clean: nobody who is excluded, and no tester."""
    query = select(participant).order_by(participant.c.id)
    if not options.raw:
        query = query.where(participant.c.standing == "included", participant.c.role == "participant")
    header = (*PARTICIPANTS, *(NAMED if options.names else ()))
    return write_csv(path, header, _people(c, query, options))


def _people(c: Connection, query: Any, options: Options) -> Iterator[tuple[Any, ...]]:
    tallies, times = _tallies(c), _median_times(c)
    for row in c.execute(query).all():
        answers, counted, yes, repeats, same = tallies.get(row.id, (0, 0, 0, 0, 0))
        low, high = interval(row.traps_right, row.traps_seen)
        named = [guarded(getattr(row, name)) for name in NAMED] if options.names else []
        yield (
            row.code, row.door, row.role, row.standing, guarded(row.standing_reason), guarded(row.standing_by),
            iso(row.standing_at), " ".join(json.loads(row.flags)), row.step, answers, counted,
            round(yes / answers, 4) if answers else None, row.traps_seen, row.traps_right, round(low, 4), round(high, 4),
            repeats, same, times.get(row.id), row.training_attempts, iso(row.training_passed_at), iso(row.consented_at),
            iso(row.created_at), iso(row.last_seen_at), iso(row.finished_at), *named,
        )  # fmt: skip


def _tallies(c: Connection) -> dict[int, tuple[int, int, int, int, int]]:
    """Of each person: answers to main pairs, those that count, Yes among them; repeats, those answered as before."""
    main, repeat = response.c.kind == "main", response.c.kind == "repeat"
    rows = c.execute(
        select(
            response.c.participant_id,
            count_if(main),
            count_if(main & (response.c.counted == 1)),
            count_if(main & (response.c.answer == "yes")),
            count_if(repeat & response.c.correct.is_not(None)),
            count_if(repeat & (response.c.correct == 1)),
        )
        .where(response.c.participant_id.is_not(None), response.c.why_not.is_distinct_from("undone"))
        .group_by(response.c.participant_id)
    )
    return {row[0]: (int(row[1]), int(row[2]), int(row[3]), int(row[4]), int(row[5])) for row in rows}


def _median_times(c: Connection) -> dict[int, float]:
    rows = c.execute(
        select(response.c.participant_id, response.c.rt_ms)
        .where(
            response.c.participant_id.is_not(None),
            response.c.rt_ms.is_not(None),
            response.c.kind != "training",
            response.c.why_not.is_distinct_from("undone"),
        )
        .order_by(response.c.participant_id)
    )
    times: dict[int, list[float]] = {}
    for person, time in rows:
        times.setdefault(person, []).append(time)
    medians = {person: median(values) for person, values in times.items()}
    return {person: round(value, 1) for person, value in medians.items() if value is not None}


def traps(c: Connection, path: Path, options: Options) -> int:
    """One row per trap and training pair. Clean: of active ones, answers of people who are not excluded in `passing_`."""
    rows = [row for kind in ("trap", "training") for row in list_traps(c, kind) if options.raw or row.active]
    return write_csv(
        path,
        TRAPS,
        (
            (
                row.key, row.kind, row.truth, int(row.active), guarded(row.retired_reason), row.seen, row.right,
                row.passing_seen, row.passing_right, round(row.low, 4), round(row.high, 4), int(row.suspect),
            )
            for row in rows
        ),
    )  # fmt: skip
