"""Rotated rectangles around the regions of a text map."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Floats = NDArray[np.floating]

SMALLEST = 3  # pixels of the map: the height of a region


@dataclass(frozen=True)
class Box:
    """A rotated rectangle around a piece of text, in pixels of the image.

    Attributes:
        x, y: the middle.
        width: along the text's direction.
        height: across it.
        angle: of the text's direction against the horizontal, in radians, clockwise as seen.
    """

    x: float
    y: float
    width: float
    height: float
    angle: float

    def corners(self) -> NDArray[np.float64]:
        """(4, 2) x and y: upper left, upper right, lower right, lower left, as the text is read."""
        along = np.array([math.cos(self.angle), math.sin(self.angle)]) * self.width / 2
        across = np.array([-math.sin(self.angle), math.cos(self.angle)]) * self.height / 2
        middle = np.array([self.x, self.y])
        return np.stack(
            [middle - along - across, middle + along - across, middle + along + across, middle - along + across]
        )

    def part(self, start: float, end: float) -> Box:
        """The piece between two shares of its width, 0 <= start < end <= 1."""
        shift = ((start + end) / 2 - 0.5) * self.width
        return Box(
            self.x + shift * math.cos(self.angle),
            self.y + shift * math.sin(self.angle),
            (end - start) * self.width,
            self.height,
            self.angle,
        )

    def scaled(self, x: float, y: float) -> Box:
        """The box in an image that is so many times as wide and high (nearly the same factor)."""
        return Box(self.x * x, self.y * y, self.width * x, self.height * y, self.angle)


def smallest_rectangle(points: Floats) -> Box:
    """The rectangle of least area around (N, 2) points, turned so that the angle lies in (-45, 45] degrees.

    One side of it lies on the convex hull (Freeman and Shapira 1975): every edge of the hull is tried.
    """
    hull = _hull(np.unique(points.astype(np.float64), axis=0))
    edges = np.roll(hull, -1, axis=0) - hull
    angles = np.unique(np.round(np.arctan2(edges[:, 1], edges[:, 0]) % (math.pi / 2), 9))  # (E,)
    along = np.stack([np.cos(angles), np.sin(angles)], axis=1) @ hull.T  # (E, N)
    across = np.stack([-np.sin(angles), np.cos(angles)], axis=1) @ hull.T
    widths, heights = np.ptp(along, axis=1), np.ptp(across, axis=1)
    best = int(np.argmin(widths * heights))
    angle, width, height = float(angles[best]), float(widths[best]), float(heights[best])
    middle_along = (along[best].min() + along[best].max()) / 2
    middle_across = (across[best].min() + across[best].max()) / 2
    x = middle_along * math.cos(angle) - middle_across * math.sin(angle)
    y = middle_along * math.sin(angle) + middle_across * math.cos(angle)
    if angle > math.pi / 4:
        return Box(float(x), float(y), height, width, angle - math.pi / 2)
    return Box(float(x), float(y), width, height, angle)


def _hull(points: Floats) -> NDArray[np.float64]:
    """Convex hull of sorted, distinct (N, 2) points (Andrew's monotone chain)."""
    if len(points) <= 2:
        return points.astype(np.float64)

    def chain(ordered: Floats) -> list[NDArray[np.float64]]:
        kept: list[NDArray[np.float64]] = []
        for point in ordered:
            while len(kept) >= 2 and _turn(kept[-2], kept[-1], point) <= 0:
                kept.pop()
            kept.append(point)
        return kept[:-1]

    return np.array(chain(points) + chain(points[::-1]))


def _turn(a: Floats, b: Floats, c: Floats) -> float:
    return float((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]))


def boxes_of(probability: Floats, threshold: float, least: float, grow: float) -> list[Box]:
    """Boxes around the regions of a text map.

    Differentiable binarisation (arXiv 1911.08947) learns regions that are shrunk; each rectangle grows by
    ``area * grow / circumference`` on every side.

    Args:
        probability: (H, W) of text.
        threshold: what counts as text.
        least: mean probability of a region that is kept.
        grow: the unclip ratio.
    """
    labels, count = ndimage.label(probability > threshold, structure=np.ones((3, 3)))
    found = []
    for number, area in enumerate(ndimage.find_objects(labels, count), start=1):
        inside = labels[area] == number
        score = float(probability[area][inside].mean())
        box = smallest_rectangle(_outline(inside) + np.array([area[1].start, area[0].start]))
        if min(box.width, box.height) < SMALLEST or score < least:
            continue
        distance = box.width * box.height * grow / (2 * (box.width + box.height))
        found.append(Box(box.x, box.y, box.width + 2 * distance, box.height + 2 * distance, box.angle))
    return found


def _outline(inside: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(N, 2) x and y of the middles of the first and the last pixel of each row: their hull is that of all pixels."""
    rows = np.flatnonzero(inside.any(axis=1))
    left = inside[rows].argmax(axis=1)
    right = inside.shape[1] - 1 - inside[rows, ::-1].argmax(axis=1)
    return np.stack([np.concatenate([left, right]), np.concatenate([rows, rows])], axis=1) + 0.5
