"""The pair table: the one schema that every room reads and writes.

One row is one pair of images: a reference (the photo) and a candidate (what became of it). Paths are relative to the
folder of the table. CSV by default, Parquet by file ending.

| column | meaning |
|---|---|
| pair_id | unique name of the pair |
| source_id | name of the photo that the pair comes from; splits, folds and bootstraps group by it |
| reference, candidate | image paths |
| origin | where the candidate comes from: an SR model, a kind of substitution, a degradation |
| difference | label in [0, 1]: 0 = same meaning, 1 = every rater would report a semantic change |
| yes_votes, votes | "yes" answers and all; difference = yes_votes / votes. Both empty: a label of another kind |
| map | path of a difference map (8-bit PNG or float16 .npy), H x W of the images |
| split | train, val or test |
| fold | 0 .. k-1, where cross-validation folds were fixed beforehand |

Further columns are carried along untouched (provenance, pseudo-labels).
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from semfid.errors import UserError
from semfid.io.files import write_whole
from semfid.io.listing import on_disk
from semfid.io.splits import cut, shuffled, split_counts
from semfid.io.tables import TableError, as_path, lacking, read_table

REQUIRED = ("pair_id", "source_id", "reference", "candidate")
OPTIONAL = ("origin", "difference", "yes_votes", "votes", "map", "split", "fold")
SPLITS = ("train", "val", "test")
TEXT_COLUMNS = ("pair_id", "source_id", "reference", "candidate", "origin", "map", "split")
PATH_COLUMNS = ("reference", "candidate", "map")


class PairTableError(UserError):
    """A pair table that cannot be trusted; the text names the file, the row and the fix."""


@dataclass(frozen=True)
class PairTable:
    """Rows of the schema above, and the folder that their paths are relative to.

    Attributes:
        frame: one row per pair, index 0..n-1.
        root: folder of the table.
        name: what messages call it, usually its path.
    """

    frame: pd.DataFrame
    root: Path
    name: str

    def __len__(self) -> int:
        return len(self.frame)

    def paths(self, column: str) -> list[Path]:
        """Paths of the images (or maps) of a column, in row order, in the spelling of the disk."""
        return [on_disk(self.root / value) for value in self.frame[column]]

    def content_hash(self) -> str:
        """sha256 (hex) of the rows, independent of file format and of the order of rows and columns."""
        frame = self.frame.sort_values("pair_id")[sorted(self.frame.columns)]
        return hashlib.sha256(frame.to_csv(index=False).encode()).hexdigest()

    def with_frame(self, frame: pd.DataFrame) -> PairTable:
        """The same table with other rows or columns, checked again."""
        return check_pairs(PairTable(frame.reset_index(drop=True), self.root, self.name))


def read_frame(
    path: str | Path, text: Iterable[str] | None = None, where: str = "", needs: Sequence[str] = ()
) -> pd.DataFrame:
    """Any table that people bring, CSV or Parquet by its ending; `semfid.io.tables` says which CSV.

    Args:
        text: columns that stay text (ids, paths); another one becomes numbers where all its values are. None: all stay text.
        where: the setting that names the file; messages begin with it.
        needs: columns that it must have.

    Raises:
        PairTableError: missing, unreadable or empty; without a column that is needed.
    """
    before = f"{where}: " if where else ""
    return _refuse_lacking(_read_frame(Path(path), text, before), needs, f"{before}{path}")


def _refuse_lacking(frame: pd.DataFrame, needs: Sequence[str], name: str) -> pd.DataFrame:
    missing = [column for column in needs if column not in frame.columns]
    if missing:
        raise PairTableError(lacking(name, ", ".join(missing), list(frame.columns)))
    return frame


def _read_frame(path: Path, text: Iterable[str] | None, before: str) -> pd.DataFrame:
    try:
        if path.suffix.lower() == ".parquet":
            frame = pd.read_parquet(path)
            for column in set(frame.columns if text is None else text) & set(frame.columns):
                frame[column] = frame[column].map(lambda value: "" if pd.isna(value) else str(value))
            return frame
        kinds: Any = str if text is None else dict.fromkeys(text, str)
        return pd.read_csv(io.StringIO(read_table(path).as_csv()), dtype=kinds, keep_default_na=False)
    except TableError as error:
        raise PairTableError(f"{before}{error}") from error
    except (ValueError, OSError) as error:  # pandas' and pyarrow's parser errors are ValueErrors
        raise PairTableError(f"{before}{path} cannot be read as a table: {str(error).splitlines()[0]}") from error


def as_numbers(values: pd.Series[Any], name: str) -> pd.Series[float]:
    """A column of numbers; NaN where it says nothing or ``nan``.

    Raises:
        PairTableError: another text; `name` is the table's in messages.
    """
    numbers: pd.Series[float] = pd.to_numeric(values, errors="coerce")
    broken = numbers.isna() & values.map(lambda value: str(value).strip() not in ("", "nan", "NaN"))
    if broken.any():
        row = int(np.flatnonzero(broken)[0])
        raise PairTableError(f"{name}, row {row + 2}: {values.name} is {values.iloc[row]!r}, not a number")
    return numbers


def as_paths(values: pd.Series[str], root: Path) -> pd.Series[str]:
    r"""Paths of a table, relative to `root`, as this system writes them: ``HQ\\a.png`` is ``HQ/a.png``."""
    foreign = values.str.contains("\\", regex=False).any()
    return values.map(partial(as_path, root=root)).astype(values.dtype) if foreign else values


def read_pairs(
    path: str | Path, columns: Mapping[str, str] | None = None, scale: float = 1.0, clip: bool = False
) -> PairTable:
    """Read and check a pair table.

    Args:
        columns: for a table of another schema: this schema's column -> the file's column. One column of the file may
            serve twice.
        scale: `difference` is divided by it (DMOS: 100).
        clip: cut `difference` to [0, 1] (scores that are standardised leave it a little).

    Raises:
        PairTableError: missing, unreadable or empty file; any fault that `check_pairs` names.
    """
    path = Path(path)
    if not path.is_file():
        raise PairTableError(f"no pair table {path}; give the path of a .csv or .parquet file")
    columns = dict(columns or {})
    text = [*TEXT_COLUMNS, *(own for name, own in columns.items() if name in TEXT_COLUMNS)]
    frame = read_frame(path, text, needs=list(columns.values()))
    frame = frame.assign(**{name: frame[own] for name, own in columns.items()})
    for name in [name for name in TEXT_COLUMNS if name in frame.columns]:
        frame[name] = as_paths(frame[name], path.parent) if name in PATH_COLUMNS else frame[name].str.strip()
    if columns.get("difference", "difference") != "difference" and not {"yes_votes", "votes"} & set(columns):
        frame = frame.drop(columns=["yes_votes", "votes"], errors="ignore")  # they speak of another label
    for column in ("difference", "yes_votes", "votes", "fold"):
        if column in frame.columns:
            numbers = as_numbers(frame[column], f"{path}")
            if column == "difference":
                numbers = (numbers / scale).clip(0.0, 1.0) if clip else numbers / scale
            frame[column] = numbers
    return check_pairs(PairTable(frame, path.parent, str(path)))


def write_pairs(table: PairTable, path: str | Path) -> None:
    """Write a checked table whole or not at all (temporary file, then rename)."""
    path = Path(path)
    check_pairs(table)
    if path.suffix == ".parquet":
        buffer = io.BytesIO()
        table.frame.to_parquet(buffer, index=False)
        write_whole(path, buffer.getvalue())
    else:
        write_whole(path, table.frame.to_csv(index=False).encode())


def check_pairs(table: PairTable) -> PairTable:
    """Check the schema's promises and fill in `difference` where only votes are given.

    Raises:
        PairTableError: no rows; missing columns; empty or repeated pair_id; labels outside [0, 1]; votes that do not
            add up; an unknown split; a source on two sides of the split or in two folds.
    """
    frame, name = table.frame, table.name
    if len(frame) == 0:
        raise PairTableError(f"{name} has no rows; a pair table needs at least one pair")
    _refuse_lacking(frame, REQUIRED, name)
    for column in REQUIRED:
        empty = frame[column].astype(str).str.strip() == ""
        if empty.any():
            raise PairTableError(f"{name}: {column} is empty for {_naming(frame, empty)}")
    repeated = frame["pair_id"].duplicated()
    if repeated.any():
        raise PairTableError(
            f"{name}: pair_id {frame['pair_id'][repeated].iloc[0]!r} occurs more than once; make it unique"
        )
    if "votes" in frame.columns or "yes_votes" in frame.columns:
        frame = _check_votes(frame, name)
    if "difference" in frame.columns:
        outside = frame["difference"].notna() & ~frame["difference"].between(0.0, 1.0)
        if outside.any():
            raise PairTableError(
                f"{name}: difference of {_naming(frame, outside)} is {frame['difference'][outside].iloc[0]:g}, outside "
                "[0, 1]; divide scores by their maximum and turn similarities into 1 - similarity"
            )
    if "split" in frame.columns:
        unknown = ~frame["split"].isin(SPLITS)
        if unknown.any():
            raise PairTableError(
                f"{name}: split of {_naming(frame, unknown)} is {frame['split'][unknown].iloc[0]!r}; use train, val or test"
            )
        refuse_leak(frame, "split", name)
    if "fold" in frame.columns:
        none = ~((frame["fold"] >= 0) & (frame["fold"] % 1 == 0))
        if none.any():
            raise PairTableError(
                f"{name}: fold of {_naming(frame, none)} is {frame['fold'][none].iloc[0]:g}; number the folds 0, 1, 2, ..."
            )
        refuse_leak(frame, "fold", name)
    return PairTable(frame, table.root, name)


def _check_votes(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    if not {"votes", "yes_votes"} <= set(frame.columns):
        raise PairTableError(f"{name} has only one of the columns yes_votes and votes; give both or neither")
    unvoted = frame["yes_votes"].isna() & frame["votes"].isna()
    unvoted &= frame["difference"].notna() if "difference" in frame.columns else False
    wrong = (frame["yes_votes"].isna() | frame["votes"].isna()) & ~unvoted
    wrong |= (frame["votes"] < 1) | (frame["yes_votes"] < 0) | (frame["yes_votes"] > frame["votes"])
    if wrong.any():
        row = frame[wrong].iloc[0]
        raise PairTableError(
            f"{name}: {_naming(frame, wrong)} has {row['yes_votes']:g} yes of {row['votes']:g} votes; "
            "need 0 <= yes_votes <= votes and votes >= 1 (drop pairs without an answer)"
        )
    rate = frame["yes_votes"] / frame["votes"]
    if "difference" not in frame.columns:
        return frame.assign(difference=rate)
    frame = frame.assign(difference=frame["difference"].fillna(rate))
    apart = (frame["difference"] - rate).abs() > 1e-3
    if apart.any():
        raise PairTableError(
            f"{name}: difference of {_naming(frame, apart)} is {frame['difference'][apart].iloc[0]:g} but its votes give "
            f"{rate[apart].iloc[0]:g}; leave the column difference out, or correct it"
        )
    return frame


def refuse_leak(frame: pd.DataFrame, column: str, name: str) -> None:
    """Raise a PairTableError when one source_id stands on two sides of `column`."""
    sides = frame.groupby("source_id", sort=True)[column].nunique()
    leaking = sides[sides > 1]
    if len(leaking):
        source = leaking.index[0]
        where = sorted(frame.loc[frame["source_id"] == source, column].unique())
        raise PairTableError(
            f"{name}: source_id {source!r} stands in {column} {' and '.join(str(side) for side in where)} "
            f"({len(leaking)} such sources); a photo must be on one side only, or test pairs are seen in training"
        )


def _naming(frame: pd.DataFrame, rows: pd.Series[bool]) -> str:
    count = int(rows.sum())
    first = f"pair {frame['pair_id'][rows].iloc[0]!r}"
    return first if count == 1 else f"{first} and {count - 1} more"


Grouping = Literal["source", "row"]


def assign_splits(table: PairTable, val: float, test: float, seed: int, by: Grouping = "source") -> PairTable:
    """Draw train / val / test by source.

    Sources are sorted by name before they are shuffled, so the split depends on names and seed only.

    Args:
        val, test: shares of the sources, each in [0, 1), together below 1; a positive share gets at least one source.
        by: ``row`` ignores sources. It leaks on purpose, to show the effect; such a table is not checked for leaks.
    """
    if not (val >= 0 and test >= 0 and val + test < 1):
        raise UserError(f"split: val={val:g} and test={test:g} must be >= 0 and leave something for training")
    groups = _groups(table, by)
    order = shuffled(groups, seed)
    if sum(split_counts(len(order), val, test)) >= len(order):
        raise UserError(
            f"{table.name} has {len(order)} {'sources' if by == 'source' else 'rows'}: too few for val={val:g}, "
            f"test={test:g} and training; use fewer parts or `folds`"
        )
    side = cut(order, val, test)
    frame = table.frame.assign(split=[side[group] for group in groups])
    return PairTable(frame, table.root, table.name) if by == "row" else table.with_frame(frame)


def assign_folds(table: PairTable, folds: int, seed: int, by: Grouping = "source") -> PairTable:
    """Deal the sources into `folds` folds of nearly equal numbers of pairs; ``folds=-1`` leaves one source out each.

    Raises:
        UserError: fewer sources than folds, or folds < 2.
    """
    groups = _groups(table, by)
    order = shuffled(groups, seed)
    if folds == -1:
        folds = len(order)
    if folds < 2 or folds > len(order):
        raise UserError(
            f"{table.name} has {len(order)} {'sources' if by == 'source' else 'rows'}, so folds={folds} is impossible; "
            f"choose 2 to {len(order)}, or -1 to leave one out at a time"
        )
    sizes = pd.Series(groups).value_counts()
    load = [0] * folds
    side = {}
    for group in sorted(order, key=lambda group: -int(sizes[group])):  # stable: equal sizes keep the shuffled order
        fold = load.index(min(load))
        side[group] = fold
        load[fold] += int(sizes[group])
    frame = table.frame.assign(fold=[side[group] for group in groups])
    return PairTable(frame, table.root, table.name) if by == "row" else table.with_frame(frame)


def _groups(table: PairTable, by: Grouping) -> list[str]:
    return [str(value) for value in table.frame["source_id" if by == "source" else "pair_id"]]
