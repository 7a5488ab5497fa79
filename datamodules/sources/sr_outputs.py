"""Super-resolved images against their photos, with difference maps from segmentation and captions."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from datamodules.base import LoaderConfig, PairDataModule, existing
from datamodules.files import map_figures
from datamodules.pair_dataset import map_paths
from datamodules.safe_pickle import read_pickled_array
from registry import DATAMODULES
from semfid.errors import UserError
from semfid.io.arrays import load_array
from semfid.io.listing import on_disk
from semfid.io.maps import MapError, as_map, known_mean, read_map
from semfid.io.pair_table import PairTable, as_numbers, check_pairs, read_frame, read_pairs
from semfid.io.tables import as_path

COSINES = ("img_a_pth", "img_b_pth", "out_paths")
_OUTPUTS = re.compile(r"^LQ_x\d+(?:_degfac_(?P<strength>[0-9.]+))?_(?P<model>.+)_out$")
_PHOTOS = {"hq", "gt"}
_ROUNDING = 1e-3  # how far a cosine may leave [-1, 1]: half precision does


@DATAMODULES.register(
    "sr_outputs",
    summary="photos and their super-resolved versions, with difference maps (pair table, or cosine maps)",
    source="source project (KoNIQ-10k, maps of captions)",
    shared=LoaderConfig,
)
class SrOutputsData(PairDataModule):
    """Pairs with difference maps that captions of regions gave.

    Args:
        table: one of two kinds of table, told apart by their columns:

            * a pair table with the column map, such as `semfid label maps` writes; of its columns map_mean, map_unknown,
              reference_captions, candidate_captions and map_error those that are there are used. Rows with a map_error are
              left out;
            * the source project's table of cosine maps, img_a_pth, img_b_pth, out_paths (pickled or .npy cosine SIMILARITY, H x
              W of the images) and ima_ncaps. Paths are relative to the table's folder or to one above it. Folders
              ``LQ_x4_[degfac_<strength>_]<model>_out`` give the origin.
        min_caps: pairs whose reference has fewer captions (reference_captions, or ima_ncaps) are left out.
        only_hq: only pairs whose reference is a photo and not another output: its path has a folder HQ (or GT), or the column
            reference_origin says so.
        threshold: of the COSINE, in [0, 1): a pixel is the same (0) where its cosine, 1 - difference, is above, else changed
            (1). Applied before maps are resized; labels of whole pairs do not depend on it.

    The label of a whole pair is the column difference, else map_mean, else the mean of the map's known pixels, for which every
    map is read once.
    """

    def __init__(
        self,
        table: str,
        min_caps: int = 0,
        only_hq: bool = False,
        threshold: float | None = None,
        *,
        loader: LoaderConfig,
    ) -> None:
        super().__init__(loader)
        if threshold is not None and not 0 <= threshold < 1:
            raise UserError(f"data.threshold is {threshold:g}; it is of the cosine and must be at least 0 and below 1")
        if min_caps < 0:
            raise UserError(f"data.min_caps is {min_caps}; it must be at least 0")
        self.path, self.min_caps, self.only_hq, self.threshold = table, min_caps, only_hq, threshold

    def load_table(self) -> PairTable:
        path = existing(self.path, "data.table")
        cosines = path.suffix != ".parquet" and {*COSINES} <= {*read_frame(path, where="data.table").columns}
        table = read_cosine_table(path) if cosines else read_pairs(path)
        if "map" not in table.frame.columns:
            raise UserError(
                f"data.table: {path} has no column map; make it with `semfid label maps`, or give a table of cosine maps "
                f"({', '.join(COSINES)})"
            )
        table = self._chosen_rows(table)
        plain = MapFile(cosines, None)
        self.read_map = MapFile(cosines, self.threshold)
        if "difference" not in table.frame.columns:
            table = table.with_frame(table.frame.assign(difference=_labels(table, plain)))
        return table

    def _chosen_rows(self, table: PairTable) -> PairTable:
        frame = table.frame
        keep = pd.Series(True, index=frame.index)
        if "map_error" in frame.columns:
            failed = frame["map_error"].map(lambda value: not pd.isna(value) and str(value).strip() != "")
            self._leave_out(int(failed.sum()), "pairs left out for their map_error")
            keep &= ~failed
        itself = frame["reference"] == frame["candidate"]
        self._leave_out(int((keep & itself).sum()), "pairs left out of an image with itself")
        keep &= ~itself
        if self.min_caps:
            captions = _captions(table)
            self._leave_out(
                int((keep & (captions < self.min_caps)).sum()), f"pairs left out for min_caps: {self.min_caps}"
            )
            keep &= captions >= self.min_caps
        if self.only_hq:
            photos = _of_photos(frame)
            self._leave_out(int((keep & ~photos).sum()), "pairs left out for only_hq")
            keep &= photos
        if not keep.any():
            raise UserError(f"data.table: no pair of {table.name} is left: {'; '.join(self.notes)}")
        return table if keep.all() else table.with_frame(frame[keep])

    def _leave_out(self, count: int, why: str) -> None:
        if count:
            self.notes.append(f"{count} {why}")


@dataclass(frozen=True)
class MapFile:
    """Reads a map.

    Attributes:
        cosine: files hold cosine similarities.
        threshold: of the cosine, or None; see `SrOutputsData`.
    """

    cosine: bool
    threshold: float | None

    def __call__(self, path: str) -> NDArray[np.float32]:
        """(H, W) float32 in [0, 1], NaN where unknown.

        Raises:
            MapError: a file that cannot be read, or values that are no differences (cosines).
        """
        values = from_cosine(_array(path), path) if self.cosine else read_map(path)
        if self.threshold is None:
            return values
        changed = (1.0 - values <= self.threshold).astype(np.float32)
        return np.where(np.isnan(values), np.float32(np.nan), changed)


def _array(path: str) -> NDArray[np.generic]:
    if Path(path).suffix.lower() != ".npy":
        return read_pickled_array(path)
    try:
        return load_array(path)
    except ValueError as error:
        raise MapError(f"map {path} cannot be read as .npy: {error}; write it again with numpy.save") from error


def from_cosine(cosine: NDArray[np.generic], name: str) -> NDArray[np.float32]:
    """(1 - cosine) cut to [0, 1], NaN where unknown.

    Raises:
        MapError: not (H, W) of floats, or values outside [-1, 1].
    """
    if cosine.ndim != 2 or cosine.size == 0 or not np.issubdtype(cosine.dtype, np.floating):
        raise MapError(
            f"map {name} has shape {cosine.shape} and type {cosine.dtype}; a cosine map is (height, width) of floats"
        )
    known = cosine[~np.isnan(cosine)]
    if known.size and not (known.min() >= -1 - _ROUNDING and known.max() <= 1 + _ROUNDING):
        raise MapError(f"map {name} holds values from {known.min():g} to {known.max():g}; cosines lie in [-1, 1]")
    return as_map((1.0 - cosine.astype(np.float32)).clip(0.0, 1.0), name)


def read_cosine_table(path: Path) -> PairTable:
    """The source project's table of cosine maps with this project's columns, paths absolute.

    Raises:
        UserError: unreadable; a path that leads nowhere; a number of captions that is no number.
    """
    given = read_frame(path, COSINES, "data.table", needs=COSINES)
    rows = []
    for reference, candidate, cosine in zip(*(given[column] for column in COSINES), strict=True):
        a, b = _resolve(path, reference), _resolve(path, candidate)
        stem = a.name.split(".")[0]
        rows.append(
            {
                "pair_id": f"{stem}:{a.parent.name}:{b.parent.name}",
                "source_id": stem,
                "reference": str(a),
                "candidate": str(b),
                "origin": origin_of(b.parent.name),
                "reference_origin": origin_of(a.parent.name),
                "map": str(_resolve(path, cosine)),
            }
        )
    frame = pd.DataFrame(rows)
    if "ima_ncaps" in given.columns:
        frame["reference_captions"] = given["ima_ncaps"].to_numpy()
    for column in ("difference", "map_mean"):
        if column in given.columns:
            frame[column] = as_numbers(given[column], f"data.table: {path}").to_numpy()
    return check_pairs(PairTable(frame, Path("/"), str(path)))


def origin_of(folder: str) -> str:
    """``bsrgan 0.3`` of ``LQ_x4_degfac_0.3_bsrgan_out``, ``bsrgan`` without a strength; other folders' names as they are."""
    found = _OUTPUTS.match(folder)
    if found is None:
        return folder
    return found["model"] if found["strength"] is None else f"{found['model']} {found['strength']}"


def _resolve(table: Path, given: str) -> Path:
    path = Path(as_path(given.strip(), table.parent))
    for base in table.resolve().parents:  # an absolute path stays as it is
        found = on_disk(base / path)
        if found.is_file():  # False for a name that no disk can hold
            return found
    raise UserError(
        f"data.table: no file {' '.join(given.split())} relative to the folder of {table}, nor to one above it; put the table "
        "where its paths begin"
    )


def _captions(table: PairTable) -> pd.Series[float]:
    if "reference_captions" not in table.frame.columns:
        raise UserError(
            f"data.min_caps needs the column reference_captions (or ima_ncaps), which {table.name} lacks; remove min_caps"
        )
    counts = pd.to_numeric(table.frame["reference_captions"], errors="coerce")
    if counts.isna().any():
        pair = table.frame["pair_id"][counts.isna()].iloc[0]
        raise UserError(f"{table.name}: reference_captions of pair {pair!r} is not a number")
    return counts


def _of_photos(frame: pd.DataFrame) -> pd.Series[bool]:
    if "reference_origin" in frame.columns:
        by_column = frame["reference_origin"].astype(str).str.strip().str.lower()
        return by_column.isin(_PHOTOS)
    folders = frame["reference"].map(lambda path: {part.lower() for part in Path(path).parts[:-1]})
    return folders.map(lambda parts: bool(parts & _PHOTOS))


def _labels(table: PairTable, reader: MapFile) -> list[float]:
    """Of each pair map_mean, else the mean of its map's known pixels.

    Raises:
        UserError: a pair with neither, or with a map in which nothing is known.
    """
    given = table.frame["map_mean"] if "map_mean" in table.frame.columns else pd.Series(np.nan, index=table.frame.index)
    means = pd.to_numeric(given, errors="coerce").tolist()
    paths = map_paths(table)
    wanted = [path for path, mean in zip(paths, means, strict=True) if np.isnan(mean) and path]
    found = map_figures(wanted, reader, known_mean)
    labels = [
        found.get(path, float("nan")) if np.isnan(mean) else mean for path, mean in zip(paths, means, strict=True)
    ]
    for name, path, label in zip(table.frame["pair_id"], paths, labels, strict=True):
        if np.isnan(label):
            why = f"in its map {path} nothing is known" if path else "it has neither a map nor a map_mean"
            raise UserError(f"{table.name}: pair {name!r} cannot be labelled: {why}; drop the pair")
    return labels
