"""Difference maps as pictures."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# dark violet to yellow, even steps of lightness, told apart by colour-blind readers
_STOPS = np.array(
    [[0, 0, 4], [51, 16, 104], [121, 28, 109], [188, 55, 84], [237, 105, 37], [252, 165, 10], [252, 255, 164]],
    dtype=np.float64,
)


def colours(difference: NDArray[np.floating]) -> NDArray[np.uint8]:
    """(H, W) differences in [0, 1] (cut to it) as (H, W, 3) colours: dark = same, bright = changed."""
    at = np.clip(np.nan_to_num(difference), 0.0, 1.0) * (len(_STOPS) - 1)
    channels = [np.interp(at, np.arange(len(_STOPS)), _STOPS[:, channel]) for channel in range(3)]
    return np.stack(channels, axis=-1).round().astype(np.uint8)


def overlay(candidate: NDArray[np.uint8], difference: NDArray[np.floating]) -> NDArray[np.uint8]:
    """The candidate in grey, coloured where it differs.

    Args:
        candidate: (H, W, 3).
        difference: (H, W) in [0, 1]; the scale is fixed, so that pictures can be compared.
    """
    luma = candidate.astype(np.float64) @ np.array([0.299, 0.587, 0.114])
    grey = np.repeat((0.25 * 255 + 0.6 * luma)[..., None], 3, axis=-1)  # pale, so that colours stand out
    weight = np.clip(np.nan_to_num(difference), 0.0, 1.0)[..., None] ** 0.5 * 0.65
    return (grey * (1 - weight) + colours(difference) * weight).round().clip(0, 255).astype(np.uint8)


def grey(difference: NDArray[np.floating]) -> NDArray[np.uint8]:
    """(H, W) differences as 8-bit grey levels, 255 = 1: the pair table's form of a map."""
    return (np.clip(np.nan_to_num(difference), 0.0, 1.0) * 255).round().astype(np.uint8)
