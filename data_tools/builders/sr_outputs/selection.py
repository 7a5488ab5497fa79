"""Which pairs of a set make the selection: the perceptually moderate, balanced over models and strengths."""

from __future__ import annotations

import zlib

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field, field_validator

from data_tools.builders.core.settings import Number
from semfid.settings import Settings

MEASURES = ("ssim", "lpips", "quality")


class SelectionSettings(Settings):
    """Bands are [low, high] percentiles of a measure among the pairs of one strength; null: the measure does not count.

    Attributes:
        target: pairs to select, in equal numbers per model and strength as far as they go; None: all within the bands.
    """

    target: int | None = Field(default=None, ge=1)
    ssim: list[Number] | None = Field(default=[10.0, 90.0])
    lpips: list[Number] | None = Field(default=[10.0, 90.0])
    quality: list[Number] | None = Field(default=[10.0, 100.0])

    @field_validator(*MEASURES)
    @classmethod
    def _band(cls, band: list[Number] | None) -> list[Number] | None:
        if band is not None and not (len(band) == 2 and 0 <= band[0] < band[1] <= 100):
            raise ValueError("must be [low, high] percentiles with 0 <= low < high <= 100")
        return band


def select(frame: pd.DataFrame, settings: SelectionSettings, seed: int) -> NDArray[np.bool_]:
    """(rows,) whether each pair is selected; see `left_out`."""
    return np.array([not reason for reason in left_out(frame, settings, seed)], dtype=bool)


def left_out(frame: pd.DataFrame, settings: SelectionSettings, seed: int) -> list[str]:
    """Why each pair is not selected; empty: it is. Depends on the rows, not on their order.

    Args:
        frame: columns pair_id, model, strength and the measures; a measure without any number does not count.
    """
    reasons: list[list[str]] = [[] for _ in range(len(frame))]
    for measure in MEASURES:
        band = getattr(settings, measure)
        if band is None:
            continue
        for rows in frame.groupby("strength", sort=True).indices.values():
            values = frame[measure].to_numpy(dtype=float)[rows]
            if not np.isnan(values).all():
                low, high = np.nanpercentile(values, band)
                for row in np.asarray(rows)[~((values >= low) & (values <= high))]:
                    reasons[row].append(f"{measure} outside its band")
    if settings.target is not None:
        moderate = [row for row, found in enumerate(reasons) if not found]
        chosen = {*_balanced(frame, moderate, settings.target, seed)}
        for row in moderate:
            if row not in chosen:
                reasons[row].append("beyond target")
    return ["; ".join(found) for found in reasons]


def _balanced(frame: pd.DataFrame, rows: list[int], target: int, seed: int) -> list[int]:
    names, models, strengths = (frame[column].tolist() for column in ("pair_id", "model", "strength"))
    cells: dict[tuple[str, float], list[int]] = {}
    for row in sorted(rows, key=lambda row: _draw(seed, names[row])):
        cells.setdefault((models[row], strengths[row]), []).append(row)
    counts = shares({cell: len(found) for cell, found in cells.items()}, target)
    return [row for cell, found in cells.items() for row in found[: counts[cell]]]


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
