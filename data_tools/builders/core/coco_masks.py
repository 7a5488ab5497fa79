"""Masks of COCO's JSON: polygons and run lengths, checked before they are drawn.

pycocotools draws what it is given: a polygon with a corner at 1e9 takes all memory, and run lengths that end early leave pixels
that nobody has set. `fits_photo` refuses both.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

FAR = 2  # corners may lie so many times the photo's longer side outside of it


def fits_photo(segmentation: Any, width: int, height: int) -> bool:
    """Whether an annotation's ``segmentation`` is a mask of a photo: polygons of three corners or more, or run lengths that
    add up to the photo's pixels.
    """
    if isinstance(segmentation, Mapping):
        counts = _counts(segmentation)
        size = segmentation.get("size")
        return counts is not None and size == [height, width] and sum(counts) == width * height
    far = FAR * max(width, height)
    return isinstance(segmentation, list) and bool(segmentation) and all(_is_polygon(one, far) for one in segmentation)


def mask_of(segmentation: Any, width: int, height: int) -> NDArray[np.bool_]:
    """(H, W) of a segmentation for which `fits_photo` is true."""
    if isinstance(segmentation, Mapping):
        counts = _counts(segmentation) or []
        values = np.arange(len(counts)) % 2 == 1  # run lengths begin with what is outside
        return np.repeat(values, counts).reshape(width, height).T.copy()  # column by column
    from pycocotools import mask

    return np.asarray(mask.decode(mask.merge(mask.frPyObjects(segmentation, height, width)))).astype(bool)


def _is_polygon(polygon: Any, far: float) -> bool:
    return (
        isinstance(polygon, list)
        and len(polygon) >= 6
        and len(polygon) % 2 == 0
        and all(type(value) in (int, float) and math.isfinite(value) and abs(value) <= far for value in polygon)
    )


def _counts(segmentation: Mapping[str, Any]) -> list[int] | None:
    """Run lengths, from numbers or from COCO's compressed text; None where they are none."""
    counts = segmentation.get("counts")
    if isinstance(counts, list):
        whole = all(isinstance(one, int) and not isinstance(one, bool) and one >= 0 for one in counts)
        return counts if whole else None
    if not isinstance(counts, str):
        return None
    found = _expanded(counts)
    return found if found is not None and all(one >= 0 for one in found) else None


def _expanded(text: str) -> list[int] | None:
    """COCO's compressed run lengths: groups of 5 bits and a sign, from the fourth on as differences to the last but one."""
    found: list[int] = []
    value = shift = 0
    for letter in text:
        bits = ord(letter) - 48
        if not 0 <= bits < 64 or shift > 30:
            return None
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue  # more groups follow
        if bits & 16:
            value |= -1 << shift
        found.append(value + found[-2] if len(found) > 2 else value)
        value = shift = 0
    return found if shift == 0 else None
