"""Which rows come in which batch, in which order, on which process, and for which epoch."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

from semfid.errors import UserError

Index = tuple[int, float, int]  # row, size of the whole batch, epoch (-1: without augmentation)


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


class WithEpoch(Sampler[list[Index]]):
    """Batches of rows, each row with the epoch that its augmentation is drawn for."""

    def __init__(self, batches: Sampler[list[tuple[int, float]]]) -> None:
        self.batches = batches
        self.sampler = self  # Lightning calls set_epoch on a loader's sampler and on its batch_sampler.sampler only

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning at the start of each epoch."""
        if isinstance(self.batches, TrainBatches):
            self.batches.set_epoch(epoch)

    def __len__(self) -> int:
        return len(self.batches)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[list[Index]]:
        epoch = self.batches.epoch if isinstance(self.batches, TrainBatches) else -1
        for batch in self.batches:
            yield [(row, total, epoch) for row, total in batch]
