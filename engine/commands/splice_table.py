"""What `semfid splice` leaves of two folders: a table, and JSON."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from semfid.errors import UserError
from semfid.io.file_pairs import FilePair, Pairing
from semfid.io.files import write_whole
from semfid.progress import Progress

NAMED = 10  # names that are listed one by one

Row = dict[str, Any]


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
    describe: Callable[[FilePair], tuple[Row, Row]],
    out: Path | None,
    as_json: str | None,
) -> int:
    """Describe every pair and write the table; exit code 2 where a pair failed.

    Args:
        columns: of the table, besides pair_id, reference, candidate and error.
        describe: a pair's columns, and its facts for the JSON; raises a UserError where it cannot be described.
        out: None: on the screen.
    """
    for names, what in (
        (pairing.missing, "references without a candidate"),
        (pairing.extra, "candidates without a reference"),
    ):
        if names:
            more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
            print(f"semfid: {len(names)} {what}: {', '.join(names[:NAMED])}{more}", file=sys.stderr)
    rows, facts = [], []
    progress = Progress("concepts", len(pairing.pairs))
    for pair in pairing.pairs:
        row: Row = {"pair_id": pair.pair_id, "reference": str(pair.reference), "candidate": str(pair.candidate)}
        try:
            own, fact = describe(pair)
        except UserError as error:
            own = {"error": str(error)}
        else:
            facts.append(fact)
        rows.append(row | own)
        progress.advance()
    progress.close()
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
        print(f"table: {out}", file=sys.stderr)
    put_json(as_json, facts)
    failed = [row for row in rows if row.get("error")]
    for row in failed[:NAMED]:
        print(f"semfid: {row['pair_id']} FAILED: {row['error']}", file=sys.stderr)
    if len(failed) > NAMED:
        print(f"semfid: and {len(failed) - NAMED} more failed; see the column error", file=sys.stderr)
    return 2 if failed else 0


def put_json(path: str | None, content: Any) -> None:
    """Write a JSON file, where one is wanted."""
    if path is not None:
        text = json.dumps(content, ensure_ascii=False, indent=1) + "\n"
        write_whole(Path(path), text.encode(errors="surrogateescape"))
        print(f"concepts: {path}", file=sys.stderr)
