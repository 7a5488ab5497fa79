"""The picture that a captioner is shown of a region: the image with the region's outline in magenta."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from models.captioners.errors import LabelError

MAGENTA = (255, 0, 255)
ENCODER_SIDE = 336  # what ViP-LLaVA's encoder sees; a line of 3 px of a large photo shrinks to less than one there

Contour = int | Literal["scaled"]


def contour_width(contour: Contour, size: tuple[int, int]) -> int:
    """Pixels; ``scaled`` is 3 px at the encoder's size, never less than 3."""
    return max(3, round(3 * max(size) / ENCODER_SIDE)) if contour == "scaled" else contour


def outline_region(image: Image.Image, mask: NDArray[np.bool_], contour: Contour = 3) -> Image.Image:
    """A copy of the image with the mask's outline in magenta.

    The line runs along the mask's outermost pixels, half of its width to either side; where the mask reaches the image's
    edge it runs along the edge.

    Args:
        mask: (H, W) of the image.
        contour: width in pixels, or ``scaled`` (see `contour_width`).

    Raises:
        LabelError: an empty mask, or one of another size.
    """
    if mask.shape != (image.height, image.width):
        raise LabelError(
            f"the mask is {mask.shape[1]}x{mask.shape[0]}, the image {image.width}x{image.height}; they must agree"
        )
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        raise LabelError("the region has no pixels")
    width = contour_width(contour, image.size)
    top, bottom = max(0, rows[0] - width), min(image.height, rows[-1] + 1 + width)
    left, right = max(0, columns[0] - width), min(image.width, columns[-1] + 1 + width)
    box = mask[top:bottom, left:right]
    edge = box & ~ndimage.binary_erosion(box)  # beyond the box counts as outside
    line = ndimage.binary_dilation(edge, np.ones((width, width), dtype=np.bool_))
    pixels = np.array(image.convert("RGB"))
    pixels[top:bottom, left:right][line] = MAGENTA
    return Image.fromarray(pixels)
