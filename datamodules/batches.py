"""What a datamodule yields and a lightning module takes."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class PairBatch(NamedTuple):
    """B pairs. A named tuple, so that Lightning moves it between devices as it is.

    Attributes:
        reference: (B, 3, H, W) float32 RGB in [0, 1].
        candidate: (B, 3, H, W) float32 RGB in [0, 1].
        difference: (B,) label in [0, 1], NaN where there is none.
        map: (B, 1, H, W) float32 difference map in [0, 1], NaN where nothing is known (of a pair without a map, everywhere);
            None unless asked for.
        weight: (B,) weight of the pair in the loss, mean 1 over the table.
        pair_id: B names.
        source_id: B names.
        row: (B,) int64 row of the pair in the datamodule's table; puts predictions of many processes back in order.
        total: size of the whole batch over all processes, so that a loss is the same on 1 and on N of them; infinite for a
            pair that only fills up a process's share.
        first: (B,) int64 position in this batch of the first pair whose reference is the same tensor (same file, same
            draws), so that a backbone can describe a reference once; its own position where no earlier one is.
    """

    reference: Tensor
    candidate: Tensor
    difference: Tensor
    map: Tensor | None
    weight: Tensor
    pair_id: tuple[str, ...]
    source_id: tuple[str, ...]
    row: Tensor
    total: float
    first: Tensor


class ImageBatch(NamedTuple):
    """B single images, for modules that learn from photos and not from pairs.

    Attributes:
        image: (B, 3, H, W) float32 RGB in [0, 1].
        label: (B,) int64 class, -1 where there is none.
        caption: B sentences, empty where there is none.
        row: (B,) int64 row of the image in the datamodule's table.
        total: as in `PairBatch`.
    """

    image: Tensor
    label: Tensor
    caption: tuple[str, ...]
    row: Tensor
    total: float


class ImageList(NamedTuple):
    """What a module may learn of a set of images before it sees one: class names, vocabulary, how many there are.

    Attributes:
        name: what messages call the set.
        classes: K class names, sorted; empty where images have no class.
        label: (N,) int64 class of each image, -1 where there is none.
        captions: the sentences of each image, N tuples; empty ones where there is none.
        train: (n,) int64 rows that are trained on.
        test: (m,) int64 rows that the figures are of.
    """

    name: str
    classes: tuple[str, ...]
    label: Tensor
    captions: tuple[tuple[str, ...], ...]
    train: Tensor
    test: Tensor


def to_float(batch: PairBatch) -> PairBatch:
    """uint8 images to float32 in [0, 1], maps to float32."""
    if batch.reference.dtype != torch.uint8:
        return batch
    return batch._replace(
        reference=unit_range(batch.reference),
        candidate=unit_range(batch.candidate),
        map=None if batch.map is None else batch.map.float(),
    )


def unit_range(images: Tensor) -> Tensor:
    """uint8 images to float32 in [0, 1]; others as they are."""
    return images.float() / 255.0 if images.dtype == torch.uint8 else images
