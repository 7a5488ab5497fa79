"""Colours that can be read as numbers."""

from __future__ import annotations

import numpy as np

from semfid.runtime.heatmap import colours, grey, overlay

RAMP = np.linspace(0.0, 1.0, 101)[None]


def lightness(rgb: np.ndarray) -> np.ndarray:
    """CIE L* of sRGB (IEC 61966-2-1 and CIE 1976), by its definition."""
    linear = rgb / 255.0
    linear = np.where(linear <= 0.04045, linear / 12.92, ((linear + 0.055) / 1.055) ** 2.4)
    y = linear @ np.array([0.2126, 0.7152, 0.0722])
    return np.where(y > 0.008856, 116 * np.cbrt(y) - 16, 903.3 * y)


def test_more_difference_is_lighter() -> None:
    steps = np.diff(lightness(colours(RAMP)[0]))
    assert (steps > 0).all()
    assert lightness(colours(RAMP)[0])[[0, -1]].tolist()[0] < 5 and lightness(colours(RAMP)[0])[-1] > 90
    assert steps.max() < 4 * steps.mean(), "even steps"


def test_values_outside_the_range_and_nan() -> None:
    odd = np.array([[-3.0, np.nan, 7.0, np.inf, -np.inf]], dtype=np.float32)
    ends = colours(np.array([[0.0, 1.0]]))[0]
    got = colours(odd)
    assert got.dtype == np.uint8 and got.shape == (1, 5, 3)
    np.testing.assert_array_equal(got[0], ends[[0, 0, 1, 1, 0]])
    np.testing.assert_array_equal(grey(odd), [[0, 0, 255, 255, 0]])


def test_grey_is_the_difference_to_the_nearest_level() -> None:
    values = np.random.default_rng(0).random((7, 9))
    assert np.abs(grey(values) / 255.0 - values).max() <= 0.5 / 255 + 1e-9
    assert grey(values).dtype == np.uint8


def test_the_overlay_is_the_grey_candidate_where_nothing_differs() -> None:
    rng = np.random.default_rng(1)
    candidate = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    plain = overlay(candidate, np.zeros((6, 8)))
    assert plain.dtype == np.uint8 and plain.shape == (6, 8, 3)
    assert (plain[..., 0] == plain[..., 1]).all() and (plain[..., 1] == plain[..., 2]).all()
    luma = candidate @ np.array([0.299, 0.587, 0.114])
    assert np.corrcoef(plain[..., 0].ravel(), luma.ravel())[0, 1] > 0.999
    half = np.zeros((6, 8))
    half[:, 4:] = 0.9
    mixed = overlay(candidate, half)
    np.testing.assert_array_equal(mixed[:, :4], plain[:, :4])
    spread = mixed[:, 4:].max(axis=-1).astype(int) - mixed[:, 4:].min(axis=-1)
    assert spread.min() > 50, "coloured"
    np.testing.assert_array_equal(overlay(candidate, np.full((6, 8), np.nan)), plain)
