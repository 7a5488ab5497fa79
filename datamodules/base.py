"""The contract of a datamodule of pairs, and everything that the three kinds of data share."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import lightning as L
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from batch import PairBatch
from datamodules.dataset import Collate, EvaluationBatches, PairDataset, TrainBatches
from datamodules.files import decode_files, hash_files
from datamodules.splits import Part, SplitConfig, split_table
from images import DECODER, Resize
from pairs import PairTable
from registry import UserError

Weights = Literal["none", "votes"]


@dataclass(frozen=True)
class LoaderConfig:
    """How pairs become batches; the keywords that every datamodule takes.

    Attributes:
        split: see `datamodules.splits.SplitConfig`.
        image_size: S; images enter the trunk as S x S.
        resize: see `images.Resize`.
        batch_size: pairs per optimiser step, over all processes together.
        workers: decoding processes per training process; figures do not depend on it.
        weights: ``votes`` weights each pair's loss by its number of votes.
        in_memory: keep decoded images in memory (3 S^2 bytes each).
    """

    split: dict[str, Any] | None = None
    image_size: int = 224
    resize: Resize = "squash"
    batch_size: int = 32
    workers: int = 0
    weights: Weights = "none"
    in_memory: bool = False

    def __post_init__(self) -> None:
        for key, least in (("image_size", 16), ("batch_size", 1), ("workers", 0)):
            if getattr(self, key) < least:
                raise UserError(f"data.{key} is {getattr(self, key)}; it must be at least {least}")
        SplitConfig.parse(self.split)


class PairDataModule(L.LightningDataModule):
    """Loads pairs of images and labels. A subclass implements `load_table`.

    Life: ``prepare()`` reads the table and splits it (idempotent, no image is opened); ``select(part, seed)`` chooses
    what the loaders give; Lightning or the engine takes the loaders.

    Attributes:
        table: the pairs, with their column split or fold.
        parts: the trainings that the split asks for.
        leaky: whether the split ignores sources.
    """

    def __init__(self, loader: LoaderConfig) -> None:
        super().__init__()
        self.loader = loader
        self.split = SplitConfig.parse(loader.split)
        self.leaky = self.split.by == "row"
        self._prepared: tuple[PairTable, list[Part]] | None = None
        self._hashes: dict[str, bytes] = {}
        self._part: Part | None = None
        self._seed = 0

    def load_table(self) -> PairTable:
        """Read or make the pair table; called once per process."""
        raise NotImplementedError(f"{type(self).__name__} must implement load_table")

    def prepare(self) -> None:
        """Read and split the table.

        Raises:
            UserError: whatever is wrong with the table or the split, a label that is missing or constant labels.
        """
        if self._prepared is not None:
            return
        table, parts = split_table(self.load_table(), self.split)
        _check_labels(table)
        self._prepared = table, parts
        self.difference = torch.tensor(table.frame["difference"].to_numpy(), dtype=torch.float32)
        self.weight = _weights(table, self.loader.weights)
        self.dataset = PairDataset(table, self.loader.image_size, self.loader.resize, self.loader.in_memory)
        self._collate = Collate(table, self.difference, self.weight)

    @property
    def table(self) -> PairTable:
        self.prepare()
        return self._prepared[0]  # type: ignore[index]

    @property
    def parts(self) -> list[Part]:
        self.prepare()
        return self._prepared[1]  # type: ignore[index]

    @property
    def preprocessing(self) -> str:
        """What happens between file and trunk; part of every cache key."""
        return f"{DECODER}-{self.loader.resize}-{self.loader.image_size}"

    def select(self, part: Part, seed: int) -> None:
        """Choose the part and the order (by seed) of the coming loaders."""
        self._part, self._seed = part, seed

    def image_hashes(self, progress: Callable[[int, int], None] | None = None) -> dict[str, bytes]:
        """Content digest of every distinct image file, by path; computed once.

        Raises:
            ImageError: a file is missing.
        """
        if not self._hashes:
            self._hashes = hash_files(self.dataset_paths(), progress)
        return self._hashes

    def dataset_paths(self) -> list[str]:
        """Every image path of the table, with repetitions."""
        self.prepare()
        return [*self.dataset.reference, *self.dataset.candidate]

    def check_images(self, progress: Callable[[int, int], None]) -> None:
        """Decode every distinct image.

        Raises:
            UserError: names the first bad image and says how many there are; sizes that differ where they must not.
        """
        sizes = decode_files(self.dataset_paths(), progress)
        if self.loader.resize == "none":
            for name, x, y in zip(
                self.table.frame["pair_id"], self.dataset.reference, self.dataset.candidate, strict=True
            ):
                if sizes[x] != sizes[y]:
                    raise UserError(
                        f"pair {name!r}: {sizes[x]} against {sizes[y]} pixels; data.resize: none needs equal sizes"
                    )

    def describe(self) -> str:
        """One line for `--check`."""
        folds = f", {len(self.parts)} folds" if len(self.parts) > 1 else ""
        return f"{self.table.name}: {len(self.table)} pairs of {self.table.frame['source_id'].nunique()} sources{folds}"

    def content_digest(self, progress: Callable[[int, int], None] | None = None) -> str:
        """16 hex digits over the table's rows, the test parts and every image's bytes."""
        hashes = self.image_hashes(progress)
        digest = hashlib.sha256(self.table.content_hash().encode())
        digest.update(str([part.test.tolist() for part in self.parts]).encode())
        for path in self.dataset_paths():
            digest.update(hashes[path])
        return digest.hexdigest()[:16]

    def train_dataloader(self) -> DataLoader[PairBatch]:
        part = self._chosen()
        rank, world = self._place()
        batches = TrainBatches(part.train, len(self.table), self.loader.batch_size, self._seed, rank, world)
        return self.load(batches)

    def val_dataloader(self) -> DataLoader[PairBatch] | list[Any]:
        part = self._chosen()
        return self.load(EvaluationBatches(part.val, self.loader.batch_size, *self._place())) if len(part.val) else []

    def test_dataloader(self) -> DataLoader[PairBatch]:
        return self.load(EvaluationBatches(self._chosen().test, self.loader.batch_size, *self._place()))

    def calibration_batches(self, pairs: int) -> DataLoader[PairBatch]:
        """At most `pairs` training pairs, in table order, the same on every process."""
        return self.load(EvaluationBatches(self._chosen().train[:pairs], self.loader.batch_size))

    def on_after_batch_transfer(self, batch: PairBatch, dataloader_idx: int) -> PairBatch:
        return to_float(batch)

    def _chosen(self) -> Part:
        if self._part is None:
            self._part = self.parts[0]
        return self._part

    def _place(self) -> tuple[int, int]:
        if self.trainer is None:
            return 0, 1
        return self.trainer.global_rank, self.trainer.world_size

    def load(self, batches: Sampler[list[tuple[int, float]]]) -> DataLoader[PairBatch]:
        workers = self.loader.workers
        return DataLoader(
            self.dataset,  # type: ignore[arg-type]
            batch_sampler=batches,  # type: ignore[arg-type]
            num_workers=workers,
            collate_fn=self._collate,
            persistent_workers=workers > 0,
            pin_memory=torch.cuda.is_available(),
        )


def to_float(batch: PairBatch) -> PairBatch:
    """uint8 images to float32 in [0, 1]."""
    if batch.reference.dtype != torch.uint8:
        return batch
    return batch._replace(reference=batch.reference.float() / 255.0, candidate=batch.candidate.float() / 255.0)


def _check_labels(table: PairTable) -> None:
    if "difference" not in table.frame.columns:
        raise UserError(f"{table.name} has no labels; it needs the column difference, or yes_votes and votes")
    labels = table.frame["difference"]
    if labels.isna().any():
        pair = table.frame["pair_id"][labels.isna()].iloc[0]
        raise UserError(
            f"{table.name}: pair {pair!r} has no difference ({int(labels.isna().sum())} pairs); label or drop it"
        )
    if labels.nunique() == 1:
        raise UserError(
            f"{table.name}: every difference is {labels.iloc[0]:g}; constant labels can neither train nor rank anything"
        )


def _weights(table: PairTable, how: Weights) -> Tensor:
    if how == "none":
        return torch.ones(len(table))
    if "votes" not in table.frame.columns:
        raise UserError(f"data.weights: votes needs the column votes, which {table.name} lacks; use weights: none")
    votes = torch.tensor(table.frame["votes"].to_numpy(), dtype=torch.float32)
    return votes / votes.mean()


def existing(path: str, key: str) -> Path:
    """A path of the YAML, checked to be there."""
    found = Path(path).expanduser()
    if not found.exists():
        raise UserError(f"{key}: no such file or folder {found}")
    return found
