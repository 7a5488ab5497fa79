"""A photo as it stands in the set, with its objects in the same frame."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from data_tools.builders.core.coco import Instance, Photo
from data_tools.builders.core.instance_filters import connected_share
from data_tools.builders.core.masks import box_of
from data_tools.builders.edits.photos import CocoFolders
from semfid.settings import Settings


class Fit(Settings):
    """What of a photo stands in the set, and how large.

    Attributes:
        longest: pixels of the longer side at most; larger photos are resized. null: as large as they are.
        square: only the central square.
    """

    longest: int | None = Field(default=None, ge=64)
    square: bool = False

    def picture(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(H, W, 3) to (h, w, 3)."""
        part, size = picture[self._taken(picture.shape)], self._size(picture.shape)
        return (
            part.copy() if size is None else np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA), np.uint8)
        )

    def mask(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """(H, W) to (h, w): where at least half of the area behind a pixel is in the mask."""
        part, size = mask[self._taken(mask.shape)], self._size(mask.shape)
        if size is None:
            return part.copy()
        return np.asarray(cv2.resize(part.astype(np.float32), size, interpolation=cv2.INTER_AREA)) >= 0.5

    def _taken(self, shape: tuple[int, ...]) -> tuple[slice, slice]:
        """The rows and columns that are taken of (H, W, ...)."""
        height, width = shape[:2]
        if not self.square:
            return slice(height), slice(width)
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        return slice(top, top + side), slice(left, left + side)

    def _size(self, shape: tuple[int, ...]) -> tuple[int, int] | None:
        """(width, height) that they are resized to; None: they are not."""
        height, width = (min(shape[:2]),) * 2 if self.square else shape[:2]
        if self.longest is None or max(height, width) <= self.longest:
            return None
        scale = self.longest / max(height, width)
        return max(1, round(width * scale)), max(1, round(height * scale))


@dataclass(frozen=True)
class Scene:
    """A fitted photo.

    Attributes:
        photo: its facts, with the fitted width and height.
        picture: (H, W, 3) RGB.
        objects: those of which something is left, with their fitted boxes and areas; crowds too.
        masks: (H, W) by the object's id.
    """

    photo: Photo
    picture: NDArray[np.uint8]
    objects: tuple[Instance, ...]
    masks: dict[int, NDArray[np.bool_]]

    @property
    def occupied(self) -> NDArray[np.bool_]:
        """(H, W) where any object is."""
        found = np.zeros(self.picture.shape[:2], bool)
        for mask in self.masks.values():
            found |= mask
        return found

    def facts(self) -> list[list[float]]:
        """Of each object: id, share of its mask in its largest part, share that others cover, area, and x, y, width, height."""
        count = np.zeros(self.picture.shape[:2], np.uint16)
        for mask in self.masks.values():
            count += mask
        rows = []
        for one in self.objects:
            mask = self.masks[one.id]
            covered = float((count[mask] > 1).mean())
            rows.append([one.id, round(connected_share(mask), 4), round(covered, 4), round(one.area, 1), *one.box])
        return rows


@dataclass
class Scenes:
    """Opens photos; the latest ones are kept, for the units of a photo come one after another."""

    photos: CocoFolders
    fit: Fit
    _kept: dict[int, Scene] = field(default_factory=dict)

    def of(self, number: int) -> Scene:
        """The scene of a photo.

        Raises:
            ImageError, UnitError: it cannot be read.
        """
        if number not in self._kept:
            scene = self._open(number)
            if len(self._kept) > 1:
                self._kept.pop(next(iter(self._kept)))
            self._kept[number] = scene
        return self._kept[number]

    def _open(self, number: int) -> Scene:
        picture = self.fit.picture(self.photos.picture(number))
        height, width = picture.shape[:2]
        objects, masks = [], {}
        for one in self.photos.instances.get(number, []):
            mask = self.fit.mask(self.photos.mask(one))
            if mask.any():
                x0, y0, x1, y1 = (float(side) for side in box_of(mask))
                objects.append(replace(one, box=(x0, y0, x1 - x0, y1 - y0), area=float(mask.sum())))
                masks[one.id] = mask
        photo = replace(self.photos.photos[number], width=width, height=height)
        return Scene(photo, picture, tuple(objects), masks)
