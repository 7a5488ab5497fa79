"""Degradations that leave the meaning alone: what super-resolution, compression and cameras do to pictures.

Each has one strength in [0, 1]: 0 leaves the image as it is, 1 is strong but every object stays recognisable.
Lengths grow with the image, so a strength looks the same at every size.

| name | at strength 1 (128 px) |
|---|---|
| blur | Gaussian, sigma 1.9 px |
| noise | Gaussian, 28 grey levels |
| jpeg | quality 13 |
| resample | down- and upsampled by 4 (bilinear, bicubic or Lanczos) |
| tone | one of brightness +-38 %, contrast +-45 %, gamma 0.5 or 2, white balance +-28 % |
| sharpen | unsharp mask of 200 % |
| shift | moved by 2.5 px, as misaligned reconstructions are |

Several in a row are written with a plus: ``resample+jpeg``.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from scipy import ndimage

from semfid.errors import UserError, did_you_mean

Bytes = NDArray[np.uint8]

NONE = "none"


def degrade(image: Bytes, name: str, strength: float, rng: np.random.Generator) -> Bytes:
    """A degraded copy.

    Args:
        image: (H, W, 3) uint8.
        name: one of `DEGRADATIONS`, several joined by ``+``, or ``none``.
        strength: 0 .. 1, for every part of the name.
        rng: source of the noise and of directions (brighter or darker, left or right).

    Returns:
        (H, W, 3) uint8.

    Raises:
        UserError: unknown name, or a strength outside [0, 1].
    """
    names = parts(name)
    if not 0 <= strength <= 1:
        raise UserError(f"strength={strength:g} of '{name}' must lie in 0 .. 1")
    for one in names:
        image = _KINDS[one](image, strength, rng) if strength > 0 else image
    return image.copy()


def parts(name: str) -> tuple[str, ...]:
    """The single degradations of a name; ``none`` has none.

    Raises:
        UserError: an unknown part.
    """
    names = () if name == NONE else tuple(name.split("+"))
    for one in names:
        if one not in _KINDS:
            raise UserError(f"no degradation '{one}'{did_you_mean(one, _KINDS)}; there are {', '.join(_KINDS)}, {NONE}")
    return names


def _blur(image: Bytes, strength: float, rng: np.random.Generator) -> Bytes:
    radius = 1.9 * strength * len(image) / 128
    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(radius)))


def _noise(image: Bytes, strength: float, rng: np.random.Generator) -> Bytes:
    return _bytes(image + np.float32(28 * strength) * rng.standard_normal(image.shape, dtype=np.float32))


def _jpeg(image: Bytes, strength: float, rng: np.random.Generator) -> Bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=round(95 - 82 * strength))
    return np.asarray(Image.open(buffer))


def _resample(image: Bytes, strength: float, rng: np.random.Generator) -> Bytes:
    height, width = image.shape[:2]
    factor = 1 + 3 * strength
    kernels = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS)
    up = kernels[int(rng.integers(3))]
    small = Image.fromarray(image).resize((round(width / factor), round(height / factor)), Image.Resampling.BICUBIC)
    return np.asarray(small.resize((width, height), up))


def _tone(image: Bytes, strength: float, rng: np.random.Generator) -> Bytes:
    kind, sign = int(rng.integers(4)), 1 if rng.random() < 0.5 else -1
    unit = image.astype(np.float32) / 255
    if kind == 0:
        unit = unit * (1 + 0.38 * sign * strength)
    elif kind == 1:
        middle = unit.mean()
        unit = middle + (unit - middle) * (1 + 0.45 * sign * strength)
    elif kind == 2:
        unit = unit ** math.exp(math.log(2) * sign * strength)
    else:
        gains = np.asarray([1 + 0.28 * sign * strength, 1.0, 1 - 0.28 * sign * strength], dtype=np.float32)
        unit = unit * gains
    return _bytes(unit * 255)


def _sharpen(image: Bytes, strength: float, rng: np.random.Generator) -> Bytes:
    soft = np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(len(image) / 128)), dtype=np.float32)
    return _bytes(image + 2 * strength * (image - soft))


def _shift(image: Bytes, strength: float, rng: np.random.Generator) -> Bytes:
    angle = 2 * math.pi * rng.random()
    far = 2.5 * strength * len(image) / 128
    move = (far * math.sin(angle), far * math.cos(angle), 0)
    return _bytes(ndimage.shift(image.astype(np.float32), move, order=1, mode="nearest"))


def _bytes(values: NDArray[np.floating]) -> Bytes:
    clipped: Bytes = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return clipped


_KINDS: dict[str, Callable[[Bytes, float, np.random.Generator], Bytes]] = {
    "blur": _blur,
    "noise": _noise,
    "jpeg": _jpeg,
    "resample": _resample,
    "tone": _tone,
    "sharpen": _sharpen,
    "shift": _shift,
}
DEGRADATIONS: tuple[str, ...] = tuple(_KINDS)
