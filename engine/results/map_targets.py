"""Test pairs with their target maps, in an order that describes each reference once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from datamodules import PairDataModule, to_float
from datamodules.batches import PairBatch
from datamodules.samplers import EvaluationBatches

Map = NDArray[np.float32]


def target_batches(data: PairDataModule, rows: NDArray[np.int64], batch_size: int) -> Iterator[PairBatch]:
    """Pairs of the table in the order of `rows`, as float images, with their maps.

    Raises:
        UserError: an image or a map that cannot be read; a table without maps.
    """
    for batch in data.load(EvaluationBatches(rows, batch_size), maps=True):
        yield to_float(batch)


def target_pair(data: PairDataModule, row: int) -> tuple[Tensor, Tensor, Map]:
    """One pair as it stands in `target_batches`, without a loader's processes.

    Returns:
        reference and candidate, (1, 3, H, W) in [0, 1]; the map, (H, W).

    Raises:
        UserError: an image or a map that cannot be read.
    """
    item = data.dataset.view(maps=True, augmented=False, seed=0)[(row, 1.0)]
    assert item.map is not None
    return item.reference[None].float() / 255, item.candidate[None].float() / 255, item.map[0].float().numpy()


def reference_name(data: PairDataModule, row: int) -> str:
    """Equal for pairs whose reference is the same tensor: not where each pair has a frame of its own."""
    path = data.dataset.reference[row]
    same = data.loader.object_crop is None and not data.one_size
    return path if same else f"{path} {row}"


def in_passes(data: PairDataModule, folds: Mapping[int, int]) -> NDArray[np.int64]:
    """Rows fold by fold, and within a fold reference by reference.

    Args:
        folds: row to the fold that it is tested in.
    """
    key = sorted((fold, data.dataset.reference[row], row) for row, fold in folds.items())
    return np.array([row for _, _, row in key], dtype=np.int64)
