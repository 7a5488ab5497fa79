"""Tables with one row for each answer: the reference study's CSV, ours with everything, and crowd-kit's."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, Select, select

from user_study.database.schema import pair, participant, response, settings_version
from user_study.exports.options import BATCH, Options, iso, wanted_answers, write_csv

LEGACY = ("User Code", "Ground Truth Image", "Super Resolution Image", "Answer", "Timestamp")
CROWDKIT = ("task", "worker", "label")
LOGGED = (
    "rt_ms", "load_ms", "server_ms", "input", "view", "toggles", "zoom_max", "blurs", "blur_ms", "viewport_width",
    "viewport_height", "pixel_ratio", "shown_width", "browser", "category", "where_x", "where_y", "late",
)  # fmt: skip
RESPONSES = (
    "response_id", "participant", "pair_id", "source_id", "origin", "kind", "truth", "answer", "correct", "counted", "why_not",
    "position", "reference_left", "assigned_at", "answered_at", *LOGGED, "settings_id", "settings_hash", "version",
)  # fmt: skip


def _answers(c: Connection, query: Select[Any]) -> Iterator[Row[Any]]:
    """Rows in batches: a million answers do not fit into memory twice."""
    yield from c.execution_options(yield_per=BATCH).execute(query)


def _joined(*columns: Any) -> Select[Any]:
    return (
        select(*columns)
        .select_from(response)
        .join(pair, pair.c.id == response.c.pair_id)
        .outerjoin(participant, participant.c.id == response.c.participant_id)
    )


def legacy(c: Connection, path: Path, options: Options) -> int:
    """The reference study's file, byte for byte in its format: newest first, Yes or No, CRLF, UTC to the second.

    "Not sure" has no place in it and is left out. Erased people have an empty code.
    """
    query = (
        _joined(
            participant.c.code, pair.c.reference_name, pair.c.candidate_name, response.c.answer, response.c.answered_at
        )
        .where(wanted_answers(options), response.c.answer.in_(("yes", "no")))
        .order_by(response.c.answered_at.desc(), response.c.id.desc())
    )
    if options.raw:
        query = query.where(response.c.why_not.is_distinct_from("undone"))
    rows = (
        (
            row.code or "",
            row.reference_name,
            row.candidate_name,
            row.answer.capitalize(),
            datetime.fromtimestamp(row.answered_at // 1000, UTC).strftime("%Y-%m-%d %H:%M:%S"),
        )
        for row in _answers(c, query)
    )
    return write_csv(path, LEGACY, rows, line_end="\r\n")


def responses(c: Connection, path: Path, options: Options) -> int:
    """Everything that is known of each answer, oldest first.

    Clean: what included people answered, traps and repeats as well; raw: also training, and answers that were refused,
    taken back, or given by excluded people and testers.
    """
    kinds = ("main", "trap", "repeat", "training") if options.raw else ("main", "trap", "repeat")
    hashes = {row.id: row.hash for row in c.execute(select(settings_version.c.id, settings_version.c.hash))}
    query = (
        _joined(response, participant.c.code, pair.c.pair_key, pair.c.source_key, pair.c.origin, pair.c.truth)
        .where(wanted_answers(options, kinds, counted_only=False))
        .order_by(response.c.id)
    )
    rows = (
        (
            row.id, row.code or "", row.pair_key, row.source_key, row.origin, row.kind, row.truth, row.answer, row.correct,
            row.counted, row.why_not, row.position, row.reference_left, iso(row.assigned_at), iso(row.answered_at),
            *(getattr(row, name) for name in LOGGED), row.settings_id, hashes[row.settings_id], row.version,
        )
        for row in _answers(c, query)
    )  # fmt: skip
    return write_csv(path, RESPONSES, rows)


def crowdkit(c: Connection, path: Path, options: Options) -> int:
    """What crowd-kit's aggregations take: task, worker, label. An erased person is a worker of one answer."""
    query = (
        _joined(response.c.id, participant.c.code, pair.c.pair_key, response.c.answer)
        .where(wanted_answers(options))
        .order_by(response.c.id)
    )
    if options.raw:
        query = query.where(response.c.why_not.is_distinct_from("undone"))
    rows = ((row.pair_key, row.code or f"erased-{row.id}", row.answer) for row in _answers(c, query))
    return write_csv(path, CROWDKIT, rows)
