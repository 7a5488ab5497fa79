"""Batches that know their epoch, for augmentation that depends on it."""

from __future__ import annotations

from collections.abc import Iterator

from torch.utils.data import Sampler

from datamodules.pair_dataset import TrainBatches

Index = tuple[int, float, int]  # row, size of the whole batch, epoch (-1: as it stands)


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
