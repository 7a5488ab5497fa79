"""Which objects are worth painting over: each filter names what it removes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from data_tools.builders.core.coco import Instance, Photo
from data_tools.builders.core.settings import Number, Range
from semfid.errors import UserError, did_you_mean
from semfid.settings import Settings

NAMES = ("category", "crowd", "short_side", "area", "box_side", "border", "sharpness", "connected", "overlap")
"""The filters in the order in which they look; what one removes, the next does not see."""


class Filters(Settings):
    """What an object must be. 0 switches a floor off; so does an overlap of 1 and an area of [0, 1].

    Attributes:
        crowd: keep crowds too.
        short_side: least short side of the photo in pixels.
        area: least and most share of the photo that the mask covers.
        box_side: least side of the box in pixels.
        border: least distance of the box to the border in pixels.
        connected: least share of the mask that its largest connected part has.
        overlap: most share of the mask that other objects' masks cover.
        sharpness: least variance of the Laplacian of the photo's luma (0-255); COCO's sharp photos have 900 and more.
        categories: only objects of these; empty: of all.
    """

    crowd: bool = False
    short_side: int = 384
    area: Range = (0.02, 0.40)
    box_side: float = 64
    border: float = 8
    connected: float = Field(default=0.90, ge=0, le=1)
    overlap: float = Field(default=0.20, ge=0, le=1)
    sharpness: float = 100.0
    categories: tuple[str, ...] = ()

    @field_validator("area")
    @classmethod
    def _two_shares(cls, area: tuple[Number, Number]) -> tuple[Number, Number]:
        if not area[0] < area[1]:
            raise ValueError("must be two shares of the photo, such as [0.02, 0.4]")
        return area

    def check_categories(self, known: Mapping[str, str], prefix: str) -> None:
        """Raise a UserError for a category that no object can have; `known` are those of the photos."""
        for name in self.categories:
            if name not in known:
                raise UserError(
                    f"{prefix}.categories: no category '{name}'{did_you_mean(name, known)} in the photos' JSON"
                )


def fault_of_annotation(photo: Photo, instance: Instance, filters: Filters) -> str | None:
    """The first filter that removes an object by its annotation alone, or None."""
    x, y, width, height = instance.box
    share = instance.area / max(1, photo.width * photo.height)
    if filters.categories and instance.category not in filters.categories:
        return "category"
    if instance.crowd and not filters.crowd:
        return "crowd"
    if min(photo.width, photo.height) < filters.short_side:
        return "short_side"
    if not filters.area[0] <= share <= filters.area[1]:
        return "area"
    if min(width, height) < filters.box_side:
        return "box_side"
    if min(x, y, photo.width - x - width, photo.height - y - height) < filters.border:
        return "border"
    return None


def fault_of_mask(mask: NDArray[np.bool_], others: Sequence[NDArray[np.bool_]], filters: Filters) -> str | None:
    """The first filter that removes an object by its mask (H, W) and those of the photo's other objects, or None."""
    if not mask.any():
        return "connected"
    if connected_share(mask) < filters.connected:
        return "connected"
    return "overlap" if overlapped_share(mask, others) > filters.overlap else None


def connected_share(mask: NDArray[np.bool_]) -> float:
    """Share of a mask that its largest part has; pixels touch at corners too."""
    parts, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    return float(stats[1:, cv2.CC_STAT_AREA].max() / stats[1:, cv2.CC_STAT_AREA].sum()) if parts > 1 else 0.0


def overlapped_share(mask: NDArray[np.bool_], others: Sequence[NDArray[np.bool_]]) -> float:
    """Share of a mask that any of the others covers."""
    covered = np.zeros_like(mask)
    for other in others:
        covered |= other
    return float((covered & mask).sum() / max(1, mask.sum()))


def sharpness_of(picture: NDArray[np.uint8]) -> float:
    """Variance of the Laplacian (4 neighbours) of the luma of (H, W, 3) RGB."""
    return float(cv2.Laplacian(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.CV_64F).var())
