"""Pairs as tensors."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Collection, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from datamodules.batches import PairBatch
from datamodules.framing import (
    Framing,
    Size,
    changed_box,
    draw_tint,
    frame_image,
    object_window,
    parse_bbox,
    random_window,
    square_at,
    tinted,
)
from datamodules.keeping import KeepingDataset
from datamodules.samplers import Index
from semfid.errors import UserError
from semfid.io.cores import cores
from semfid.io.images import read_image, resize_image, to_planes
from semfid.io.listing import on_disk
from semfid.io.maps import Box, Frame, MapError, frame_map, frame_of
from semfid.io.pair_table import PairTable

ReadMap = Callable[[str], "NDArray[np.float32]"]
JudgeMap = Callable[[int, "NDArray[np.float32]"], "str | None"]
UNCHANGED = "unchanged"  # in place of a path: the map is 0 everywhere
_TYPICAL = 32  # maps that are read to learn how large changed regions are


class Item(NamedTuple):
    """One pair.

    Attributes:
        reference, candidate: (3, H, W) uint8.
        map: (1, H, W) float16, or None unless asked for.
        reference_name: equal for references that are the same tensor.
        row, total: as in `PairBatch`.
    """

    reference: Tensor
    candidate: Tensor
    map: Tensor | None
    reference_name: Hashable
    row: int
    total: float


class PairDataset(KeepingDataset):
    """Decodes pairs. A reference that stands several times in a batch is decoded once.

    Args:
        table: the pairs.
        framing: how images become a backbone's input.
        in_memory: keep decoded images (3 S^2 bytes each; whole images where `framing` crops or augments) and maps; for small
            sets.
        read_map: gives the map in a file.
        unchanged: names of pairs without a map whose meaning is known to be the same everywhere.
        judge_map: what is wrong with the map (H, W) of a row, in words that follow ``pair 'x': ``, or None.

    Attributes:
        map: path of each row's map, `UNCHANGED`, or empty.
    """

    def __init__(
        self,
        table: PairTable,
        framing: Framing,
        in_memory: bool,
        read_map: ReadMap,
        unchanged: Collection[str] = (),
        judge_map: JudgeMap | None = None,
    ) -> None:
        self.pair_id = table.frame["pair_id"].tolist()
        self.reference = [str(path) for path in table.paths("reference")]
        self.candidate = [str(path) for path in table.paths("candidate")]
        self.map = [
            UNCHANGED if not path and name in unchanged else path
            for path, name in zip(map_paths(table), self.pair_id, strict=True)
        ]
        self.framing, self.read_map, self.judge_map = framing, read_map, judge_map
        self.maps, self.augmented, self.seed = False, False, 0
        self.bbox: list[Box | None] | None = None
        if framing.object_crop is not None and "bbox" in table.frame.columns:
            self.bbox = [
                parse_bbox(value, f"{table.name}: pair {name!r}")
                for name, value in zip(self.pair_id, table.frame["bbox"], strict=True)
            ]
        self._kept: dict[Hashable, tuple[Tensor, Size]] | None = {} if in_memory else None
        self._kept_maps: dict[str, NDArray[np.float32]] = {}
        self._sides: list[float] | None = None

    def keep(self, rows: Sequence[int] | NDArray[np.int64]) -> None:
        cut = self.augmented or self.framing.object_crop is not None or self.framing.one_size
        read: Callable[[str], object] = self._whole if cut else self._plain
        paths = sorted({path for row in rows for path in (self.reference[int(row)], self.candidate[int(row)])})
        with ThreadPoolExecutor(cores()) as pool:
            list(pool.map(read, paths))

    def view(self, maps: bool, augmented: bool, seed: int) -> PairDataset:
        """The same data with or without maps and augmentation; what is kept in memory is shared.

        Args:
            seed: of the augmentation.
        """
        own = copy.copy(self)
        own.maps, own.augmented, own.seed = maps, augmented and bool(self.framing.augment), seed
        return own

    def __len__(self) -> int:
        return len(self.reference)

    def __getitem__(self, index: tuple[int, float] | Index) -> Item:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[tuple[int, float] | Index]) -> list[Item]:
        """A batch; torch asks for this where a dataset has it."""
        references: dict[Hashable, tuple[Tensor, Size]] = {}
        return [
            self._item(index[0], index[1], index[2] if len(index) == 3 else -1, references)  # type: ignore[misc]
            for index in indices
        ]

    def image(self, path: str) -> Tensor:
        """(3, S, S) uint8, the whole image."""
        return self._plain(path)[0]

    def _item(self, row: int, total: float, epoch: int, references: dict[Hashable, tuple[Tensor, Size]]) -> Item:
        if self.framing.object_crop is None and not (self.augmented and epoch >= 0) and not self.framing.one_size:
            path = self.reference[row]
            if path not in references:
                references[path] = self._plain(path)
            reference, size = references[path]
            candidate, other = self._plain(self.candidate[row])
            return Item(reference, candidate, self._plain_map(row, other, size), path, row, total)
        return self._framed(row, total, epoch if self.augmented else -1, references)

    def _plain(self, path: str) -> tuple[Tensor, Size]:
        """The whole image as (3, S, S) uint8, and the size of its file."""
        if self._kept is not None and path in self._kept:
            return self._kept[path]
        image = read_image(path)
        resized = resize_image(image, self.framing.image_size, self.framing.resize)
        found = torch.from_numpy(to_planes(resized)), image.size
        if self._kept is not None:
            self._kept[path] = found
        return found

    def _plain_map(self, row: int, candidate: Size, reference: Size) -> Tensor | None:
        """(1, S, S) float16 beside whole images; None unless maps are asked for."""
        if not self.maps:
            return None
        values = self.whole_map(row, candidate, reference) if self.map[row] else None
        return _shown(values, frame_of(candidate, self.framing.image_size, self.framing.resize))

    def whole_map(self, row: int, candidate: Size, reference: Size) -> NDArray[np.float32]:
        """The map of a row as its file has it, (H, W).

        Raises:
            MapError: an unreadable map, one that has neither image's size, or what `judge_map` says.
        """
        path = self.map[row]
        if path == UNCHANGED:
            return np.zeros(candidate[::-1], dtype=np.float32)
        values = self._kept_maps.get(path)
        if values is None:
            values = self.read_map(path)
            if self._kept is not None:
                self._kept_maps[path] = values
        self.fit_map(row, values, candidate, reference)
        return values

    def fit_map(self, row: int, values: NDArray[np.float32], candidate: Size, reference: Size) -> None:
        """Raise a MapError where a map (H, W) has neither image's size (width, height), or is judged to be wrong."""
        size = values.shape[1], values.shape[0]
        if size not in (candidate, reference):
            raise MapError(
                f"map {self.map[row]} is {size[0]}x{size[1]} pixels and its candidate {self.candidate[row]} "
                f"{candidate[0]}x{candidate[1]}; make the map again from these images, a resized one would point elsewhere"
            )
        fault = None if self.judge_map is None else self.judge_map(row, values)
        if fault is not None:
            raise MapError(f"pair {self.pair_id[row]!r}: {fault}")

    def map_files(self) -> dict[str, list[int]]:
        """Rows of each file that is a map, by path, in the order of the table."""
        rows: dict[str, list[int]] = {}
        for row, path in enumerate(self.map):
            if path not in ("", UNCHANGED):
                rows.setdefault(path, []).append(row)
        return rows

    def _framed(self, row: int, total: float, epoch: int, references: dict[Hashable, tuple[Tensor, Size]]) -> Item:
        """A pair of which a window is seen, or whose colours change."""
        framing = self.framing
        reference, candidate = self._whole(self.reference[row]), self._whole(self.candidate[row])
        size = candidate.size
        values = None
        if self.map[row] and (self.maps or framing.object_crop is not None):
            values = self.whole_map(row, size, reference.size)
        window: Box = (0.0, 0.0, float(size[0]), float(size[1]))
        if framing.object_crop is not None:
            window = self._object(row, values, size, reference.size, framing.object_crop)
        flip, tint = False, None
        if epoch >= 0:
            rng = np.random.default_rng([self.seed, epoch, row])
            if "crop" in framing.augment:
                window = random_window(window, framing.least_crop, rng)
            flip = "flip" in framing.augment and bool(rng.random() < 0.5)
            if "colour" in framing.augment:
                tint = draw_tint(rng)
        frame = frame_of(size, framing.image_size, framing.resize, window, flip)
        name = (self.reference[row], frame, None if tint is None else tint.tobytes())
        if name not in references:
            references[name] = self._seen(reference, frame, tint), size
        shown = _shown(values, frame) if self.maps else None
        return Item(references[name][0], self._seen(candidate, frame, tint), shown, name, row, total)

    def _seen(self, image: Image.Image, frame: Frame, tint: NDArray[np.float32] | None) -> Tensor:
        pixels = to_planes(frame_image(image, frame))
        return torch.from_numpy(pixels if tint is None else tinted(pixels, tint))

    def _whole(self, path: str) -> Image.Image:
        """The image at its own size."""
        if self._kept is None:
            return read_image(path)
        name = path, "whole"
        if name not in self._kept:
            image = read_image(path)
            self._kept[name] = torch.from_numpy(np.array(image)), image.size
        return Image.fromarray(self._kept[name][0].numpy())

    def _object(self, row: int, values: NDArray[np.float32] | None, size: Size, reference: Size, factor: float) -> Box:
        """The window around what changed; where nothing did, around the table's box, else at random, of like size."""
        found = None if values is None else changed_box(values)
        own = size if values is None else (values.shape[1], values.shape[0])
        if found is None and self.bbox is not None:
            found, own = self.bbox[row], reference
        if found is not None:
            x, y = size[0] / own[0], size[1] / own[1]
            return object_window((found[0] * x, found[1] * y, found[2] * x, found[3] * y), factor, size)
        rng = np.random.default_rng([4, row])
        sides = self.typical_sides()
        side = (sides[int(rng.integers(len(sides)))] if sides else 0.5 * math.sqrt(rng.random())) * factor * min(size)
        return square_at(rng.random() * size[0], rng.random() * size[1], side, size)

    def typical_sides(self) -> list[float]:
        """Sides of changed regions as shares of their image's shorter side, from some of the maps, by row."""
        if self._sides is None:
            rows = [rows[0] for rows in self.map_files().values()]
            picked = [rows[at] for at in np.unique(np.linspace(0, len(rows) - 1, _TYPICAL).astype(int))] if rows else []
            sides = []
            for row in picked:
                values = self.read_map(self.map[row])
                box = changed_box(values)
                if box is not None:
                    sides.append(max(box[2] - box[0], box[3] - box[1]) / min(values.shape))
            self._sides = sides
        return self._sides


def map_paths(table: PairTable) -> list[str]:
    """Absolute path of each row's map; empty where it has none."""
    if "map" not in table.frame.columns:
        return [""] * len(table)
    values = table.frame["map"].tolist()
    return [str(on_disk(table.root / value)) if isinstance(value, str) and value.strip() else "" for value in values]


def _shown(values: NDArray[np.float32] | None, frame: Frame) -> Tensor:
    """(1, H, W) float16, NaN where there is no map: two bytes a pixel from workers, beside six of the two images."""
    shown = np.full(frame.canvas[::-1], np.nan) if values is None else frame_map(values, frame)
    return torch.from_numpy(shown.astype(np.float16))[None]


class Collate:
    """Items to a PairBatch whose images are still uint8; `PairDataModule.on_after_batch_transfer` makes them float."""

    def __init__(self, table: PairTable, difference: Tensor, weight: Tensor) -> None:
        self.pair_id = table.frame["pair_id"].tolist()
        self.source_id = table.frame["source_id"].tolist()
        self.difference, self.weight = difference, weight

    def __call__(self, items: Sequence[Item]) -> PairBatch:
        rows = torch.tensor([item.row for item in items])
        names = tuple(self.pair_id[row] for row in rows.tolist())
        shape = items[0].reference.shape
        for item, name in zip(items, names, strict=True):
            for image in (item.reference, item.candidate):
                if image.shape != shape:
                    raise UserError(
                        f"pair {name!r}: a {image.shape[2]}x{image.shape[1]} image among {shape[2]}x{shape[1]} ones; set "
                        "data.resize to squash, letterbox or center_crop, or batch_size: 1 for pairs of equal size"
                    )
        first: dict[Hashable, int] = {}
        maps = [item.map for item in items if item.map is not None]
        return PairBatch(
            reference=torch.stack([item.reference for item in items]),
            candidate=torch.stack([item.candidate for item in items]),
            difference=self.difference[rows],
            map=torch.stack(maps) if maps else None,
            weight=self.weight[rows],
            pair_id=names,
            source_id=tuple(self.source_id[row] for row in rows.tolist()),
            row=rows,
            total=items[0].total,
            first=torch.tensor([first.setdefault(item.reference_name, at) for at, item in enumerate(items)]),
        )
