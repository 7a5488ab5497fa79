"""Holes in pictures filled: from their rim, or with another part of the picture, so that its texture goes on."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from data_tools.builders.core.masks import box_of, widen

RADIUS = 4  # of cv2.inpaint
FILL_SIDE = 256  # the hole is filled from its rim at this size at most: farther in, there is no detail to lose
SEARCH_SIDE = 160  # the picture is searched at this longer side
RIM = 5  # pixels around the hole, at that size, by which places are compared
AVOID = 2e4  # what a place costs that lies on objects; differences at the rim are in grey levels squared
MOSTLY = 0.3  # a place that lies on objects with more of itself is no better than the rim
FAR_X, FAR_Y = 200.0, 800.0  # what a place costs that lies a whole width or height away: what is near looks alike


def filled(picture: NDArray[np.uint8], hole: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """A copy of (H, W, 3) with the hole (H, W) filled from its rim; all else to the bit as it was.

    A large hole is filled at a smaller size, for the work grows with its area.
    """
    x0, y0, x1, y1 = box_of(hole)
    margin = max(8, (max(x1 - x0, y1 - y0)) // 8)
    rows = slice(max(0, y0 - margin), y1 + margin)
    columns = slice(max(0, x0 - margin), x1 + margin)
    part, inside = np.ascontiguousarray(picture[rows, columns]), hole[rows, columns]
    scale = min(1.0, FILL_SIDE / max(part.shape[:2]))
    size = max(1, round(part.shape[1] * scale)), max(1, round(part.shape[0] * scale))
    small = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
    marks = cv2.resize(inside.astype(np.uint8) * 255, size, interpolation=cv2.INTER_AREA) > 0
    done = cv2.inpaint(small, marks.astype(np.uint8), RADIUS, cv2.INPAINT_TELEA)
    large = cv2.resize(done, (part.shape[1], part.shape[0]), interpolation=cv2.INTER_CUBIC)
    canvas = picture.copy()
    canvas[rows, columns][inside] = large[inside]
    return canvas


def patch_filled(picture: NDArray[np.uint8], hole: NDArray[np.bool_], avoid: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """A copy of a picture with a hole filled from the place whose rim looks most like the hole's, and fitted in colour.

    Where no place is free of the hole, it is filled from its rim (`filled`).

    Args:
        picture: (H, W, 3) RGB.
        hole: (H, W), not empty.
        avoid: (H, W) what should not be copied: objects.
    """
    shift = _best_shift(picture, hole, avoid & ~hole)
    if shift is None:
        return filled(picture, hole)
    dx, dy = shift
    height, width = hole.shape
    ys, xs = np.nonzero(hole)
    source = picture.copy()
    source[ys, xs] = picture[np.clip(ys + dy, 0, height - 1), np.clip(xs + dx, 0, width - 1)]
    return _levelled(picture, source, hole, dx, dy)


def _best_shift(
    picture: NDArray[np.uint8], hole: NDArray[np.bool_], avoid: NDArray[np.bool_]
) -> tuple[int, int] | None:
    height, width = hole.shape
    scale = min(1.0, SEARCH_SIDE / max(height, width))
    size = max(8, round(width * scale)), max(8, round(height * scale))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    small_hole = cv2.resize(hole.astype(np.uint8) * 255, size, interpolation=cv2.INTER_AREA) > 0
    small_avoid = cv2.resize(avoid.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    outer = widen(small_hole, 2 * RIM + 1)
    x0, y0, x1, y1 = box_of(outer)
    rim = (outer & ~small_hole)[y0:y1, x0:x1].astype(np.float32)
    inside = small_hole[y0:y1, x0:x1].astype(np.float32)
    if rim.sum() == 0 or y1 - y0 >= size[1] - 1 or x1 - x0 >= size[0] - 1:
        return None
    # all maps below: (size - template + 1), one value per place of the template
    cost = cv2.matchTemplate(small, small[y0:y1, x0:x1], cv2.TM_SQDIFF, mask=np.repeat(rim[..., None], 3, 2)) / (
        3 * rim.sum()
    )
    objects = cv2.matchTemplate(small_avoid, inside, cv2.TM_CCORR) / inside.sum()
    overlap = cv2.matchTemplate(small_hole.astype(np.float32), inside, cv2.TM_CCORR)
    down, across = np.ogrid[: cost.shape[0], : cost.shape[1]]
    far = FAR_X * np.abs(across - x0) / size[0] + FAR_Y * np.abs(down - y0) / size[1]
    cost = np.where(overlap > 0.5, np.inf, cost + AVOID * objects + far)
    place = np.unravel_index(int(np.argmin(cost)), cost.shape)
    if cost[place] > AVOID * MOSTLY:  # also where no place is free of the hole
        return None
    return round((int(place[1]) - x0) / scale), round((int(place[0]) - y0) / scale)


def _levelled(
    picture: NDArray[np.uint8], source: NDArray[np.uint8], hole: NDArray[np.bool_], dx: int, dy: int
) -> NDArray[np.uint8]:
    """The copied part plus what its rim lacks to the hole's rim, carried inwards smoothly."""
    height, width = hole.shape
    rim = widen(hole, 7) & ~hole
    ys, xs = np.nonzero(rim)
    lacking = np.zeros(picture.shape, np.float32)
    copied = picture[np.clip(ys + dy, 0, height - 1), np.clip(xs + dx, 0, width - 1)]
    lacking[ys, xs] = np.clip(picture[ys, xs].astype(np.float32) - copied, -60, 60)
    x0, y0, x1, y1 = box_of(hole | rim)
    sigma = max(x1 - x0, y1 - y0) / 6 + 1
    part = slice(y0, y1), slice(x0, x1)
    weight = _smooth(rim[part].astype(np.float32), sigma)
    correction = _smooth(lacking[part], sigma) / np.maximum(weight, 1e-4)[..., None]
    result = source.astype(np.float32)
    result[part] += correction
    done = picture.copy()
    done[hole] = np.rint(np.clip(result[hole], 0, 255)).astype(np.uint8)
    return done


def _smooth(values: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """Blurred at a quarter of the size: nothing here has detail."""
    size = max(2, values.shape[1] // 4), max(2, values.shape[0] // 4)
    small = cv2.resize(values, size, interpolation=cv2.INTER_AREA)
    soft = cv2.GaussianBlur(small, (0, 0), sigma / 4, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(cv2.resize(soft, (values.shape[1], values.shape[0]), interpolation=cv2.INTER_LINEAR), np.float32)
