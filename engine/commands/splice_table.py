"""What `semfid splice` leaves of two folders: a table, and JSON."""

from __future__ import annotations

import csv
import io
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from semfid.errors import UserError
from semfid.io.file_pairs import FilePair, Pairing
from semfid.io.files import write_whole
from semfid.progress import progress
from semfid.scoring.score import log_first, log_unpaired

log = logging.getLogger("semfid")

Row = dict[str, str]  # of the table
Facts = Mapping[str, object]  # of a pair in the JSON file


def check_table(path: Path | None) -> None:
    """Refuse a name that is no table's.

    Raises:
        UserError: another ending.
    """
    if path is not None and path.suffix != ".csv":
        raise UserError(f"splice: --out {path}: the table of two folders ends in .csv")


def tabulate(
    pairing: Pairing,
    columns: Sequence[str],
    describe: Callable[[FilePair], tuple[Row, Facts]],
    out: Path | None,
    as_json: Path | None,
) -> int:
    """Describe every pair and write the table; exit code 2 where a pair failed.

    Args:
        columns: of the table, besides pair_id, reference, candidate and error.
        describe: a pair's columns, and its facts for the JSON; raises a UserError where it cannot be described.
        out: None: on the screen.
    """
    log_unpaired(pairing)
    rows: list[Row] = []
    facts: list[Facts] = []
    with progress("concepts") as advance:
        for number, pair in enumerate(pairing.pairs, start=1):
            row: Row = {"pair_id": pair.pair_id, "reference": str(pair.reference), "candidate": str(pair.candidate)}
            try:
                own, fact = describe(pair)
            except UserError as error:
                own = {"error": str(error)}
            else:
                facts.append(fact)
            rows.append(row | own)
            advance(number, len(pairing.pairs))
    buffer = io.StringIO()
    writer = csv.DictWriter(
        buffer, ("pair_id", "reference", "candidate", *columns, "error"), restval="", lineterminator="\n"
    )
    writer.writeheader()
    writer.writerows(rows)
    if out is None:
        print(buffer.getvalue(), end="")
    else:
        write_whole(out, buffer.getvalue().encode(errors="surrogateescape"))  # file names may not be UTF-8
        log.info(f"table: {out}")
    put_json(as_json, facts)
    failed = [f"{row['pair_id']} FAILED: {row['error']}" for row in rows if row.get("error")]
    log_first(failed, "more failed; see the column error")
    return 2 if failed else 0


def put_json(path: Path | None, content: Facts | Sequence[Facts]) -> None:
    """Write a JSON file, where one is wanted."""
    if path is not None:
        text = json.dumps(content, ensure_ascii=False, indent=1) + "\n"
        write_whole(path, text.encode(errors="surrogateescape"))
        log.info(f"concepts: {path}")
