"""The contract of a datamodule of pairs, and everything that the three kinds of data share."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from datamodules.batches import PairBatch, to_float
from datamodules.files import decode_files, decode_maps, hash_files
from datamodules.framing import Framing, PairAugment
from datamodules.loaders import LoaderOptions, LoadingModule, PartName
from datamodules.pair_dataset import Collate, JudgeMap, PairDataset, ReadMap
from datamodules.samplers import EvaluationBatches
from datamodules.splits import Part, SplitConfig, split_table
from semfid.errors import UserError
from semfid.io.images import DECODER
from semfid.io.listing import on_disk
from semfid.io.maps import MapError, read_map
from semfid.io.pair_table import PairTable
from semfid.io.profiles import profiles_differ
from semfid.progress import Advance

Weights = Literal["none", "votes"]


@dataclass(frozen=True)
class LoaderConfig(LoaderOptions):
    """How pairs become batches; the keywords that every datamodule takes.

    Attributes:
        split: see `datamodules.splits.SplitConfig`.
        image_size: S; images enter the backbone as S x S, or under ``resize: bounded`` with a longer side of at most S.
        resize: see `images.Resize`.
        batch_size: pairs per optimiser step, over all processes together.
        workers: decoding processes per training process, see `datamodules.loaders.LoaderOptions`; figures do not depend on it.
        weights: ``votes`` weights each pair's loss by its number of votes.
        in_memory: keep decoded images in memory (3 S^2 bytes each; whole images under `augment` and `object_crop`).
        augment: of training pairs, a list; see `datamodules.framing.PairAugment`. Both images and the map undergo the same,
            drawn from seed, epoch and row. Statistics of a frozen backbone cannot be kept under it.
        least_crop: least share of the area that ``crop`` keeps.
        object_crop: see only a square around the object, in every part of the split alike: the bounding box of what the
            pair's map calls changed (0.5 or more), else of the table's column bbox (``[x, y, width, height]`` in pixels of the
            reference), its longer side times this factor, moved inside the image. Where there is neither, a place drawn from
            the row, of a size that changed regions of other pairs have.
    """

    weights: Weights = "none"
    augment: list[PairAugment] | None = None
    least_crop: float = 0.5
    object_crop: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.object_crop is not None and not (math.isfinite(self.object_crop) and self.object_crop >= 1):
            raise UserError(f"data.object_crop is {self.object_crop:g}; it must be at least 1, the object's box itself")
        cuts = {"augment: crop": "crop" in (self.augment or ()), "object_crop": self.object_crop is not None}
        self.check_windows(self.least_crop, cuts)
        SplitConfig.parse(self.split)


class PairDataModule(LoadingModule):
    """Loads pairs of images, labels and, where they are asked for, maps. A subclass implements `load_table`.

    Life: ``prepare()`` reads the table and splits it (idempotent, no image is opened); ``select(part, seed, maps)`` chooses
    what the loaders give; Lightning or the engine takes the loaders. Maps are read only where they are asked for.

    Attributes:
        table: the pairs, with their column split or fold.
        parts: the trainings that the split asks for.
        leaky: whether the split ignores sources.
        read_map: gives the map in a file; a subclass may know other files.
        one_size: whether a reference of another size is taken as if it had its candidate's.
        unchanged: names of pairs without a map whose meaning is known to be the same everywhere; their map is 0.
        judge_map: what is wrong with the map of a row (see `datamodules.pair_dataset.PairDataset`), or None.
        notes: what a user should know of how the table came about, such as pairs that were left out; `describe` says it.
    """

    read_map: ReadMap = staticmethod(read_map)
    one_size = False
    unchanged: Collection[str] = ()
    judge_map: JudgeMap | None = None
    loader: LoaderConfig
    images_per_row = 2

    def __init__(self, loader: LoaderConfig) -> None:
        super().__init__(loader)
        self.split = SplitConfig.parse(loader.split)
        self.leaky = self.split.by == "row"
        self._prepared: tuple[PairTable, list[Part]] | None = None
        self._part: Part | None = None
        self._maps = False
        self.notes: list[str] = []

    @classmethod
    def check(cls, keywords: Mapping[str, Any]) -> None:
        """Check keywords together, before anything is read; each alone has been checked.

        Raises:
            UserError: what cannot be; names the key.
        """

    def load_table(self) -> PairTable:
        """Read or make the pair table; called once per process."""
        raise NotImplementedError(f"{type(self).__name__} must implement load_table")

    def prepare(self) -> None:
        """Read and split the table.

        Raises:
            UserError: an invalid table or split, a label that is missing or constant labels, an
                `object_crop` without maps or boxes.
        """
        if self._prepared is not None:
            return
        table, parts = split_table(self.load_table(), self.split)
        _check_labels(table)
        self._prepared = table, parts
        self.difference = torch.tensor(table.frame["difference"].to_numpy(), dtype=torch.float32)
        self.weight = _weights(table, self.loader.weights)
        self.dataset = PairDataset(
            table, self._framing(), self.loader.in_memory, self.read_map, self.unchanged, self.judge_map
        )
        if self.loader.object_crop is not None and self.dataset.bbox is None and not any(self.dataset.map):
            raise UserError(f"data.object_crop needs the column map or bbox, and {table.name} has neither; remove it")
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
        """What happens between file and backbone; part of every cache key."""
        return f"{DECODER}-{self.loader.resize}-{self.loader.image_size}"

    @property
    def fixed_images(self) -> bool:
        """Whether an image is the same tensor in every pair and every epoch; only then may what a backbone sees be kept."""
        return self._framing().fixed

    @property
    def has_maps(self) -> bool:
        """Whether any pair has a map."""
        self.prepare()
        return any(self.dataset.map)

    def select(self, part: Part, seed: int, maps: bool = False) -> None:
        """Choose the part, the order (by seed) and whether the coming loaders give maps.

        Raises:
            UserError: maps of a table without any.
        """
        if maps:
            self.need_maps()
        self._part, self._seed, self._maps = part, seed, maps

    @property
    def count(self) -> int:
        return len(self.table)

    def rows_of(self, part: PartName) -> NDArray[np.int64]:
        rows: NDArray[np.int64] = getattr(self._chosen(), part)
        return rows

    def dataset_paths(self) -> list[str]:
        self.prepare()
        return [*self.dataset.reference, *self.dataset.candidate]

    def check_images(self, progress: Advance) -> None:
        """Decode every distinct image and every map.

        Raises:
            UserError: names the first bad image or map and says how many there are; sizes that differ where they must not.
        """
        paths, maps = self.dataset_paths(), len(self.dataset.map_files())
        images = len({*paths})
        checked = decode_files(paths, lambda done, _: progress(done, images + maps))
        sizes = {path: one.size for path, one in checked.items()}
        self.check_sizes(sizes)
        self._note_profiles({path: one.profile for path, one in checked.items()})
        decode_maps(self.dataset, sizes, lambda done, _: progress(images + done, images + maps))

    def _note_profiles(self, profiles: Mapping[str, str]) -> None:
        """Say which pairs have a colour profile on one side alone, which no decoder applies."""
        sides = zip(self.table.frame["pair_id"], self.dataset.reference, self.dataset.candidate, strict=True)
        differ = [
            f"pair {name!r}: {told}"
            for name, x, y in sides
            if (told := profiles_differ(Path(x).name, profiles[x], Path(y).name, profiles[y]))
        ]
        if differ:
            more = f" (and {len(differ) - 1} more such pairs)" if len(differ) > 1 else ""
            self.notes.append(f"{differ[0]}{more}")

    def check_sizes(self, sizes: dict[str, tuple[int, int]]) -> None:
        """Raise a UserError where the two images of a pair must have one size and do not."""
        if self.loader.resize in ("none", "bounded") and not self.one_size:
            for name, x, y in zip(
                self.table.frame["pair_id"], self.dataset.reference, self.dataset.candidate, strict=True
            ):
                if sizes[x] != sizes[y]:
                    raise UserError(
                        f"pair {name!r}: {sizes[x]} against {sizes[y]} pixels; data.resize: {self.loader.resize} needs equal "
                        "sizes; scale one to the other's size, or set data.resize: squash"
                    )

    def describe(self) -> str:
        """One line for `--check`."""
        folds = f", {len(self.parts)} folds" if len(self.parts) > 1 else ""
        said = "".join(f"; {note}" for note in self.notes)
        sources = self.table.frame["source_id"].nunique()
        return f"{self.table.name}: {len(self.table)} pairs of {sources} sources{folds}{said}"

    def content_digest(self, progress: Advance | None = None, maps: bool = False) -> str:
        """16 hex digits over the table's rows, the test parts and every image's bytes.

        Args:
            maps: of every map too; of what does not look at maps, a new map is no new data. Crops around objects look.

        Raises:
            UserError: a file is missing; maps of a table without any.
        """
        hashes = self.image_hashes(progress)
        digest = hashlib.sha256(self.table.content_hash().encode())
        digest.update(str([part.test.tolist() for part in self.parts]).encode())
        for path in self.dataset_paths():
            digest.update(hashes[path])
        if maps:
            self.need_maps()
        if maps or self.loader.object_crop is not None:
            files = self.dataset.map_files()
            missing = next((path for path in files if not Path(path).is_file()), None)
            if missing is not None:
                raise MapError(f"no map {missing}; check the column map of {self.table.name}, or leave the entry empty")
            of_maps = hash_files(files)
            for path in self.dataset.map:
                digest.update(of_maps.get(path, path.encode()))
        return digest.hexdigest()[:16]

    def calibration_batches(self, pairs: int) -> DataLoader[PairBatch]:
        """At most `pairs` training pairs, in table order, not augmented, the same on every process."""
        return self.load(EvaluationBatches(self._chosen().train[:pairs], self.loader.batch_size), self._maps)

    def on_after_batch_transfer(self, batch: PairBatch, dataloader_idx: int) -> PairBatch:
        return to_float(batch)

    def _chosen(self) -> Part:
        if self._part is None:
            self._part = self.parts[0]
        return self._part

    def load(self, batches: Sampler[list[tuple[int, float]]], maps: bool = False) -> DataLoader[PairBatch]:
        """A loader of pairs as they are in the files.

        Raises:
            UserError: maps of a table without any.
        """
        return self._of_pairs(batches, maps, augmented=False)

    def _load(self, batches: Sampler[list[tuple[int, float]]], augmented: bool) -> DataLoader[PairBatch]:
        return self._of_pairs(batches, self._maps, augmented)

    def _of_pairs(
        self, batches: Sampler[list[tuple[int, float]]], maps: bool, augmented: bool
    ) -> DataLoader[PairBatch]:
        self.prepare()
        if maps:
            self.need_maps()
        if self.loader.object_crop is not None:
            self.dataset.typical_sides()  # before there are workers, which would each do it
        dataset = self.dataset.view(maps, augmented, self._seed)
        return self._loader_of(dataset, self._collate, batches, dataset.augmented, dataset.augmented, 6 + 2 * maps)

    def _framing(self) -> Framing:
        own = self.loader
        return Framing(
            own.image_size, own.resize, tuple(own.augment or ()), own.least_crop, own.object_crop, self.one_size
        )

    def need_maps(self) -> None:
        """Raise a UserError where the table has no maps."""
        if not self.has_maps:
            raise UserError(
                f"{self.table.name} has no maps; add the column map, with the path of a difference map (8-bit grey PNG or "
                "float16 .npy, relative to the table's folder) for each pair that has one"
            )


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
    unvoted = table.frame["votes"].isna()
    if unvoted.any():
        pair = table.frame["pair_id"][unvoted].iloc[0]
        raise UserError(
            f"data.weights: votes, but pair {pair!r} of {table.name} has none ({int(unvoted.sum())} pairs); use weights: none"
        )
    votes = torch.tensor(table.frame["votes"].to_numpy(), dtype=torch.float32)
    return votes / votes.mean()


def existing(path: str, key: str) -> Path:
    """A path of the YAML, checked to be there."""
    found = on_disk(Path(path).expanduser())
    if not found.exists():
        raise UserError(f"{key}: no such file or folder {found}")
    return found
