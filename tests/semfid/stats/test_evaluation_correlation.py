"""Correlations against scipy and a brute-force Kendall."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from semfid.stats.correlation import krcc, plcc, srcc

ALL = (srcc, krcc, plcc)
REFERENCES = (
    (srcc, lambda x, y: stats.spearmanr(x, y).statistic),
    (krcc, lambda x, y: stats.kendalltau(x, y).statistic),
    (plcc, lambda x, y: stats.pearsonr(x, y).statistic),
)


def brute_kendall(x: np.ndarray, y: np.ndarray) -> float:
    """Tau-b by all pairs."""
    dx, dy = np.sign(x[:, None] - x), np.sign(y[:, None] - y)
    return float((dx * dy).sum() / np.sqrt((dx**2).sum() * (dy**2).sum()))


@pytest.mark.parametrize(("ours", "theirs"), REFERENCES)
@pytest.mark.parametrize("decimals", [0, 1, 15])
def test_equals_scipy(ours: Callable, theirs: Callable, decimals: int) -> None:
    generator = np.random.default_rng(3)
    y = generator.normal(size=500)
    x = np.round(y + generator.normal(size=500), decimals)
    y = np.round(y, decimals)
    assert ours(x, y) == pytest.approx(theirs(x, y), abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=2, max_size=25))
def test_kendall_equals_all_pairs(pairs: list[tuple[int, int]]) -> None:
    x, y = np.array(pairs, dtype=float).T
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        assert np.isnan(krcc(x, y))
    else:
        assert krcc(x, y) == pytest.approx(brute_kendall(x, y), abs=1e-12)


def test_tie_group_beyond_65536_is_exact() -> None:
    """The size where an int32 sum of ranks overflows; the expected values are closed forms."""
    ties, steps = 200_000, 100
    x = np.concatenate([np.zeros(ties), np.arange(1, steps + 1)])
    y = np.concatenate([np.zeros(ties), np.ones(steps)])
    n = ties + steps
    x_power = (n**3 - n - (ties**3 - ties)) / 12
    y_power = (n**3 - n - (ties**3 - ties) - (steps**3 - steps)) / 12
    low, high = (ties + 1) / 2, ties + (steps + 1) / 2
    mean = (n + 1) / 2
    shared = ties * (low - mean) ** 2 + steps * (high - mean) ** 2
    assert srcc(x, y) == pytest.approx(shared / (x_power * y_power) ** 0.5, abs=1e-12)
    comparable_x, comparable_y = ties * steps + steps * (steps - 1) / 2, ties * steps
    assert krcc(x, y) == pytest.approx(ties * steps / (comparable_x * comparable_y) ** 0.5, abs=1e-12)


@pytest.mark.parametrize("ours", ALL)
def test_sign_is_kept(ours: Callable) -> None:
    x = np.linspace(0, 1, 20)
    assert ours(x, -x) == pytest.approx(-1.0, abs=1e-12)
    assert ours(x, x) == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("ours", ALL)
def test_constant_is_nan_not_zero(ours: Callable) -> None:
    x = np.linspace(0, 1, 7)
    for constant in (0.1, 0.0, 1e9 / 3):  # the mean of seven 0.1 is not 0.1 in floating point
        assert np.isnan(ours(np.full(7, constant), x))
        assert np.isnan(ours(x, np.full(7, constant)))
    assert np.isnan(ours([0.5], [0.5]))
    assert np.isnan(ours([], []))


@pytest.mark.parametrize("ours", ALL)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_refuses_what_is_not_finite(ours: Callable, bad: float) -> None:
    with pytest.raises(ValueError, match="x holds 1 value"):
        ours([0.0, bad, 1.0], [0.0, 0.5, 1.0])
    with pytest.raises(ValueError, match="y holds 1 value"):
        ours([0.0, 0.5, 1.0], [0.0, bad, 1.0])


@pytest.mark.parametrize("ours", ALL)
def test_refuses_shapes(ours: Callable) -> None:
    with pytest.raises(ValueError, match="one length"):
        ours([0.0, 1.0], [0.0, 1.0, 2.0])
    with pytest.raises(ValueError, match="1-D"):
        ours(np.zeros((3, 1)), np.zeros(3))


def test_pearson_survives_extreme_scales() -> None:
    x = np.array([1.0, 2.0, 4.0, 3.0])
    expected = stats.pearsonr(x, x[::-1]).statistic
    assert plcc(x * 1e-200, x[::-1] * 1e200) == pytest.approx(expected, abs=1e-12)
