"""Which pairs of a set make the selection: the perceptually moderate, balanced over models and strengths."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from registry import UserError

MEASURES = ("ssim", "lpips", "quality")


@dataclass(frozen=True)
class SelectionSettings:
    """Bands are [low, high] percentiles of a measure among the pairs of one strength; null: the measure does not count.

    Attributes:
        target: pairs to select, in equal numbers per model and strength as far as they go; None: all within the bands.
    """

    target: int | None = None
    ssim: list[float] | None = field(default_factory=lambda: [10.0, 90.0])
    lpips: list[float] | None = field(default_factory=lambda: [10.0, 90.0])
    quality: list[float] | None = field(default_factory=lambda: [10.0, 100.0])

    def check(self) -> None:
        """Raises a UserError for bands and targets that cannot be."""
        for measure in MEASURES:
            band = getattr(self, measure)
            if band is not None and not (len(band) == 2 and 0 <= band[0] < band[1] <= 100):
                raise UserError(
                    f"selection.{measure}={band} must be [low, high] percentiles with 0 <= low < high <= 100"
                )
        if self.target is not None and self.target < 1:
            raise UserError(f"selection.target={self.target} must be at least 1, or null for all")


def select(frame: pd.DataFrame, settings: SelectionSettings, seed: int) -> NDArray[np.bool_]:
    """(rows,) whether each pair is selected; depends on the rows, not on their order.

    Args:
        frame: columns pair_id, model, strength and the measures; a measure without any number does not count.
    """
    moderate = np.ones(len(frame), dtype=bool)
    for measure in MEASURES:
        band = getattr(settings, measure)
        if band is None:
            continue
        for rows in frame.groupby("strength", sort=True).indices.values():
            values = frame[measure].to_numpy(dtype=float)[rows]
            if not np.isnan(values).all():
                low, high = np.nanpercentile(values, band)
                moderate[rows] &= (values >= low) & (values <= high)
    if settings.target is None:
        return moderate
    names, models, strengths = (frame[column].tolist() for column in ("pair_id", "model", "strength"))
    order = sorted(np.flatnonzero(moderate).tolist(), key=lambda row: _draw(seed, names[row]))
    cells: dict[tuple[str, float], list[int]] = {}
    for row in order:
        cells.setdefault((models[row], strengths[row]), []).append(row)
    chosen = np.zeros(len(frame), dtype=bool)
    for cell, count in shares({cell: len(rows) for cell, rows in cells.items()}, settings.target).items():
        chosen[cells[cell][:count]] = True
    return chosen


def shares(sizes: dict[tuple[str, float], int], target: int) -> dict[tuple[str, float], int]:
    """How many of each cell: equal numbers, what small cells lack taken from the others; what does not divide goes to the
    first cells in order.
    """
    counts, left = {}, target
    cells = sorted(sizes, key=lambda cell: (sizes[cell], cell))
    for number, cell in enumerate(cells):
        counts[cell] = min(sizes[cell], -(-left // (len(cells) - number)))
        left -= counts[cell]
    return counts


def _draw(seed: int, pair_id: str) -> tuple[int, str]:
    return zlib.crc32(f"{seed} {pair_id}".encode()), pair_id
