"""The places of a difference map that contribute most to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

CELLS = 128  # of the longer side: places are found on a grid of at most so many cells
SMOOTH = 1.5  # cells, standard deviation
LARGEST = 1 / 6  # of the image: a wider place is cut down to its core
LEVELS = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9)  # of a peak: where its place ends
LEAST = 0.01  # share of the map


@dataclass(frozen=True)
class Region:
    """A box, in pixels from the upper left corner, and the share of the map's sum inside it, 0 to 1."""

    x: int
    y: int
    width: int
    height: int
    share: float

    def words(self) -> str:
        return f"x {self.x}-{self.x + self.width}, y {self.y}-{self.y + self.height} ({self.share:.0%})"

    def overlaps(self, other: Region) -> bool:
        apart_x = self.x + self.width <= other.x or other.x + other.width <= self.x
        apart_y = self.y + self.height <= other.y or other.y + other.height <= self.y
        return not (apart_x or apart_y)


def regions(difference: NDArray[np.floating], count: int = 3) -> list[Region]:
    """Boxes around the places that stand out of a map, disjoint, largest share first; none where nothing differs.

    What stands out is the smoothed map less its median. The place of a local maximum is made of the connected cells above the
    lowest of `LEVELS` at which they reach no higher maximum and their box is at most `LARGEST` of the image. Places are taken in
    the order of what stands out in them.

    Args:
        difference: (H, W); values below 0 and those that are not finite count as 0.
        count: at most so many.
    """
    values = np.nan_to_num(difference, nan=0.0, posinf=0.0, neginf=0.0).clip(min=0.0)
    cell = -(-max(values.shape) // CELLS)
    cells = _summed(values, cell)
    total = float(cells.sum())
    if total <= 0.0:
        return []
    smooth = ndimage.gaussian_filter(cells, SMOOTH, mode="nearest")
    excess = np.clip(smooth - np.median(smooth), 0.0, None)
    if not excess.any():  # the same everywhere
        excess = smooth
    peaks = np.argwhere((excess == ndimage.maximum_filter(excess, size=5)) & (excess > excess.max() / 10))
    places = [place for row, column in peaks if (place := _place(excess, (int(row), int(column)))) is not None]
    height, width = values.shape
    chosen: list[Region] = []
    for place in sorted(places, key=lambda place: -float(excess[place].sum())):
        box = _region(cells, place, cell, total, (height, width))
        if len(chosen) < count and box.share >= LEAST and not any(box.overlaps(other) for other in chosen):
            chosen.append(box)
    return sorted(chosen, key=lambda box: -box.share)


def _summed(values: NDArray[np.floating], cell: int) -> NDArray[np.float64]:
    """Sums over cells of `cell` x `cell` pixels; the last ones may be cut off by the border."""
    rows = np.add.reduceat(values, np.arange(0, values.shape[0], cell), axis=0, dtype=np.float64)
    return np.add.reduceat(rows, np.arange(0, values.shape[1], cell), axis=1)


_Place = tuple[slice, slice]
"""Rows and columns of cells."""


def _place(excess: NDArray[np.float64], peak: tuple[int, int]) -> _Place | None:
    """The cells around a peak; None where it does not stand out from a higher one."""
    box: _Place | None = None
    for level in LEVELS:
        labels, _ = ndimage.label(excess >= level * excess[peak])
        inside = labels == labels[peak]
        if excess[inside].max() > excess[peak]:
            continue
        rows, columns = ndimage.find_objects(inside.astype(np.int8))[0]
        box = rows, columns
        if (rows.stop - rows.start) * (columns.stop - columns.start) <= LARGEST * excess.size:
            break
    return box


def _region(cells: NDArray[np.float64], place: _Place, cell: int, total: float, size: tuple[int, int]) -> Region:
    top, left = (side.start * cell for side in place)
    bottom, right = (min(side.stop * cell, pixels) for side, pixels in zip(place, size, strict=True))
    return Region(left, top, right - left, bottom - top, round(float(cells[place].sum()) / total, 4))


def to_text(found: Sequence[Region]) -> str:
    """For a column of a table: ``x y width height share``, regions apart by a semicolon."""
    return "; ".join(f"{one.x} {one.y} {one.width} {one.height} {one.share:g}" for one in found)


def from_text(text: str) -> list[Region]:
    """What `to_text` wrote.

    Raises:
        ValueError: it did not.
    """
    found = []
    for one in filter(None, text.split("; ")):
        x, y, width, height, share = one.split()
        found.append(Region(int(x), int(y), int(width), int(height), float(share)))
    return found
