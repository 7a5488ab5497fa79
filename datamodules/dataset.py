"""Pairs as tensors, and the order in which processes see them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from batch import PairBatch
from images import Resize, load_pixels
from pairs import PairTable
from registry import UserError

Item = tuple[Tensor, Tensor, Tensor | None, int, float]


class PairDataset(Dataset[Item]):
    """Decodes pairs. An index is (row, size of the whole batch).

    Args:
        table: the pairs.
        image_size: S of S x S images.
        resize: how they become so.
        in_memory: keep decoded images (3 S^2 bytes each); for small sets, with workers: 0.
    """

    def __init__(self, table: PairTable, image_size: int, resize: Resize, in_memory: bool) -> None:
        self.reference = [str(path) for path in table.paths("reference")]
        self.candidate = [str(path) for path in table.paths("candidate")]
        self.image_size, self.resize = image_size, resize
        self._kept: dict[str, Tensor] | None = {} if in_memory else None

    def __len__(self) -> int:
        return len(self.reference)

    def __getitem__(self, index: tuple[int, float]) -> Item:
        row, total = index
        return self.image(self.reference[row]), self.image(self.candidate[row]), None, row, total

    def image(self, path: str) -> Tensor:
        """(3, S, S) uint8."""
        if self._kept is not None and path in self._kept:
            return self._kept[path]
        pixels = torch.from_numpy(load_pixels(path, self.image_size, self.resize))
        if self._kept is not None:
            self._kept[path] = pixels
        return pixels


class Collate:
    """Items to a PairBatch whose images are still uint8; `PairDataModule.on_after_batch_transfer` makes them float."""

    def __init__(self, table: PairTable, difference: Tensor, weight: Tensor) -> None:
        self.pair_id = table.frame["pair_id"].tolist()
        self.source_id = table.frame["source_id"].tolist()
        self.difference, self.weight = difference, weight

    def __call__(self, items: Sequence[Item]) -> PairBatch:
        rows = torch.tensor([item[3] for item in items])
        names = tuple(self.pair_id[row] for row in rows.tolist())
        for item, name in zip(items, names, strict=True):
            for image in (item[0], item[1]):
                if image.shape != items[0][0].shape:
                    raise UserError(
                        f"pair {name!r}: a {image.shape[2]}x{image.shape[1]} image among {items[0][0].shape[2]}x"
                        f"{items[0][0].shape[1]} ones; set data.resize to squash, letterbox or center_crop, or batch_size: 1 "
                        "for pairs of equal size"
                    )
        return PairBatch(
            reference=torch.stack([item[0] for item in items]),
            candidate=torch.stack([item[1] for item in items]),
            difference=self.difference[rows],
            map=None,
            weight=self.weight[rows],
            pair_id=names,
            source_id=tuple(self.source_id[row] for row in rows.tolist()),
            row=rows,
            total=items[0][4],
        )


def epoch_order(rows: NDArray[np.int64], count: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """The training rows in the order of an epoch.

    One permutation of all `count` rows of the table, thinned to `rows`: the folds of a variant then meet their pairs in
    almost the same order, and one pass over cached statistics serves all of them.
    """
    permutation = np.random.default_rng([seed, epoch]).permutation(count)
    member = np.zeros(count, dtype=bool)
    member[rows] = True
    return permutation[member[permutation]]


class TrainBatches(Sampler[list[tuple[int, float]]]):
    """Shuffled batches, each shared out over the processes; `batch_size` is that of all processes together.

    The order depends on seed and epoch only, so a resumed run goes on as an uninterrupted one, and a run on N processes
    takes the steps of a run on one. Of a remainder with fewer pairs than processes, the processes without a pair of their
    own take its first pair as one of a batch of infinite size: it counts nothing.
    """

    def __init__(
        self, rows: NDArray[np.int64], count: int, batch_size: int, seed: int, rank: int = 0, world: int = 1
    ) -> None:
        if batch_size < world:
            raise UserError(
                f"data.batch_size={batch_size} cannot be shared by {world} processes; make it at least {world}"
            )
        if len(rows) < world:
            raise UserError(f"{len(rows)} training pairs cannot be shared by {world} processes; use fewer devices")
        self.rows, self.count, self.batch_size, self.seed = rows, count, batch_size, seed
        self.rank, self.world, self.epoch = rank, world, 0
        self.sampler = self  # Lightning calls set_epoch on a loader's sampler and on its batch_sampler.sampler only

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning at the start of each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-len(self.rows) // self.batch_size)

    def __iter__(self) -> Iterator[list[tuple[int, float]]]:
        order = epoch_order(self.rows, self.count, self.seed, self.epoch)
        for index in range(len(self)):
            whole = order[index * self.batch_size : (index + 1) * self.batch_size]
            mine = [(int(row), float(len(whole))) for row in whole[self.rank :: self.world]]
            yield mine or [(int(whole[0]), math.inf)]


class EvaluationBatches(Sampler[list[tuple[int, float]]]):
    """Rows in order, every one exactly once over all processes: nothing is repeated to fill up."""

    def __init__(self, rows: NDArray[np.int64], batch_size: int, rank: int = 0, world: int = 1) -> None:
        if len(rows) < world:
            raise UserError(f"{len(rows)} pairs to evaluate cannot be shared by {world} processes; use fewer devices")
        self.rows, self.batch_size = rows[rank::world], max(1, batch_size // world)

    def __len__(self) -> int:
        return -(-len(self.rows) // self.batch_size)

    def __iter__(self) -> Iterator[list[tuple[int, float]]]:
        for start in range(0, len(self.rows), self.batch_size):
            chunk = self.rows[start : start + self.batch_size]
            yield [(int(row), len(chunk)) for row in chunk]
