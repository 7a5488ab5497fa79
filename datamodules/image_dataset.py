"""Single images as tensors: decoding, augmentation that depends on seed, epoch and row alone, batches."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from data_tools.degradations import build_degradation, degraded_like
from data_tools.synthetic import DEGRADATIONS, degrade
from datamodules.batches import ImageBatch, ImageList
from datamodules.framing import random_window
from datamodules.keeping import KeepingDataset
from datamodules.samplers import Index
from semfid.errors import UserError
from semfid.io.cores import cores
from semfid.io.images import Resize, load_pixels, read_image, to_planes

Augment = Literal["crop", "flip", "degrade", "bsrgan"]
"""What training images undergo, in this order. ``crop``: a random window, resized to S x S. ``flip``: mirrored half of the
time. ``degrade``: four times in five, one or two degradations of any strength (`synthetic.degradations`: blur, noise, JPEG,
tone, ...): what leaves the meaning of a photo alone should leave its features alone. ``bsrgan``: four times in five, the
degradation of SR outputs (`degradations`, arXiv 2103.14006) at any strength, brought back to size by bicubic interpolation."""

Item = tuple[Tensor, str, int, float]


class ImageDataset(KeepingDataset):
    """Decodes images.

    Args:
        paths: of the images.
        listed: captions of each.
        image_size: S of S x S images.
        resize: how they become so.
        in_memory: keep decoded images.
        augment: what images of an epoch undergo.
        least_crop: least share of the area that a random window keeps.
        seed: of the draws.
    """

    def __init__(
        self,
        paths: Sequence[str],
        listed: ImageList,
        image_size: int,
        resize: Resize,
        in_memory: bool,
        augment: Sequence[Augment] = (),
        least_crop: float = 0.5,
        seed: int = 0,
    ) -> None:
        self.paths, self.captions = list(paths), listed.captions
        self.image_size, self.resize, self.augment, self.least_crop = image_size, resize, augment, least_crop
        self.seed = seed
        self._kept: dict[tuple[int, bool], NDArray[np.uint8]] | None = {} if in_memory else None

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: Index) -> Item:
        row, total, epoch = index
        sentences = self.captions[row]
        # of several sentences, an epoch takes one; figures are of the first
        sentence = sentences[(epoch + row) % len(sentences) if epoch >= 0 else 0] if sentences else ""
        if epoch < 0 or not self.augment:
            return torch.from_numpy(self._as_it_stands(row)), sentence, row, total
        rng = np.random.default_rng([self.seed, epoch, row])
        if "crop" in self.augment:
            pixels = random_crop(self._whole(row), self.image_size, self.least_crop, rng)
        else:
            pixels = self._as_it_stands(row)
        if "flip" in self.augment and rng.random() < 0.5:
            pixels = np.ascontiguousarray(pixels[:, :, ::-1])
        if "degrade" in self.augment and rng.random() < 0.8:
            names = rng.choice(DEGRADATIONS, size=int(rng.integers(1, 3)), replace=False)
            degraded = degrade(pixels.transpose(1, 2, 0), "+".join(names), rng.random(), rng)  # (S, S, 3)
            pixels = np.ascontiguousarray(degraded.transpose(2, 0, 1))
        if "bsrgan" in self.augment and rng.random() < 0.8:
            degraded = degraded_like(build_degradation("bsrgan", {}), pixels.transpose(1, 2, 0), rng, rng.random())
            pixels = np.ascontiguousarray(degraded.transpose(2, 0, 1))
        return torch.from_numpy(pixels), sentence, row, total

    def keep(self, rows: Sequence[int] | NDArray[np.int64]) -> None:
        read = self._whole if "crop" in self.augment else self._as_it_stands
        with ThreadPoolExecutor(cores()) as pool:
            list(pool.map(lambda row: read(int(row)), rows))

    def _as_it_stands(self, row: int) -> NDArray[np.uint8]:
        """(3, S, S)."""
        if self._kept is None:
            return load_pixels(self.paths[row], self.image_size, self.resize)
        if (row, False) not in self._kept:
            self._kept[row, False] = load_pixels(self.paths[row], self.image_size, self.resize)
        return self._kept[row, False]

    def _whole(self, row: int) -> Image.Image:
        """The image, its short side at most 2 S: a window of it is resized to S anyway."""
        if self._kept is not None and (row, True) in self._kept:
            return Image.fromarray(self._kept[row, True])
        image = read_image(self.paths[row])
        factor = 2 * self.image_size / min(image.size)
        if factor < 1:
            size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
            image = image.resize(size, Image.Resampling.BICUBIC)
        if self._kept is not None:
            self._kept[row, True] = np.array(image)
        return image


def random_crop(image: Image.Image, size: int, least: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A window of between `least` and all of the area, its aspect between 3:4 and 4:3, resized to (3, size, size)."""
    window = random_window((0.0, 0.0, float(image.width), float(image.height)), least, rng)
    return to_planes(image.resize((size, size), Image.Resampling.BICUBIC, box=window))


class ImageCollate:
    """Items to an ImageBatch whose images are still uint8; `ImageDataModule.on_after_batch_transfer` makes them float."""

    def __init__(self, paths: Sequence[str], label: Tensor) -> None:
        self.paths, self.label = list(paths), label

    def __call__(self, items: Sequence[Item]) -> ImageBatch:
        rows = torch.tensor([item[2] for item in items])
        for image, _, row, _ in items:
            if image.shape != items[0][0].shape:
                raise UserError(
                    f"{self.paths[row]}: a {image.shape[2]}x{image.shape[1]} image among {items[0][0].shape[2]}x"
                    f"{items[0][0].shape[1]} ones; set data.resize to squash, letterbox or center_crop, or batch_size: 1"
                )
        return ImageBatch(
            image=torch.stack([item[0] for item in items]),
            label=self.label[rows],
            caption=tuple(item[1] for item in items),
            row=rows,
            total=items[0][3],
        )
