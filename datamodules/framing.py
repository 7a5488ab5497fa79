"""Which part of a pair is seen, mirrored or tinted how: one draw for both images and the map."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from semfid.errors import UserError
from semfid.io.images import Resize
from semfid.io.maps import Box, Frame

PairAugment = Literal["crop", "flip", "colour"]
"""What training pairs undergo, both images and the map alike. ``crop``: a random window of at least `least_crop` of the area,
its aspect between 3:4 and 4:3, resized. ``flip``: mirrored half of the time. ``colour``: brightness, contrast and saturation
each times 0.8 to 1.2."""

Size = tuple[int, int]  # width, height
_ASPECT = 4 / 3  # of random windows, either way round
_TINT = 0.2
_LUMA = np.array([0.299, 0.587, 0.114])


@dataclass(frozen=True)
class Framing:
    """How a pair is framed.

    Attributes:
        image_size: S of S x S images.
        resize: see `images.Resize`.
        augment: what training pairs undergo.
        least_crop: least share of the area that ``crop`` keeps.
        object_crop: see `datamodules.base.LoaderConfig`.
        one_size: the reference is taken as if it had the candidate's size.
    """

    image_size: int
    resize: Resize
    augment: Sequence[PairAugment] = ()
    least_crop: float = 0.5
    object_crop: float | None = None
    one_size: bool = False

    @property
    def fixed(self) -> bool:
        """Whether an image is the same tensor in every pair and every epoch."""
        return not self.augment and self.object_crop is None and not (self.one_size and self.resize != "squash")


def frame_image(image: Image.Image, frame: Frame) -> Image.Image:
    """An RGB image as its frame shows it; with a whole image's frame, `images.resize_image`."""
    box = frame.box_in(image.size)
    if box != (0, 0, *image.size) or frame.inner != image.size:
        image = image.resize(frame.inner, Image.Resampling.BICUBIC, box=box)
    if frame.inner != frame.canvas:
        canvas = Image.new("RGB", frame.canvas, (128, 128, 128))
        canvas.paste(image, frame.offset)
        image = canvas
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if frame.flip else image


def random_window(window: Box, least: float, rng: np.random.Generator) -> Box:
    """A part of a window in whole pixels: between `least` and all of its area, aspect between 3:4 and 4:3."""
    left, top = math.ceil(window[0]), math.ceil(window[1])
    width, height = max(1, math.floor(window[2]) - left), max(1, math.floor(window[3]) - top)
    area = rng.uniform(least, 1.0) * width * height
    aspect = math.exp(rng.uniform(-math.log(_ASPECT), math.log(_ASPECT)))
    w = min(width, max(1, round(math.sqrt(area * aspect))))
    h = min(height, max(1, round(math.sqrt(area / aspect))))
    x = left + int(rng.integers(width - w + 1))
    y = top + int(rng.integers(height - h + 1))
    return float(x), float(y), float(x + w), float(y + h)


def object_window(box: Box, factor: float, size: Size) -> Box:
    """A square around a box, its side `factor` times the box's longer one, moved inside the image.

    Where the image is narrower than that, the window is as wide as the image and no square.
    """
    side = max(1.0, max(box[2] - box[0], box[3] - box[1]) * factor)
    return square_at((box[0] + box[2]) / 2, (box[1] + box[3]) / 2, side, size)


def square_at(x: float, y: float, side: float, size: Size) -> Box:
    """A square of whole pixels with its centre near (x, y), cut to the image's size and moved inside it."""
    width, height = (min(max(1, round(side)), extent) for extent in size)
    left = min(max(0, round(x - width / 2)), size[0] - width)
    top = min(max(0, round(y - height / 2)), size[1] - height)
    return float(left), float(top), float(left + width), float(top + height)


def changed_box(values: NDArray[np.float32]) -> Box | None:
    """Bounding box of what a map calls changed (0.5 or more); None where nothing is."""
    changed = values >= 0.5  # NaN is not
    columns, rows = np.flatnonzero(changed.any(axis=0)), np.flatnonzero(changed.any(axis=1))
    if not len(rows):
        return None
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def parse_bbox(value: object, name: str) -> Box | None:
    """``[x, y, width, height]`` in pixels to a box; None where there is none.

    Raises:
        UserError: not four numbers, or no area.
    """
    text = str(value).strip()
    if text in ("", "nan", "None", "[]"):
        return None
    try:
        x, y, width, height = (float(part) for part in text.strip("[]()").replace(",", " ").split())
    except ValueError as error:
        raise UserError(f"{name}: bbox is {text!r}; it must be [x, y, width, height] in pixels") from error
    if not (all(map(math.isfinite, (x, y, width, height))) and width > 0 and height > 0):
        raise UserError(f"{name}: bbox {text!r} has no area; it must be [x, y, width, height] in pixels")
    return x, y, x + width, y + height


def draw_tint(rng: np.random.Generator) -> NDArray[np.float32]:
    """(3, 4): an affine map of RGB in [0, 255]. It asks nothing of the image, so equal pixels stay equal."""
    brightness, contrast, saturation = 1 + rng.uniform(-_TINT, _TINT, size=3)
    mix = saturation * np.eye(3) + (1 - saturation) * np.tile(_LUMA, (3, 1))
    matrix = np.empty((3, 4), dtype=np.float32)
    matrix[:, :3] = mix * contrast * brightness
    matrix[:, 3] = 127.5 * (1 - contrast) * brightness
    return matrix


def tinted(pixels: NDArray[np.uint8], matrix: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(3, H, W) uint8, every pixel through the matrix."""
    flat = pixels.reshape(3, -1).astype(np.float32)
    mixed = matrix[:, :3] @ flat + matrix[:, 3:]
    return np.clip(np.rint(mixed), 0, 255).astype(np.uint8).reshape(pixels.shape)
