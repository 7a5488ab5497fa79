"""The contract of a captioner.

It is built without its weights, which are loaded when the first image comes: a run that finds all its work done loads none.
`identity` is known before, from the revision or from the files' content.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.captioners.overlay import Contour, outline_region


@dataclass(frozen=True)
class RegionView:
    """One region of one image.

    Attributes:
        image: the image, RGB.
        name: `images.pixel_hash` of it.
        ids: (H, W) region ids.
        segment: the region's id.
        label: its category, as its segmenter named it; empty where it names none.
    """

    image: Image.Image
    name: str
    ids: NDArray[np.integer]
    segment: int
    label: str = ""


class Captioner:
    """Images to sentences. A subclass sets `identity` and `batch_size` and implements `_caption`.

    Attributes:
        identity: name and what determines the captions; equal identities give equal captions.
        batch_size: images at a time.
    """

    identity: str
    batch_size: int = 1

    def caption(self, images: Sequence[Image.Image], prompt: str) -> list[str]:
        """What `prompt` asks of each RGB image, without white space at the ends; may be empty."""
        found: list[str] = []
        for start in range(0, len(images), self.batch_size):
            batch = images[start : start + self.batch_size]
            done = self._caption(batch, prompt)
            if len(done) != len(batch):
                raise TypeError(f"{type(self).__name__} returned {len(done)} captions for {len(batch)} images")
            found += [text.strip() for text in done]
        return found

    def caption_regions(self, regions: Sequence[RegionView], prompt: str, contour: Contour = 3) -> list[str]:
        """What `prompt` asks of each region; the image is shown with the region's outline (see `outline_region`)."""
        views = [outline_region(one.image, np.asarray(one.ids == one.segment), contour) for one in regions]
        return self.caption(views, prompt)

    def release(self) -> None:
        """Give back memory; the next call loads again."""

    def _caption(self, images: Sequence[Image.Image], prompt: str) -> list[str]:
        """At most `batch_size` images."""
        raise NotImplementedError(f"{type(self).__name__} must implement _caption")
