"""Test pairs with their target maps, as tensors of the size that the trunk sees."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from batch import PairBatch
from datamodules import PairDataModule, to_float
from datamodules.dataset import EvaluationBatches
from images import Resize
from registry import UserError

Map = NDArray[np.float32]


def has_maps(data: PairDataModule) -> bool:
    """Whether the table names maps."""
    return "map" in data.table.frame.columns


def target_batches(data: PairDataModule, rows: NDArray[np.int64], batch_size: int) -> Iterator[PairBatch]:
    """Pairs of the table in the order of `rows`, with their maps.

    Args:
        data: with a column ``map``.

    Yields:
        batches of float images; ``map`` is (B, 1, H, W) float32, NaN where unknown.

    Raises:
        UserError: an image or a map that cannot be read.
    """
    for batch in data.load(EvaluationBatches(rows, batch_size)):
        maps = [torch.from_numpy(target_map(data, row)) for row in batch.row.tolist()]
        yield to_float(batch)._replace(map=torch.stack(maps)[:, None])


def target_map(data: PairDataModule, row: int) -> Map:
    """The map of one row of the table, (H, W) at the size of its images in a batch; NaN where unknown.

    Raises:
        UserError: the map cannot be read.
    """
    name = str(data.table.frame["map"].iloc[row])
    if not name:
        width, height = _image_size(data, row)
        return np.full((height, width), np.nan, dtype=np.float32)
    return _resized(_read(data.table.root / name), data.loader.image_size, data.loader.resize)


def _image_size(data: PairDataModule, row: int) -> tuple[int, int]:
    if data.loader.resize != "none":
        return data.loader.image_size, data.loader.image_size
    _, height, width = data.dataset.image(data.dataset.candidate[row]).shape
    return width, height


def _read(path: Path) -> Map:
    try:
        if path.suffix == ".npy":
            return np.array(np.load(path, allow_pickle=False), dtype=np.float32)
        with Image.open(path) as image:
            return np.array(image.convert("L"), dtype=np.float32) / np.float32(255)
    except (OSError, ValueError, EOFError, UnidentifiedImageError) as error:
        raise UserError(f"map {path} cannot be read; make it again, or leave its cell empty") from error


def _resized(values: Map, size: int, how: Resize) -> Map:
    if how == "none":
        return values
    image = Image.fromarray(values)
    if how == "squash":
        image = image.resize((size, size), Image.Resampling.BILINEAR)
    elif how == "letterbox":
        image = ImageOps.pad(image, (size, size), Image.Resampling.BILINEAR, color=float("nan"))  # type: ignore[arg-type]
    else:
        image = ImageOps.fit(image, (size, size), Image.Resampling.BILINEAR)
    return np.array(image, dtype=np.float32)


def in_passes(data: PairDataModule, rows: Sequence[int], folds: Sequence[int]) -> NDArray[np.int64]:
    """Rows fold by fold, and within a fold reference by reference: each reference is then described once."""
    key = zip(folds, (data.dataset.reference[row] for row in rows), rows, strict=True)
    return np.array([row for _, _, row in sorted(key)], dtype=np.int64)
