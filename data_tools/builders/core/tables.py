"""All journals into one table, to the byte the same whatever order, shards or interruptions made them."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from data_tools.builders.core.folder import BuildFolder
from data_tools.builders.core.journal import Entry
from data_tools.builders.core.work_items import Slot, Unit
from semfid.io.pair_table import PairTable, check_pairs

Kind = Literal["text", "number", "integer", "flag"]
_DTYPES = {"text": "str", "number": "float64", "integer": "Int64", "flag": "boolean"}
REJECTS, ERRORS, SUMMARY = "rejects.csv", "errors.csv", "summary.json"
ERROR_COLUMNS: dict[str, Kind] = {
    **{"stage": "text", "sample": "text", "variant": "text", "reason": "text", "tries": "integer"}
}


def build_frame(rows: Iterable[Mapping[str, Any]], columns: Mapping[str, Kind], sort_by: list[str]) -> pd.DataFrame:
    """Rows in sorted order under a fixed schema; what a row lacks is empty.

    Args:
        columns: name -> kind, in the order of the table.
    """
    values: dict[str, list[Any]] = {name: [] for name in columns}
    memo: dict[Any, Any] = {}
    for row in rows:
        for name, column in values.items():
            value = row.get(name)
            column.append(memo.setdefault(value, value) if isinstance(value, str) else value)
    frame = pd.DataFrame(
        {
            name: pd.Series(
                ["" if one is None else one for one in column] if kind == "text" else column, dtype=_DTYPES[kind]
            )
            for (name, column), kind in zip(values.items(), columns.values(), strict=True)
        }
    )
    return frame.sort_values(sort_by, kind="stable").reset_index(drop=True)


@dataclass(frozen=True)
class Merged:
    """What the tables hold, over all shards.

    Attributes:
        pairs: by kind or level.
        rejected: by kind or reason.
        missing: work items that are planned and not made.
        unseen: photos that are not opened yet.
    """

    pairs: Mapping[str, int]
    rejected: Mapping[str, int]
    errors: int
    missing: int
    unseen: int

    def lines(self, table: Path) -> Iterator[str]:
        """What a build says when it ends."""
        pairs = ", ".join(f"{name} {number}" for name, number in self.pairs.items())
        rejected = ", ".join(f"{name} {number}" for name, number in sorted(self.rejected.items()))
        yield (
            f"{table}: {sum(self.pairs.values())} pairs ({pairs}); {sum(self.rejected.values())} rejected"
            f"{f' ({rejected})' if rejected else ''}; {self.errors} errors"
        )
        if self.missing or self.unseen:
            yield f"yet to be made, in all shards: {self.missing} pairs, and those of {self.unseen} photos not yet opened"


@dataclass(frozen=True)
class ResultTables:
    """The three tables of a build that makes pairs."""

    pairs: pd.DataFrame
    rejects: pd.DataFrame
    errors: pd.DataFrame


def put_results(
    folder: BuildFolder,
    table: str,
    columns: Mapping[str, Kind],
    rows: Callable[[str], Iterable[Mapping[str, Any]]],
    current: Mapping[Slot, Entry],
) -> ResultTables:
    """Write the pair table, ``rejects.csv`` and ``errors.csv``; only under `folder.merging`.

    Args:
        table: file name of the pair table.
        columns: of the pair table; rejects have a reason beside.
        rows: the rows of a status, ``done`` or ``rejected``.
        current: see `current_entries`.
    """
    pairs = build_frame(rows("done"), columns, ["pair_id"])
    rejects = build_frame(rows("rejected"), {"pair_id": "text", "reason": "text", **columns}, ["pair_id"])
    errors = build_frame(error_rows(current), ERROR_COLUMNS, ["stage", "sample", "variant"])
    put_pairs(folder, table, pairs)
    put_frame(folder, REJECTS, rejects)
    put_frame(folder, ERRORS, errors)
    return ResultTables(pairs, rejects, errors)


def put_summary(folder: BuildFolder, summary: Mapping[str, Any]) -> None:
    """Write ``summary.json``: counts by name."""
    folder.put_table(SUMMARY, (json.dumps(summary, indent=1) + "\n").encode())


def put_pairs(folder: BuildFolder, name: str, frame: pd.DataFrame) -> None:
    """Write a pair table (CSV or Parquet by ending) that keeps the schema's promises, or remove it where there are no rows.

    Only under `folder.merging`.

    Raises:
        PairTableError: a fault of the builder.
    """
    if not len(frame):
        folder.drop_table(name)
        return
    checked = check_pairs(PairTable(frame, folder.path, str(folder.path / name)))
    put_frame(folder, name, checked.frame)


def put_frame(folder: BuildFolder, name: str, frame: pd.DataFrame) -> None:
    """Write any table, which may be empty; only under `folder.merging`."""
    if name.endswith(".parquet"):
        buffer = io.BytesIO()
        frame.to_parquet(buffer, index=False, compression="zstd")
        folder.put_table(name, buffer.getvalue())
    else:
        folder.put_table(name, frame.to_csv(index=False).encode())


def current_entries(units: Iterable[Unit], entries: Mapping[Slot, Entry]) -> dict[Slot, Entry]:
    """The latest entries of these units, less those of photos or settings that are no more."""
    found = ((unit, entries.get(unit.slot)) for unit in units)
    return {unit.slot: entry for unit, entry in found if entry is not None and entry.id == unit.id}


def error_rows(entries: Mapping[Slot, Entry]) -> Iterable[dict[str, Any]]:
    """A row for every slot whose latest line is an error."""
    for (stage, sample, variant), entry in entries.items():
        if entry.status == "error":
            yield {
                **{"stage": stage, "sample": sample, "variant": variant},
                **{"reason": entry.reason, "tries": entry.tries},
            }
