"""The contract of a segmenter.

It is built without its weights, which are loaded when the first image comes: a run that finds all its work done loads none.
`identity` is known before, from the revision or from the files' content.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image


@dataclass(frozen=True)
class Segmentation:
    """What a segmenter found in an image.

    Attributes:
        ids: (H, W) int32 of the image; 0 = void, other ids as the model gives them.
        labels: class name of an id, where the model has one.
        scores: the model's confidence in [0, 1] of an id.
    """

    ids: NDArray[np.int32]
    labels: Mapping[int, str] = field(default_factory=dict)
    scores: Mapping[int, float] = field(default_factory=dict)


class Segmenter:
    """Images to id maps. A subclass sets `identity` and `batch_size` and implements `_segment`.

    Attributes:
        identity: name and what determines the maps; equal identities give equal maps.
        batch_size: images at a time.
        final: the maps hold regions already (connected, large enough) and are used unchanged.
    """

    identity: str
    batch_size: int = 1
    final: bool = False

    def segment(self, images: Sequence[Image.Image]) -> list[Segmentation]:
        """One segmentation per RGB image. Only images of one size share a pass: none is padded for another's sake."""
        found: dict[int, Segmentation] = {}
        by_size: dict[tuple[int, int], list[int]] = {}
        for index, image in enumerate(images):
            by_size.setdefault(image.size, []).append(index)
        for indices in by_size.values():
            for start in range(0, len(indices), self.batch_size):
                batch = indices[start : start + self.batch_size]
                done = self._segment([images[index] for index in batch])
                for index, segmentation in zip(batch, done, strict=True):
                    shape = (images[index].height, images[index].width)
                    if segmentation.ids.shape != shape or segmentation.ids.dtype != np.int32:
                        raise TypeError(
                            f"{type(self).__name__} returned ids {segmentation.ids.dtype} {segmentation.ids.shape} for an "
                            f"image {shape}; it must be int32 of the image's size"
                        )
                    found[index] = segmentation
        return [found[index] for index in range(len(images))]

    def release(self) -> None:
        """Give back memory; the next call loads again."""

    def _segment(self, images: Sequence[Image.Image]) -> list[Segmentation]:
        """At most `batch_size` images of one size."""
        raise NotImplementedError(f"{type(self).__name__} must implement _segment")
