"""Objects of photos painted over: what replaced them, and the mask of where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from datamodules.base import LoaderConfig, PairDataModule, existing
from datamodules.files import map_figures
from datamodules.pair_dataset import UNCHANGED, map_paths
from datamodules.sources.inpainting_folder import SAME_CLASS, SameClass, read_folder
from registry import DATAMODULES
from semfid.errors import UserError
from semfid.io.decoding import upright_size
from semfid.io.maps import known_mean, read_map
from semfid.io.pair_table import PairTable, read_pairs

MOST = 0.95  # share of the image that a mask may cover


@DATAMODULES.register(
    "inpainting",
    summary="photos with an object painted over, and masks (pair table, or the source project's folder)",
    source="source project (COCO 2017, masks of instances)",
    shared=LoaderConfig,
)
class InpaintingData(PairDataModule):
    """Pairs of a photo and the same photo with an object painted over by one of the same or of another class.

    Give either `table` or `root`. A pair of the level ``same_class`` (column level, else origin) means the same: without a
    map of its own its map is 0 everywhere. Every other pair needs a mask of what changed.

    Args:
        table: a pair table with the column map and the column level or origin; ``same_class`` is the level of pairs that
            mean the same, others may have any name. Optional: difference, bbox, category_before, category_after.
        root: folder in the source project's layout: instances.csv (id, bbox, gt_image_path), impainted_proposals/ (a file's
            name begins with the row of instances.csv, from 0, and ``_``), positive_pairs/ (begins with the annotation's id),
            discarded_proposals/ (names of proposals to leave out).
        maps_csv: for `root`: CSV with gt_image_path, impainted_pth and segmentation_map_path (white is changed; empty:
            nothing changed), and maybe level. Without it proposals have no masks. Its paths, and those of instances.csv, are
            relative to the parent of `root`.
        same_class: for `root`: pairs of positive_pairs: ``gt`` with their photo, ``all`` also with one another, ``none``.
        difference: the label of a whole pair where the table has no column difference. ``level``: 0 for same_class, else 1.
            ``area``: the share of the image that changed (reads every mask).
        sizes: of the two images of a pair. ``strict``: equal. ``resize_reference``: the photo is resized to its candidate's
            size; inpainters that round to multiples of 16 need it. A mask has the size of either.
        on_bad_mask: of a mask of a substituted pair that is empty or covers more than 95 % of the image. ``error``, when it is
            read; ``drop`` leaves the pair out (reads every mask).
    """

    def __init__(
        self,
        table: str | None = None,
        root: str | None = None,
        maps_csv: str | None = None,
        same_class: SameClass = "gt",
        difference: Literal["level", "area"] = "level",
        sizes: Literal["strict", "resize_reference"] = "strict",
        on_bad_mask: Literal["error", "drop"] = "error",
        *,
        loader: LoaderConfig,
    ) -> None:
        super().__init__(loader)
        if (table is None) == (root is None):
            raise UserError("data: give either data.table (a pair table) or data.root (a folder with instances.csv)")
        if table is not None and maps_csv is not None:
            raise UserError("data.maps_csv belongs to data.root; a pair table has its masks in the column map")
        self.path, self.root, self.maps_csv, self.same_class = table, root, maps_csv, same_class
        self.difference_of, self.sizes, self.on_bad_mask = difference, sizes, on_bad_mask
        self.one_size = sizes == "resize_reference"

    def load_table(self) -> PairTable:
        if self.root is not None:
            maps_csv = None if self.maps_csv is None else existing(self.maps_csv, "data.maps_csv")
            table, discarded = read_folder(existing(self.root, "data.root"), maps_csv, self.same_class)
            if discarded:
                self.notes.append(f"{discarded} discarded proposals left out")
        else:
            table = read_pairs(existing(str(self.path), "data.table"))
        levels = _levels(table)
        if "origin" not in table.frame.columns:
            table = table.with_frame(table.frame.assign(origin=levels))
        _need_masks(table, levels)
        if self.on_bad_mask == "drop":
            table, levels = self._without_bad_masks(table, levels)
        same = levels == SAME_CLASS
        self.unchanged = frozenset(table.frame["pair_id"][same])
        self.judge_map = MaskJudge(tuple(same.tolist()))
        if "difference" not in table.frame.columns:
            table = table.with_frame(table.frame.assign(difference=self._labels(table, same)))
        if self.sizes == "strict":
            _check_sizes(table)
        return table

    def _without_bad_masks(self, table: PairTable, levels: pd.Series[str]) -> tuple[PairTable, pd.Series[str]]:
        paths = map_paths(table)
        substituted = [bool(path) and level != SAME_CLASS for path, level in zip(paths, levels, strict=True)]
        changed = map_figures(
            (path for path, looked in zip(paths, substituted, strict=True) if looked), read_map, changed_share
        )
        bad = [
            looked and fault_of(changed[path], substituted=True) is not None
            for path, looked in zip(paths, substituted, strict=True)
        ]
        if not any(bad):
            return table, levels
        if all(bad):
            raise UserError(f"{table.name}: every mask is empty or covers the image; white must mark what changed")
        self.notes.append(f"{sum(bad)} pairs left out for masks that are empty or cover the image")
        kept = ~np.array(bad)
        return table.with_frame(table.frame[kept]), levels[kept].reset_index(drop=True)

    def _labels(self, table: PairTable, same: pd.Series[bool]) -> list[float]:
        if self.difference_of == "level":
            return [0.0 if one else 1.0 for one in same]
        paths = [UNCHANGED if one and not path else path for path, one in zip(map_paths(table), same, strict=True)]
        if "" in paths:
            pair = table.frame["pair_id"].iloc[paths.index("")]
            raise UserError(f"data.difference: area needs masks, and pair {pair!r} has none; use difference: level")
        means = map_figures((path for path in paths if path != UNCHANGED), read_map, known_mean)
        return [means.get(path, 0.0) for path in paths]


@dataclass(frozen=True)
class MaskJudge:
    """Whether the mask of a pair agrees with its level.

    Attributes:
        same: of each row, whether its level is same_class.
    """

    same: Sequence[bool]

    def __call__(self, row: int, values: NDArray[np.float32]) -> str | None:
        """What is wrong with the mask (H, W) of a row, or None."""
        return fault_of(changed_share(values), substituted=not self.same[row])


def fault_of(changed: float, substituted: bool) -> str | None:
    """What is wrong with a mask that calls this share of the image changed."""
    if not substituted:
        if changed == 0:
            return None
        return f"its level is {SAME_CLASS}, and its map calls {changed:.1%} of the image changed; empty the map or mend the level"
    if not changed > 0:
        return (
            "its mask is empty, though something was substituted; white must mark what changed (data.on_bad_mask: drop leaves "
            "such pairs out)"
        )
    if changed > MOST:
        return (
            f"its mask covers {changed:.1%} of the image; white must mark what changed, and not the rest (data.on_bad_mask: drop "
            "leaves such pairs out)"
        )
    return None


def changed_share(values: NDArray[np.float32]) -> float:
    """Share of the known pixels that are changed (0.5 or more); NaN where nothing is known."""
    known = values[~np.isnan(values)]
    return float((known >= 0.5).mean()) if known.size else float("nan")


def _levels(table: PairTable) -> pd.Series[str]:
    for column in ("level", "origin"):
        if column in table.frame.columns:
            levels = table.frame[column].astype(str).str.strip()
            if (levels == "").any():
                pair = table.frame["pair_id"][levels == ""].iloc[0]
                raise UserError(
                    f"{table.name}: pair {pair!r} has no {column}; give {SAME_CLASS}, or the kind of substitution"
                )
            return levels
    raise UserError(f"{table.name} needs the column level (or origin): {SAME_CLASS}, or the kind of substitution")


def _need_masks(table: PairTable, levels: pd.Series[str]) -> None:
    """A table in which some substituted pairs have masks has them all."""
    paths = map_paths(table)
    bare = [not path and level != SAME_CLASS for path, level in zip(paths, levels, strict=True)]
    if any(paths) and any(bare):
        pair = table.frame["pair_id"].iloc[bare.index(True)]
        raise UserError(
            f"{table.name}: pair {pair!r} has no mask in the column map ({sum(bare)} such pairs); add or drop it"
        )


def _check_sizes(table: PairTable) -> None:
    """Raise a UserError that names the first pair whose images differ in size, from the headers of their files."""
    sizes: dict[Path, tuple[int, int] | None] = {}
    for name, reference, candidate in zip(
        table.frame["pair_id"], table.paths("reference"), table.paths("candidate"), strict=True
    ):
        for path in (reference, candidate):
            if path not in sizes:
                sizes[path] = upright_size(path)
        a, b = sizes[reference], sizes[candidate]
        if a is not None and b is not None and a != b:
            raise UserError(
                f"pair {name!r}: the photo {reference} is {a[0]}x{a[1]} and its candidate {b[0]}x{b[1]}; inpaint at the photo's "
                "size, or set data.sizes: resize_reference"
            )
