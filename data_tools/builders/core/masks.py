"""Masks of an inpainting: the object, what is painted anew, and how the two pictures are joined."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

Shape = Literal["segmentation", "dilated", "box"]
SHAPES: tuple[Shape, ...] = ("segmentation", "dilated", "box")


def dilate(mask: NDArray[np.bool_], share: float) -> NDArray[np.bool_]:
    """A mask (H, W) widened by an ellipse whose diameter is a share of the image's diagonal (0.02: 17 px at 640x480)."""
    height, width = mask.shape
    side = round(share * float(np.hypot(height, width)))
    return widen(mask, side + 1 - side % 2)


def widen(mask: NDArray[np.bool_], side: int) -> NDArray[np.bool_]:
    """A mask widened by an ellipse of an odd diameter in pixels; 1 changes nothing."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    return cv2.dilate(mask.astype(np.uint8), kernel).astype(bool)


def shaped(mask: NDArray[np.bool_], shape: Shape, share: float) -> NDArray[np.bool_]:
    """What is painted anew for an object's mask: itself, dilated, or the box around it dilated (which hides its outline)."""
    if shape == "segmentation":
        return mask
    wide = dilate(mask, share)
    if shape == "dilated":
        return wide
    x0, y0, x1, y1 = box_of(wide)
    box = np.zeros_like(mask)
    box[y0:y1, x0:x1] = True
    return box


def box_of(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """x0, y0, x1, y1 (the last two outside) of a mask that is not empty."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def feathered(mask: NDArray[np.bool_], width: int) -> NDArray[np.uint8]:
    """255 on the mask, falling to 0 in a straight line over `width` pixels outside of it."""
    if width == 0:
        return mask.astype(np.uint8) * 255
    outside = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.rint(255.0 * np.clip(1.0 - outside / (width + 1), 0.0, 1.0)).astype(np.uint8)


def pasted(source: NDArray[np.uint8], painted: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """`painted` over `source`, both (H, W, 3), by alpha (H, W): where it is 0 the source to the bit, where 255 the painted."""
    weight = alpha[..., None].astype(np.uint32)
    return ((weight * painted + (255 - weight) * source + 127) // 255).astype(np.uint8)
