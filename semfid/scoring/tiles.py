"""Layers over a large image, tile by tile, with the values of the whole image.

Each tile is computed with the surroundings that its positions see, and those are dropped again. The positions that strided
layers sample must be those of the whole image too: a tile begins at a multiple of the total stride, and the number of its pixels
leaves the same remainder as the image's. The grid follows from the image's size alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor


def in_tiles(
    layers: Callable[[Tensor], Sequence[Tensor]], images: Tensor, strides: Sequence[int], reach: int, tile: int
) -> list[Tensor]:
    """What `layers` makes of images.

    Args:
        layers: from (B, C, h, w) to one (B, C', ceil(h / s), ceil(w / s)) per stride.
        images: (B, C, H, W).
        strides: of the outputs, ascending powers of two.
        reach: pixels to each side that a position depends on, at most; a multiple of the last stride.
        tile: pixels of a side, a multiple of the last stride. What is not larger than 16/9 of a tile passes in one piece.
    """
    height, width = images.shape[-2:]
    if 9 * height * width <= 16 * tile * tile:
        return list(layers(images))
    wholes: list[Tensor] = []
    for top, bottom, above, below in _spans(height, strides[-1], reach, tile):
        for left, right, before, behind in _spans(width, strides[-1], reach, tile):
            parts = layers(images[:, :, above:below, before:behind])
            if not wholes:
                wholes = [_empty(part, height, width, stride) for part, stride in zip(parts, strides, strict=True)]
            for whole, part, stride in zip(wholes, parts, strides, strict=True):
                rows, columns = _places(top, bottom, stride), _places(left, right, stride)
                inside = part[:, :, _moved(rows, above // stride), _moved(columns, before // stride)]
                whole[:, :, rows, columns] = inside
    return wholes


def _spans(size: int, stride: int, reach: int, tile: int) -> Iterator[tuple[int, int, int, int]]:
    """(start, end, start and end with surroundings) of the tiles along one side."""
    for start in range(0, size, tile):
        end = min(start + tile, size)
        last = min(size, end + reach)
        last += (size - last) % stride  # the remainder of the whole image, so that padding falls alike
        yield start, end, max(0, start - reach), last


def _empty(part: Tensor, height: int, width: int, stride: int) -> Tensor:
    shape = (part.shape[0], part.shape[1], -(-height // stride), -(-width // stride))
    return torch.empty(shape, dtype=part.dtype, device=part.device, memory_format=torch.channels_last)


def _places(start: int, end: int, stride: int) -> slice:
    return slice(start // stride, -(-end // stride))


def _moved(places: slice, by: int) -> slice:
    return slice(places.start - by, places.stop - by)
