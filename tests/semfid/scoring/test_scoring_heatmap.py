"""Colours that can be read as numbers."""

from __future__ import annotations

import numpy as np
import pytest

from semfid.scoring.heatmap import colours, grey, overlay, with_colour_bar

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


def test_another_top_is_a_stretched_scale() -> None:
    values = np.random.default_rng(2).random((5, 6)) * 0.4
    np.testing.assert_array_equal(colours(values, 0.2), colours(np.minimum(values / 0.2, 1)))
    candidate = np.full((5, 6, 3), 90, dtype=np.uint8)
    np.testing.assert_array_equal(overlay(candidate, values, 0.2), overlay(candidate, np.minimum(values / 0.2, 1)))


@pytest.mark.parametrize(("height", "top"), [(32, 1.0), (64, 0.3), (224, 0.25), (500, 0.0123)])
def test_the_colour_bar_is_the_scale(height: int, top: float) -> None:
    picture = np.random.default_rng(3).integers(0, 256, (height, 40, 3), dtype=np.uint8)
    drawn = with_colour_bar(picture, top)
    assert drawn.shape[0] == height and drawn.dtype == np.uint8
    np.testing.assert_array_equal(drawn[:, :40], picture)
    beside = drawn[:, 40:].astype(int)
    column = next(x for x in range(beside.shape[1]) if (beside[height // 2, x] < 255).any())
    bar = beside[:, column]
    inside = np.flatnonzero((bar < 255).any(axis=1))
    assert (np.diff(inside) == 1).all() and len(inside) > height // 2
    ends = colours(np.array([[1.0, 0.0]]))[0]
    np.testing.assert_array_equal(bar[inside[[0, -1]]], ends)
    light = lightness(bar[inside])
    assert (np.diff(light) <= 0.1).all(), "the top of the scale above"
    width = int((beside[inside[len(inside) // 8]] < 255).any(axis=1).sum())  # of a row without a mark
    text = beside[:, column + width + 1 :].min(axis=(1, 2)) < 128
    assert text[: height // 3].any() and text[-height // 3 :].any(), "labels at both ends"
    assert (beside[:, -2:] == 255).all(), "no label is cut off"
