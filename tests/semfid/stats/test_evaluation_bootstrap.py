"""The fast bootstrap against a loop that repeats the rows and calls scipy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from semfid.stats.bootstrap import bootstrap_metrics, interval
from semfid.stats.correlation import krcc, plcc, srcc
from semfid.stats.logistic import fit_logistic
from semfid.stats.resamples import Resamples
from semfid.stats.weighted_kendall import WeightedKendall
from semfid.stats.weighted_spearman import WeightedSpearman

CORRELATIONS = ("srcc", "krcc", "plcc", "plcc_logistic")


def data(n: int, sources: int, x_ties: bool, y_ties: bool, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    truth = generator.beta(0.6, 1.2, n)
    x = truth + 0.3 * generator.normal(size=n)
    names = np.array([f"s{i}" for i in generator.permutation(np.arange(n) % sources)])
    return (np.round(truth * 12) / 12 if y_ties else truth), (np.round(x, 1) if x_ties else x), names


def naive(y: np.ndarray, x: np.ndarray, resamples: Resamples) -> dict[str, np.ndarray]:
    """Repeat every row as often as its source was drawn and call the references."""
    mapped = fit_logistic(x, y)(x)
    found: dict[str, list[float]] = {}
    for multiplicity in resamples.multiplicity:
        rows = np.repeat(np.arange(y.size), multiplicity[resamples.row_source])
        a, b, m = x[rows], y[rows], mapped[rows]
        degenerate = np.ptp(a) == 0 or np.ptp(b) == 0
        values = {
            "srcc": np.nan if degenerate else stats.spearmanr(a, b).statistic,
            "krcc": np.nan if degenerate else stats.kendalltau(a, b).statistic,
            "plcc": np.nan if degenerate else stats.pearsonr(a, b).statistic,
            "plcc_logistic": np.nan if degenerate else stats.pearsonr(m, b).statistic,
            "mse": np.mean((a - b) ** 2),
            "mae": np.mean(np.abs(a - b)),
            "rmse": np.sqrt(np.mean((a - b) ** 2)),
            "rmse_logistic": np.sqrt(np.mean((m - b) ** 2)),
        }
        for name, value in values.items():
            found.setdefault(name, []).append(float(value))
    return {name: np.array(values) for name, values in found.items()}


@pytest.mark.parametrize("x_ties", [False, True])
@pytest.mark.parametrize("y_ties", [False, True])
@pytest.mark.parametrize(("n", "sources"), [(200, 37), (60, 60), (45, 4)])
def test_equals_repeated_rows(n: int, sources: int, x_ties: bool, y_ties: bool) -> None:
    y, x, names = data(n, sources, x_ties, y_ties)
    resamples = Resamples.draw(names, n=60, seed=5)
    found, expected = bootstrap_metrics(y, x, resamples), naive(y, x, resamples)
    assert set(found) == set(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=0, atol=1e-11, err_msg=name)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(0, 3)), min_size=2, max_size=14))
def test_heavy_ties_equal_repeated_rows(rows: list[tuple[int, int, int]]) -> None:
    x, y, names = np.array(rows, dtype=float).T
    resamples = Resamples.draw([str(name) for name in names], n=8)
    weights = resamples.multiplicity.astype(float)
    found_s = WeightedSpearman(x, y, resamples.row_source)(weights)
    found_k = WeightedKendall(x, y, resamples.row_source)(weights)
    for k, multiplicity in enumerate(resamples.multiplicity):
        repeated = np.repeat(np.arange(x.size), multiplicity[resamples.row_source])
        np.testing.assert_allclose(found_s[k], srcc(x[repeated], y[repeated]), atol=1e-12)
        np.testing.assert_allclose(found_k[k], krcc(x[repeated], y[repeated]), atol=1e-12)


def test_large_tie_groups_are_exact() -> None:
    """150,000 ties: int32 sums of ranks and int32 counts of pairs would overflow."""
    generator = np.random.default_rng(0)
    y = np.concatenate([np.zeros(150_000), generator.uniform(size=5_000)])
    x = np.concatenate([np.zeros(149_000), generator.uniform(size=6_000)])
    resamples = Resamples.draw(np.array([f"s{i % 50}" for i in range(y.size)]), n=2)
    found = bootstrap_metrics(y, x, resamples)
    for k, multiplicity in enumerate(resamples.multiplicity):
        repeated = np.repeat(np.arange(y.size), multiplicity[resamples.row_source])
        for name, reference in (("srcc", srcc), ("krcc", krcc), ("plcc", plcc)):
            assert found[name][k] == pytest.approx(reference(x[repeated], y[repeated]), abs=1e-11), name


def test_order_of_rows_and_threads_change_no_bit() -> None:
    y, x, names = data(300, 60, False, True)
    resamples = Resamples.draw(names, n=900)
    found = bootstrap_metrics(y, x, resamples, threads=1)
    p = np.random.default_rng(2).permutation(300)
    shuffled = bootstrap_metrics(y[p], x[p], Resamples.draw(names[p], n=900), threads=3)
    for name, values in found.items():
        np.testing.assert_array_equal(values, shuffled[name], err_msg=name)


def test_resamples() -> None:
    _, _, names = data(50, 12, False, False)
    first, again, other = (Resamples.draw(names, n=400, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.multiplicity, again.multiplicity)
    assert (first.multiplicity != other.multiplicity).any()
    assert first.n == 400 and list(first.sources) == sorted(set(names))
    np.testing.assert_array_equal(first.sources[first.row_source], names)
    assert (first.multiplicity.sum(axis=1) == 12).all()
    # each count is binomial(12, 1/12): mean 1, variance 11/12
    assert first.multiplicity.mean(axis=0) == pytest.approx(np.ones(12), abs=0.25)
    assert first.multiplicity.var() == pytest.approx(11 / 12, abs=0.1)
    with pytest.raises(ValueError, match="at least one"):
        Resamples.draw([], n=5)
    with pytest.raises(ValueError, match="at least one"):
        Resamples.draw(names, n=0)


def test_constant_predictions_and_degenerate_resamples() -> None:
    y = np.array([0.1, 0.2, 0.6, 0.9])
    resamples = Resamples.draw(list("abcd"), n=200)
    found = bootstrap_metrics(y, np.full(4, 0.1), resamples)
    assert all(np.isnan(found[name]).all() for name in CORRELATIONS)
    assert np.isfinite(found["mse"]).all()
    found = bootstrap_metrics(y, np.array([0.1, 0.1, 0.1, 0.3]), resamples)
    weights = resamples.multiplicity
    one_value = (weights[:, 3] == 0) | (weights[:, 3] == 4)
    assert 0 < one_value.sum() < 200
    for name in CORRELATIONS:
        np.testing.assert_array_equal(np.isnan(found[name]), one_value, err_msg=name)


def test_predictions_without_relation_have_plcc_logistic_zero() -> None:
    y, x = np.array([0.0, 1.0, 0.0, 1.0]), np.array([0.0, 0.0, 1.0, 1.0])
    found = bootstrap_metrics(y, x, Resamples.draw(list("abcd"), n=50))
    usable = ~np.isnan(found["srcc"])
    assert usable.any() and (found["plcc_logistic"][usable] == 0).all()
    assert np.isnan(found["plcc_logistic"][~usable]).all()


def test_linear_correlation_of_rounding_errors_is_nan() -> None:
    """A resample of one source whose predictions differ by 1e-12: the sums cannot tell them apart."""
    x = np.array([0.0, 1e-12, 2e-12, 3e-12, 1.0, 2.0, 3.0, 4.0])
    y = np.array([0.11, 0.07, 0.13, 0.09, 0.9, 0.85, 0.93, 0.95])
    drawn = Resamples.draw(list("aaaabcde"), n=1)
    only_a = Resamples(drawn.sources, drawn.row_source, np.array([[5, 0, 0, 0, 0]], dtype=np.uint16))
    found = bootstrap_metrics(y, x, only_a)
    assert found["srcc"][0] == pytest.approx(0.0, abs=1e-12) and np.isfinite(found["krcc"][0])
    assert np.isnan(found["plcc"][0]) and np.isnan(found["plcc_logistic"][0])


def test_krcc_can_be_left_out() -> None:
    y, x, names = data(30, 10, False, True)
    resamples = Resamples.draw(names, n=10)
    assert set(bootstrap_metrics(y, x, resamples)) - set(bootstrap_metrics(y, x, resamples, krcc=False)) == {"krcc"}


def test_errors() -> None:
    y, x, names = data(30, 10, False, True)
    resamples = Resamples.draw(names, n=10)
    with pytest.raises(ValueError, match="one length"):
        bootstrap_metrics(y[1:], x[1:], resamples)
    with pytest.raises(ValueError, match="finite"):
        bootstrap_metrics(y, np.where(x == x[0], np.nan, x), resamples)


def test_interval() -> None:
    values = np.arange(1001.0)
    assert interval(values) == pytest.approx((25.0, 975.0))
    assert interval(values[::-1], level=0.8) == pytest.approx((100.0, 900.0))
    assert interval(np.concatenate([values, np.full(500, np.nan)])) == pytest.approx((25.0, 975.0))
    assert np.isnan(interval(np.concatenate([values, np.full(1002, np.nan)]))).all()
    assert np.isnan(interval(values[:19])).all()
    with pytest.raises(ValueError, match="level"):
        interval(values, level=95)


def test_interval_covers_the_population_value() -> None:
    """Clustered data, 95 % intervals of SRCC: the share that holds the true value is near 95 %."""
    generator = np.random.default_rng(4)
    shared, own = 0.5, 0.5

    def draw(sources: int) -> tuple[np.ndarray, np.ndarray]:
        def part() -> np.ndarray:
            common = np.repeat(generator.normal(size=sources), 5)
            return np.sqrt(shared) * common + np.sqrt(own) * generator.normal(size=5 * sources)

        y = part()
        return y, 0.8 * y + 0.6 * part()

    truth = 6 / np.pi * np.arcsin(0.8 / 2)  # Spearman of a normal pair with correlation 0.8
    names = np.repeat([f"s{i:03d}" for i in range(60)], 5)
    held = 0
    for trial in range(200):
        y, x = draw(60)
        resamples = Resamples.draw(names, n=200, seed=trial)
        spearman = WeightedSpearman(x, y, resamples.row_source)
        low, high = interval(spearman(resamples.multiplicity.astype(float)))
        held += low <= truth <= high
    assert 0.91 <= held / 200 <= 0.98


def test_no_resample_is_sorted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows are sorted once; 10,000 pairs x 1,000 resamples would take a minute otherwise, and take 0.6 s."""
    y, x, names = data(300, 60, False, False)
    sorts: list[str] = []
    for name in ("sort", "argsort", "lexsort", "unique", "partition", "argpartition"):
        true = getattr(np, name)
        monkeypatch.setattr(np, name, lambda *a, _f=true, _n=name, **k: (sorts.append(_n), _f(*a, **k))[1])
    counts = []
    for n in (2, 2, 500):  # the first call does what is done once in a process too
        resamples = Resamples.draw(names, n=n)
        sorts.clear()
        bootstrap_metrics(y, x, resamples)
        counts.append(len(sorts))
    assert counts[1] == counts[2] > 0
