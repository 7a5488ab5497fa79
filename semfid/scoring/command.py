"""``semfid score``: the function `score`, and its table in words."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from semfid.io.fitting import Fit, crop_of, cut
from semfid.io.images import read_image
from semfid.scoring.regions import from_text
from semfid.scoring.results import CROPPED, Row
from semfid.scoring.score import NAMED, ScoreTable, log_first, score

log = logging.getLogger("semfid")


def run(arguments: dict[str, object]) -> int:
    """Score and print; exit code 2 where something could not be scored."""
    table = score(**arguments)  # type: ignore[arg-type]  # parsed by `semfid.cli`
    out, first = arguments["out"], table.rows[0]
    if len(table) > 1:
        if out is None:
            print(table.as_csv(), end="")  # main lets any name through
    elif not first["error"]:
        if out is None:
            print(f"{first['difference']:.6f}", flush=True)
        if first["word"]:
            _explain(first, table.method.fit)
    _report(table, out)
    return 2 if any(row["error"] for row in table) else 0


def _explain(row: Row, fit: Fit) -> None:
    """Report what two images' difference means: the number alone is the result."""
    log.info(f"in words: {row['word']}")
    places = from_text(row["regions"])
    if places:
        log.info(f"where: {', '.join(place.words() for place in places)} of the map")
    from semfid.scoring.text import available, compare_text, describe

    if available():
        paths = Path(row["reference"]), Path(row["candidate"])
        crop = crop_of(*paths, fit)
        reference, candidate = (path if crop is None else cut(read_image(path), crop) for path in paths)
        log.info(describe(compare_text(reference, candidate)))


def _report(table: ScoreTable, out: object) -> None:
    """Report how it was scored, mean differences, and what failed."""
    good = [row for row in table if not row["error"]]
    log.info(f"{table.method.run}, weights {table.method.weights}, size {table.method.size}")
    if len(table) > 1 and good:
        log.info(f"{len(good)} pairs, mean difference {np.mean([row['difference'] for row in good]):.4f}")
        origins = sorted({row["origin"] for row in good})
        for origin in origins if len(origins) > 1 else ():
            values = [row["difference"] for row in good if row["origin"] == origin]
            log.info(f"  {origin or '(none)'}: {np.mean(values):.4f} ({len(values)} pairs)")
    failures = [f"{row['pair_id']} FAILED: {row['error']}" for row in table if row["error"]]
    log_first(failures, f"more failed; all of them in {'the column error' if out is None else out}")
    cropped = sum(row["size"].endswith(CROPPED) for row in good)
    if cropped:
        log.info(f"cut to the part that both images show: {cropped} of {len(table)} pairs")
    if out is not None:
        if len(good) > 1:
            _list_highest(good)
        log.info(f"scores: {out}")


def _list_highest(rows: Sequence[Row]) -> None:
    """Report the pairs that differ most, highest first; of equal ones, in the order of the pairs."""
    highest = sorted(rows, key=lambda row: -row["difference"])[:NAMED]
    log.info("highest differences:" if len(rows) > NAMED else "differences, highest first:")
    for row in highest:
        word = f"  {row['word']}" if row["word"] else ""
        log.info(f"  {row['difference']:.3f}  {row['pair_id']}{word}")
