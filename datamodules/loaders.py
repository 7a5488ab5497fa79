"""How items become batches: what datamodules of pairs and of single images share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import lightning as L
import numpy as np
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Sampler

from datamodules.files import hash_files
from datamodules.keeping import KeepingDataset
from datamodules.samplers import EvaluationBatches, TrainBatches, WithEpoch
from semfid.errors import UserError
from semfid.io.images import Resize
from semfid.io.shared_memory import AHEAD, Shared, check_room
from semfid.io.workers import Workers, auto_workers

PartName = Literal["train", "val", "test"]


@dataclass(frozen=True)
class LoaderOptions:
    """Keywords of every datamodule.

    Attributes:
        split: which items are held out.
        image_size: S; images become S x S.
        resize: see `images.Resize`.
        batch_size: items per optimiser step, over all processes together.
        workers: decoding processes per training process; results do not depend on it. ``auto``: cores minus one, shared by the
            training processes; one for each 256 images of an epoch at most, none where images are kept and not augmented.
        in_memory: keep decoded images in memory.
    """

    split: dict[str, Any] | None = None
    image_size: int = 224
    resize: Resize = "squash"
    batch_size: int = 32
    workers: Workers = "auto"
    in_memory: bool = False

    def __post_init__(self) -> None:
        for key, least in (("image_size", 16), ("batch_size", 1), ("workers", 0)):
            if getattr(self, key) != "auto" and getattr(self, key) < least:
                raise UserError(f"data.{key} is {getattr(self, key)}; it must be at least {least}")

    def check_windows(self, least_crop: float, cuts: Mapping[str, bool]) -> None:
        """Refuse windows of images that are not S x S.

        Args:
            least_crop: least share of the area that a random window keeps.
            cuts: keywords under which windows are cut, and whether they do it.
        """
        if not 0 < least_crop <= 1:
            raise UserError(f"data.least_crop is {least_crop:g}; it must be above 0 and at most 1")
        for key, cut in cuts.items():
            if cut and self.resize in ("none", "bounded"):
                raise UserError(f"data.{key} makes S x S images; it cannot go with data.resize: {self.resize}")


class LoadingModule(L.LightningDataModule):
    """A datamodule whose loaders give rows of one table; of pairs (`PairDataModule`) or of single images (`ImageDataModule`).

    A subclass implements `count`, `rows_of`, `dataset_paths` and `_load`.
    """

    loader: LoaderOptions
    images_per_row = 1

    def __init__(self, loader: LoaderOptions) -> None:
        super().__init__()
        self.loader = loader
        self._hashes: dict[str, bytes] = {}
        self._seed = 0

    @property
    def count(self) -> int:
        """Rows of the table."""
        raise NotImplementedError(f"{type(self).__name__} must implement count")

    def rows_of(self, part: PartName) -> NDArray[np.int64]:
        """Rows of a part, (n,)."""
        raise NotImplementedError(f"{type(self).__name__} must implement rows_of")

    def dataset_paths(self) -> list[str]:
        """Every image path of the table, with repetitions."""
        raise NotImplementedError(f"{type(self).__name__} must implement dataset_paths")

    def image_hashes(self, progress: Callable[[int, int], None] | None = None) -> dict[str, bytes]:
        """Content digest of every distinct image file, by path; computed once.

        Raises:
            ImageError: a file is missing.
        """
        if not self._hashes:
            self._hashes = hash_files(self.dataset_paths(), progress)
        return self._hashes

    def train_dataloader(self) -> DataLoader[Any]:
        rows, size = self.rows_of("train"), self.loader.batch_size
        return self._load(TrainBatches(rows, self.count, size, self._seed, *self._place()), augmented=True)

    def val_dataloader(self) -> DataLoader[Any] | list[Any]:
        return self._evaluation("val") if len(self.rows_of("val")) else []

    def test_dataloader(self) -> DataLoader[Any]:
        return self._evaluation("test")

    def _evaluation(self, part: PartName) -> DataLoader[Any]:
        batches = EvaluationBatches(self.rows_of(part), self.loader.batch_size, *self._place())
        return self._load(batches, augmented=False)

    def _place(self) -> tuple[int, int]:
        """Rank and number of the processes."""
        return (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)

    def _feeds_gpu(self) -> bool:
        """Whether a training on a GPU takes the batches; elsewhere pages need not be locked for it."""
        return self.trainer is not None and self.trainer.strategy.root_device.type == "cuda"

    def workers_for(self, images: int, batches: int, batch_bytes: int, augmented: bool = False) -> int:
        """Decoding processes of a loader.

        Args:
            images: of an epoch of this process.
            batches: that they come in.
            batch_bytes: of the largest, of all training processes together; 0: not known.
            augmented: whether images are changed after they are decoded, which is work where they are kept too.

        Raises:
            UserError: no room in shared memory for as many as were asked for.
        """
        wanted = self.loader.workers
        if wanted == "auto":
            beside = 1 if self.trainer is None else self.trainer.num_devices
            none = self.loader.in_memory and not augmented
            return 0 if none else auto_workers(images, batches, batch_bytes, beside)
        check_room(wanted, batches, batch_bytes)
        return wanted

    def _load(self, batches: Sampler[list[tuple[int, float]]], augmented: bool) -> DataLoader[Any]:
        raise NotImplementedError(f"{type(self).__name__} must implement _load")

    def _loader_of(
        self,
        dataset: KeepingDataset,
        collate: Callable[[Sequence[Any]], Any],
        batches: Sampler[list[tuple[int, float]]],
        with_epoch: bool,
        augmented: bool,
        bytes_per_pixel: int,
    ) -> DataLoader[Any]:
        """A loader whose workers, where there are any, have room for its batches in shared memory."""
        items, count = min(self.loader.batch_size, self.count), len(batches)  # type: ignore[arg-type]
        known = self.loader.resize != "none"  # else images are of any size
        largest = items * self.loader.image_size**2 * bytes_per_pixel if known else 0
        workers = self.workers_for(items * count * self.images_per_row, count, largest, augmented)
        if workers and self.loader.in_memory:
            dataset.keep(batches.rows)  # type: ignore[attr-defined]  # workers share what is there when they start
        return DataLoader(
            dataset,
            batch_sampler=WithEpoch(batches) if with_epoch else batches,  # type: ignore[arg-type]
            num_workers=workers,
            collate_fn=Shared(collate),
            persistent_workers=workers > 0,
            prefetch_factor=AHEAD if workers else None,
            pin_memory=self._feeds_gpu(),
        )
