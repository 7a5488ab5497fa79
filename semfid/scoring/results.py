"""What a scoring leaves: CSV, JSON or Parquet, and a journal that makes it resumable.

While a file ``scores.csv`` is being made, ``scores.csv.partial`` holds a line of JSON per finished pair. A run that was cut
off reads it back; the finished file appears by rename, and the journal goes. A finished file made by the same metric at the
same size serves again too. A pair is scored anew where one of its images was changed since.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from semfid.errors import UserError
from semfid.io.file_pairs import FilePair
from semfid.io.files import put_in_place, write_whole
from semfid.io.fitting import Fit
from semfid.io.images import DECODER
from semfid.io.jsonl import append_lines, whole_lines
from semfid.io.system_faults import remedy
from semfid.scoring.folder import Scored
from semfid.scoring.regions import Region, from_text, to_text
from semfid.scoring.score_settings import ScoreSettings
from semfid.scoring.scorer import Facts

OWN = ("pair_id", "reference", "candidate", "origin", "difference", "error", "size")
SHARED = ("run", "weights", "precision")
EXPLAINED = ("word", "regions")  # of the default metric; files of before have neither
COLUMNS = (*OWN, *SHARED, *EXPLAINED)
ENDINGS = (".csv", ".json", ".parquet")
CROPPED = " cropped"

Row = dict[str, Any]


@dataclass(frozen=True)
class Method:
    """What all rows of one file share; rows of another method are not mixed with them."""

    run: str
    weights: str
    size: str
    precision: str
    fit: Fit = "refuse"

    @classmethod
    def of(cls, facts: Facts, settings: ScoreSettings) -> Method:
        side = settings.image_size
        size = "native" if side is None else f"{side}x{side} {settings.resize}"
        return cls(facts.run, facts.weights_hash, size, settings.precision, settings.fit)

    def words(self) -> str:
        """For the first line of a journal."""
        told = {key: value for key, value in vars(self).items() if (key, value) != ("fit", "refuse")}
        return json.dumps({**told, "decoder": DECODER})


def row_of(scored: Scored, method: Method, word: str = "", found: Sequence[Region] = ()) -> Row:
    """A pair's row.

    ``size`` is that of the images that the backbone saw, with ``cropped`` behind it where one of them was cut. ``regions`` is
    empty where no map was made.

    Args:
        word: for the difference.
        found: places of its map.
    """
    size = method.size if method.size != "native" else f"{scored.width}x{scored.height} native"
    return {
        "pair_id": scored.pair.pair_id,
        "reference": str(scored.pair.reference),
        "candidate": str(scored.pair.candidate),
        "origin": scored.pair.origin,
        "difference": scored.difference,
        "error": scored.error,
        "size": "" if scored.error else f"{size}{CROPPED if scored.cropped else ''}",
        "run": method.run,
        "weights": method.weights,
        "precision": method.precision,
        "word": word,
        "regions": to_text(found),
    }


def signature(pair: FilePair) -> str:
    """Changes when one of the two files does; empty where one is missing."""
    try:
        stats = [path.stat() for path in (pair.reference, pair.candidate)]
    except OSError:
        return ""
    return " ".join(f"{stat.st_size}-{stat.st_mtime_ns}" for stat in stats)


class Journal:
    """Rows of finished pairs, appended as they come.

    Args:
        out: the file that is being made.
        method: rows by another method are dropped.

    Raises:
        UserError: an ending that is not .csv, .json or .parquet; a folder that cannot be written.
    """

    def __init__(self, out: Path, method: Method) -> None:
        if out.suffix not in ENDINGS:
            raise UserError(f"--out {out}: the ending must be one of {', '.join(ENDINGS)}")
        self.out, self.method = out, method
        self.path = out.with_name(f"{out.name}.partial")
        self.rows: dict[str, tuple[str, Row]] = {}
        self._started = False
        self._read()

    def known(self, pair: FilePair) -> Row | None:
        """The row of a pair that was scored before and whose files are as they were; failures are tried again."""
        sign, row = self.rows.get(pair.pair_id, ("", {}))
        same = bool(sign) and sign == signature(pair) and not row["error"]
        same = same and (row["reference"], row["candidate"]) == (str(pair.reference), str(pair.candidate))
        return row if same else None

    def add(self, pair: FilePair, row: Row) -> None:
        """Append a row; it survives the death of the process."""
        try:
            if not self._started:
                put_in_place(self.path, self._text().encode())
                self._started = True
            append_lines(self.path, (json.dumps([signature(pair), row]) + "\n").encode())
        except OSError as error:
            raise UserError(
                f"cannot write {self.path}: {error.strerror}; {remedy(error, 'choose another --out')}"
            ) from error

    def finish(self, rows: Sequence[Row], missing: Sequence[str], extra: Sequence[str]) -> None:
        """Write the file itself, and drop the journal.

        Raises:
            UserError: it cannot be written; the journal stays.
        """
        write_whole(self.out, as_bytes(self.out.suffix, rows, self.method, missing, extra))
        self._started = False
        self.path.unlink(missing_ok=True)

    def _text(self) -> str:
        lines = [self.method.words(), *(json.dumps([sign, row]) for sign, row in self.rows.values())]
        return "\n".join(lines) + "\n"

    def _read(self) -> None:
        for row in self._finished_rows():
            made_by = [row[key] for key in ("run", "weights", "precision")]
            if made_by != [self.method.run, self.method.weights, self.method.precision]:
                continue
            size = row["size"].removesuffix(CROPPED)
            native = self.method.size == "native" and size.endswith(" native")
            if (size != self.method.size and not native) or (size != row["size"] and self.method.fit == "refuse"):
                continue
            pair = FilePair(row["pair_id"], Path(row["reference"]), Path(row["candidate"]))
            if _unchanged_since(pair, self.out):
                self.rows[pair.pair_id] = signature(pair), row
        lines = [line.decode(errors="replace").rstrip("\n") for _, line in whole_lines(self.path)]
        if lines and lines[0] == self.method.words():
            for line in lines[1:]:
                try:
                    sign, row = json.loads(line)
                    row = {**dict.fromkeys(EXPLAINED, ""), **row}
                except ValueError:  # damaged
                    continue
                self.rows[row["pair_id"]] = sign, row

    def _finished_rows(self) -> list[Row]:
        """Rows of a finished file that is there already; one that is not ours is refused rather than written over."""
        if not self.out.is_file():
            return []
        try:
            if self.out.suffix == ".csv":
                with self.out.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
                    reader = csv.DictReader(file)
                    rows: list[Row] = [dict(row) for row in reader]
                    columns = set(reader.fieldnames or ())
            elif self.out.suffix == ".json":
                content = json.loads(self.out.read_text(encoding="utf-8"))
                rows = [{**content["method"], **row} for row in content["pairs"]]
                columns = set.intersection(set(COLUMNS), *(set(row) for row in rows))
                for row in rows:
                    row["regions"] = to_text([Region(**one) for one in row.get("regions", [])])
            else:
                table = _parquet().read_table(self.out)
                rows, columns = table.to_pylist(), set(table.column_names)
            if not {*OWN, *SHARED} <= columns:
                raise KeyError("columns")
            for row in rows:
                row |= {key: row.get(key) or "" for key in EXPLAINED}
                row["difference"] = None if row["difference"] in ("", None) else float(row["difference"])
        except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
            raise UserError(f"--out {self.out} exists and holds no scores; choose another file") from error
        return rows


def as_bytes(ending: str, rows: Sequence[Row], method: Method, missing: Sequence[str], extra: Sequence[str]) -> bytes:
    """The rows in a format.

    Args:
        ending: ``.csv`` (one row a pair, what they share repeated), ``.json`` (that once, and the names that found no
            partner), ``.parquet`` (as CSV).
    """
    if ending == ".json":
        own = [
            {**{key: row[key] for key in (*OWN, "word")}, "regions": [vars(one) for one in from_text(row["regions"])]}
            for row in rows
        ]
        content = {
            "method": {key: getattr(method, key) for key in SHARED},
            "pairs": own,
            "missing": list(missing),
            "extra": list(extra),
        }
        return (json.dumps(content, indent=1) + "\n").encode()
    if ending == ".parquet":
        pyarrow = _parquet()
        import pyarrow as arrow

        columns = {key: [_unicode(row[key]) for row in rows] for key in COLUMNS}
        types = {key: arrow.float64() if key == "difference" else arrow.string() for key in COLUMNS}
        table = arrow.table({key: arrow.array(values, types[key]) for key, values in columns.items()})
        buffer = io.BytesIO()
        pyarrow.write_table(table, buffer)
        return buffer.getvalue()
    return as_csv(rows).encode(errors="surrogateescape")  # the bytes of file names that are not UTF-8


def _unicode(value: Any) -> Any:
    return os.fsencode(value).decode(errors="replace") if isinstance(value, str) else value


def as_csv(rows: Iterable[Row]) -> str:
    """Rows as CSV with a header; None is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow(["" if row[key] is None else row[key] for key in COLUMNS])
    return text.getvalue()


def _unchanged_since(pair: FilePair, file: Path) -> bool:
    try:
        made = file.stat().st_mtime_ns
        return all(path.stat().st_mtime_ns <= made for path in (pair.reference, pair.candidate))
    except OSError:
        return False


def _parquet() -> Any:
    try:
        import pyarrow.parquet
    except ModuleNotFoundError as error:
        raise UserError("Parquet needs the package pyarrow: pip install pyarrow, or --out scores.csv") from error
    return pyarrow.parquet
