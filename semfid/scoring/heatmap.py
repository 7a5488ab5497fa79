"""Difference maps as pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

STOPS = np.array(
    [[0, 0, 4], [51, 16, 104], [121, 28, 109], [188, 55, 84], [237, 105, 37], [252, 165, 10], [252, 255, 164]],
    dtype=np.float64,
)
"""RGB at even distances from 0 to the top of the scale: dark violet to yellow in even steps of lightness, told apart by
colour-blind readers."""
BAND = 128  # rows that are drawn at once


def colours(difference: NDArray[np.floating], top: float = 1.0) -> NDArray[np.uint8]:
    """(H, W) differences as (H, W, 3) colours: dark = same, bright = changed.

    Args:
        top: the difference that is brightest; values beyond 0 and `top` are drawn as these.
    """
    return np.concatenate([_colours(rows, top) for rows in _bands(difference)])


def _bands(pixels: NDArray[Any]) -> list[NDArray[Any]]:
    """(H, W, ...) in bands of rows: float64 copies of a whole large image would take gigabytes."""
    return [pixels[start : start + BAND] for start in range(0, max(1, len(pixels)), BAND)]


def _colours(difference: NDArray[np.floating], top: float) -> NDArray[np.uint8]:
    at = _share(difference, top) * (len(STOPS) - 1)
    channels = [np.interp(at, np.arange(len(STOPS)), STOPS[:, channel]) for channel in range(3)]
    return np.stack(channels, axis=-1).round().astype(np.uint8)


def overlay(candidate: NDArray[np.uint8], difference: NDArray[np.floating], top: float = 1.0) -> NDArray[np.uint8]:
    """The candidate in grey, coloured where it differs.

    Args:
        candidate: (H, W, 3).
        difference: (H, W).
        top: as in `colours`; pictures of one `top` can be compared.
    """
    bands = zip(_bands(candidate), _bands(difference), strict=True)
    return np.concatenate([_overlay(pixels, rows, top) for pixels, rows in bands])


def _overlay(candidate: NDArray[np.uint8], difference: NDArray[np.floating], top: float) -> NDArray[np.uint8]:
    luma = candidate.astype(np.float64) @ np.array([0.299, 0.587, 0.114])
    grey = np.repeat((0.25 * 255 + 0.6 * luma)[..., None], 3, axis=-1)  # pale, so that colours stand out
    weight = _share(difference, top)[..., None] ** 0.5 * 0.65
    return (grey * (1 - weight) + _colours(difference, top) * weight).round().clip(0, 255).astype(np.uint8)


def _share(difference: NDArray[np.floating], top: float) -> NDArray[np.floating]:
    """Of the scale, 0 to 1; unknown as 0."""
    return np.clip(np.nan_to_num(difference) / top, 0.0, 1.0)


def with_colour_bar(picture: NDArray[np.uint8], top: float = 1.0) -> NDArray[np.uint8]:
    """A picture, (H, W, 3), with the scale of `colours` at its right, (H, W + more, 3).

    The bar has at least two labels; how many, and how large, follows from the height.
    """
    height, width, _ = picture.shape
    size = min(22, max(9, height // 18))  # pixels of the text
    font = ImageFont.load_default(size)
    marks = _marks(top, most=max(1, height // (2 * size) - 1))
    labels = [f"{mark:.3g}" for mark in marks]
    bar, gap = max(6, round(0.9 * size)), max(3, size // 2)
    text = max(int(np.ceil(font.getlength(label))) for label in labels)
    canvas = Image.new("RGB", (width + gap + bar + gap + text + gap, height), "white")
    canvas.paste(Image.fromarray(picture))
    inset = (size + 1) // 2  # half a label stands above the bar's end, and half below
    length = height - 2 * inset
    ramp = colours(np.repeat(np.linspace(1.0, 0.0, length)[:, None], bar, axis=1))
    canvas.paste(Image.fromarray(ramp), (width + gap, inset))
    pen = ImageDraw.Draw(canvas)
    for mark, label in zip(marks, labels, strict=True):
        y = inset + round((length - 1) * (1 - mark / top))
        pen.line([(width + gap + bar, y), (width + gap + bar + gap // 2, y)], fill="black")
        pen.text((width + 2 * gap + bar, y), label, fill="black", font=font, anchor="lm")
    return np.asarray(canvas)


def _marks(top: float, most: int) -> list[float]:
    """0, whole steps of 1, 2, 2.5 or 5 times a power of ten, and `top`; at most `most` steps."""
    rough = top / min(most, 5)
    power = 10.0 ** np.floor(np.log10(rough))
    step = next(s for s in (power, 2 * power, 2.5 * power, 5 * power, 10 * power) if s >= rough * 0.999)
    below = np.arange(0.0, top, step)
    return [0.0, *(float(mark) for mark in below[1:] if mark < top - 0.6 * step), top]


def grey(difference: NDArray[np.floating]) -> NDArray[np.uint8]:
    """(H, W) differences as 8-bit grey levels, 255 = 1: the pair table's form of a map."""
    return (np.clip(np.nan_to_num(difference), 0.0, 1.0) * 255).round().astype(np.uint8)
