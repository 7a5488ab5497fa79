"""The logistic finds what generated the data, and degrades as documented."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, special

from semfid.stats.logistic import fit_logistic


def curve(x: np.ndarray, b1: float, b2: float, b3: float, b4: float) -> np.ndarray:
    return b2 + (b1 - b2) / (1 + np.exp(-(x - b3) / b4))


def squares(residual: np.ndarray) -> float:
    return float(np.sum(residual**2))


@pytest.mark.parametrize(("b1", "b2"), [(0.9, 0.1), (0.1, 0.9)])
@pytest.mark.parametrize(("scale", "offset"), [(1.0, 0.0), (1e-6, 3.0), (1e6, -1e7)])
def test_recovers_parameters_rising_and_falling(b1: float, b2: float, scale: float, offset: float) -> None:
    z = np.linspace(-3, 4, 200)
    y = curve(z, b1, b2, 0.5, 0.6)
    mapping = fit_logistic(z * scale + offset, y)
    assert mapping.converged and mapping.form == "logistic"
    found = (mapping.b1, mapping.b2, (mapping.b3 - offset) / scale, mapping.b4 / scale)
    assert found == pytest.approx((b1, b2, 0.5, 0.6), abs=1e-3)
    assert mapping(z * scale + offset) == pytest.approx(y, abs=1e-4)


@pytest.mark.parametrize("seed", range(4))
def test_no_worse_than_curve_fit_started_at_the_truth(seed: int) -> None:
    generator = np.random.default_rng(seed)
    x = generator.normal(size=300)
    truth = (0.85, 0.05, 0.3, 0.4)
    y = curve(x, *truth) + 0.1 * generator.normal(size=300)
    reference, _ = optimize.curve_fit(curve, x, y, p0=truth)
    assert squares(fit_logistic(x, y)(x) - y) <= squares(curve(x, *reference) - y) * (1 + 1e-6)


def test_finds_a_narrow_step_in_heavy_tails() -> None:
    """The standard deviation, 814, says nothing of a step 0.02 wide."""
    x = np.concatenate([np.linspace(0, 1, 300), [1e4, -1e4]])
    y = curve(x.clip(-10, 10), 0.9, 0.2, 0.8, 0.02)
    assert squares(fit_logistic(x, y)(x) - y) < 1e-3


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("slope", [-3.0, 30.0])
def test_a_single_start_would_not_do(seed: int, slope: float) -> None:
    """Lognormal predictions: from one start in the middle, several of these end up to ten times worse."""
    generator = np.random.default_rng(seed)
    x = np.exp(2 * generator.normal(size=300))
    truth = special.expit((x - np.median(x) - seed % 3) * slope)
    y = truth + 0.1 * generator.normal(size=300)
    assert squares(fit_logistic(x, y)(x) - y) <= squares(truth - y) * 1.001


def test_never_worse_than_the_line_and_order_does_not_matter() -> None:
    generator = np.random.default_rng(0)
    for n in (5, 6, 9, 40):
        x, y = generator.normal(size=n), generator.uniform(size=n)
        mapping = fit_logistic(x, y)
        line = np.polyval(np.polyfit(x, y, 1), x)
        assert squares(mapping(x) - y) <= squares(line - y) * (1 + 1e-9)
        shuffled = generator.permutation(n)
        assert fit_logistic(x[shuffled], y[shuffled]) == mapping


def test_five_pairs_converge() -> None:
    x = np.array([0.0, 1.0, 2.0, 3.0, 4.0])
    mapping = fit_logistic(x, np.array([0.02, 0.1, 0.5, 0.9, 0.97]))
    assert mapping.converged
    assert mapping(x) == pytest.approx([0.02, 0.1, 0.5, 0.9, 0.97], abs=0.05)


def test_fallbacks_are_named() -> None:
    y = np.array([0.1, 0.2, 0.6, 0.9, 0.3, 0.5])
    constant = fit_logistic(np.full(6, 0.3), y)
    assert (constant.form, constant.converged) == ("constant", False)
    assert constant([0.0, 9.0]) == pytest.approx([y.mean()] * 2)
    labels = fit_logistic(np.arange(6.0), np.full(6, 0.1))
    assert labels.form == "constant" and labels.b1 == 0.1
    line = fit_logistic([0.0, 1.0, 2.0], [0.2, 0.4, 0.6])
    assert (line.form, line.converged) == ("linear", False)
    assert line([0.0, 1.0, 2.0, 5.0]) == pytest.approx([0.2, 0.4, 0.6, 1.2])
    binary = fit_logistic([0.0, 0.0, 1.0, 1.0, 1.0], [0.0, 0.2, 0.6, 0.7, 0.8])
    assert binary.form == "linear" and binary([0.0, 1.0]) == pytest.approx([0.1, 0.7])
    unrelated = fit_logistic([0.0, 0.0, 1.0, 1.0], [0.0, 1.0, 0.0, 1.0])
    assert unrelated.form == "constant" and unrelated.b1 == 0.5


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(-1e6, 1e6), st.floats(0, 1)),
        min_size=1,
        max_size=12,
    )
)
def test_never_raises_and_never_worse_than_the_mean(rows: list[tuple[float, float]]) -> None:
    x, y = np.array(rows).T
    mapped = fit_logistic(x, y)(x)
    assert np.isfinite(mapped).all()
    assert squares(mapped - y) <= squares(y.mean() - y) * (1 + 1e-6) + 1e-20


def test_refuses_nan() -> None:
    with pytest.raises(ValueError, match="not finite"):
        fit_logistic([0.0, np.nan], [0.0, 1.0])
