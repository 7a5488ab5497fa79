"""The contract of a datamodule of single images: photos with a class, a caption, both or neither."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Sampler

from datamodules.batches import ImageBatch, ImageList, unit_range
from datamodules.files import decode_files
from datamodules.image_dataset import Augment, ImageCollate, ImageDataset
from datamodules.loaders import LoaderOptions, LoadingModule, PartName
from semfid.errors import UserError, did_you_mean
from semfid.io.listing import on_disk
from semfid.io.splits import cut, shuffled, split_counts
from semfid.progress import Advance

SPLIT_KEYS = ("val", "test", "seed")
PARTS = ("train", "val", "test")


@dataclass(frozen=True)
class ImageTable:
    """The images of a set, in an order that depends on their names alone.

    Attributes:
        name: what messages call the set.
        root: folder that `paths` are relative to.
        paths: N names below `root`.
        classes: class name of each image, or empty where images have no class.
        captions: the sentences of each image (N tuples), or empty where images have none.
        split: ``train``, ``val`` or ``test`` of each image, or empty: then the datamodule draws it.
    """

    name: str
    root: Path
    paths: Sequence[str]
    classes: Sequence[str] = ()
    captions: Sequence[tuple[str, ...]] = ()
    split: Sequence[str] = ()

    def content_hash(self) -> str:
        """sha256 (hex) over names, classes, captions and split."""
        content = [list(self.paths), list(self.classes), [list(one) for one in self.captions], list(self.split)]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()


@dataclass(frozen=True)
class ImageLoader(LoaderOptions):
    """How single images become batches; the keywords that every datamodule of images takes.

    Attributes:
        split: ``{val: 0.1, test: 0, seed: 0}``, shares of the images. Figures are of the test part, or of the
            validation part where there is no test part.
        image_size: S; images become S x S.
        resize: see `images.Resize`.
        batch_size: images per optimiser step, over all processes together.
        workers: decoding processes per training process, see `datamodules.loaders.LoaderOptions`; results do not depend on it.
        in_memory: keep decoded images in memory.
        augment: of training images, a list; see `datamodules.image_dataset.Augment`.
        least_crop: least share of the area that ``crop`` keeps.
    """

    batch_size: int = 64
    augment: list[Augment] | None = None
    least_crop: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_windows(self.least_crop, {"augment: crop": "crop" in (self.augment or ())})
        parse_split(self.split)


def parse_split(value: Mapping[str, Any] | None) -> tuple[float, float, int]:
    """(val, test, seed) of ``data.split``.

    Raises:
        UserError: an unknown key, a share outside [0, 1), nothing held out or nothing left to train on.
    """
    found = {"val": 0.1, "test": 0.0, "seed": 0}
    for key, item in (value or {}).items():
        if key not in SPLIT_KEYS:
            raise UserError(
                f"data.split has no key '{key}'{did_you_mean(str(key), SPLIT_KEYS)} (images take: {', '.join(SPLIT_KEYS)})"
            )
        if (
            not isinstance(item, (int, float))
            or isinstance(item, bool)
            or (key == "seed" and not isinstance(item, int))
        ):
            raise UserError(f"data.split.{key} is {item!r}; it must be a number")
        found[key] = item
    val, test = float(found["val"]), float(found["test"])
    if not (val >= 0 and test >= 0 and 0 < val + test < 1):
        raise UserError(
            f"data.split: val={val:g} and test={test:g} must be >= 0, hold something out and leave something to train on"
        )
    return val, test, int(found["seed"])


class ImageDataModule(LoadingModule):
    """Loads single images. A subclass implements `load_images`.

    Life: ``prepare()`` reads the table (idempotent, no image is opened); ``select(seed)`` sets the order and the
    augmentation of the coming loaders; Lightning takes the loaders.

    Attributes:
        table: the images.
        listed: classes, labels, captions and parts, as a module may see them.
        rows: int64 rows of ``train``, ``val`` and ``test``.
    """

    loader: ImageLoader

    def __init__(self, loader: ImageLoader) -> None:
        super().__init__(loader)
        self._prepared: tuple[ImageTable, ImageList] | None = None

    def load_images(self) -> ImageTable:
        """Read or make the table; called once per process."""
        raise NotImplementedError(f"{type(self).__name__} must implement load_images")

    def prepare(self) -> None:
        """Read the table and split it.

        Raises:
            UserError: an invalid table or split.
        """
        if self._prepared is not None:
            return
        table = self.load_images()
        if not table.paths:
            raise UserError(f"{table.name} holds no image")
        self.rows = _parts(table, self.loader.split)
        names = sorted({*table.classes} - {""})
        number = {name: index for index, name in enumerate(names)}
        labels = [number.get(name, -1) for name in table.classes] or [-1] * len(table.paths)
        listed = ImageList(
            name=table.name,
            classes=tuple(names),
            label=torch.tensor(labels, dtype=torch.int64),
            captions=tuple(table.captions) or ((),) * len(table.paths),
            train=torch.from_numpy(self.rows["train"]),
            test=torch.from_numpy(self.test_rows),
        )
        self._prepared = table, listed
        self.select(self._seed)

    @property
    def table(self) -> ImageTable:
        self.prepare()
        return self._prepared[0]  # type: ignore[index]

    @property
    def listed(self) -> ImageList:
        self.prepare()
        return self._prepared[1]  # type: ignore[index]

    @property
    def count(self) -> int:
        return len(self.table.paths)

    def rows_of(self, part: PartName) -> NDArray[np.int64]:
        self.prepare()
        return self.test_rows if part == "test" else self.rows[part]

    @property
    def test_part(self) -> str:
        """Which part the figures are of."""
        return "test" if len(self.rows["test"]) else "val"

    @property
    def test_rows(self) -> NDArray[np.int64]:
        return self.rows[self.test_part]

    def select(self, seed: int) -> None:
        """Choose order and augmentation of the coming loaders."""
        self._seed = seed
        loader, table = self.loader, self.table
        paths = self.dataset_paths()
        self.dataset = ImageDataset(
            paths,
            self.listed,
            loader.image_size,
            loader.resize,
            loader.in_memory,
            loader.augment or (),
            loader.least_crop,
            seed,
        )
        self._collate = ImageCollate([str(path) for path in table.paths], self.listed.label)

    def dataset_paths(self) -> list[str]:
        """Every image's path, in row order."""
        return [str(on_disk(self.table.root / path)) for path in self.table.paths]

    def describe(self) -> str:
        """One line for `--check`."""
        kinds = f", {len(self.listed.classes)} classes" if self.listed.classes else ""
        parts = ", ".join(f"{len(self.rows[part])} {part}" for part in PARTS)
        return f"{self.table.name}: {len(self.table.paths)} images{kinds} ({parts})"

    def content_digest(self, progress: Advance | None = None) -> str:
        """16 hex digits over the table and every image's bytes.

        Raises:
            ImageError: a file is missing.
        """
        hashes = self.image_hashes(progress)
        digest = hashlib.sha256(self.table.content_hash().encode())
        digest.update(str([self.rows[part].tolist() for part in PARTS]).encode())
        for path in self.dataset_paths():
            digest.update(hashes[path])
        return digest.hexdigest()[:16]

    def check_images(self, progress: Advance) -> None:
        """Decode every image.

        Raises:
            UserError: names the first bad image and says how many there are.
        """
        decode_files(self.dataset_paths(), progress)

    def on_after_batch_transfer(self, batch: ImageBatch, dataloader_idx: int) -> ImageBatch:
        """uint8 images to float32 in [0, 1]."""
        return batch._replace(image=unit_range(batch.image))

    def _load(self, batches: Sampler[list[tuple[int, float]]], augmented: bool) -> DataLoader[ImageBatch]:
        return self._loader_of(self.dataset, self._collate, batches, True, augmented and bool(self.loader.augment), 3)


def _parts(table: ImageTable, split: Mapping[str, Any] | None) -> dict[str, NDArray[np.int64]]:
    """Rows of each part, from the table's own split or drawn by name and seed."""
    count = len(table.paths)
    if table.split:
        side = np.array(table.split)
        found = {part: np.flatnonzero(side == part) for part in PARTS}
        for part, rows in (("train", found["train"]), ("val or test", np.concatenate([found["val"], found["test"]]))):
            if not len(rows):
                raise UserError(f"{table.name} has a split without {part}; name some of its images so")
        return found
    val, test, seed = parse_split(split)
    if sum(split_counts(count, val, test)) >= count:
        raise UserError(
            f"{table.name} has {count} images: too few for val={val:g}, test={test:g} and training; add images or hold "
            "out fewer"
        )
    drawn = cut(shuffled(table.paths, seed), val, test)
    return {part: np.flatnonzero([drawn[path] == part for path in table.paths]) for part in ("test", "val", "train")}
