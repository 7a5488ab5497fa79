"""The figures of the overview against the `krippendorff` package, scipy, the framework's own, and plain loops."""

from __future__ import annotations

import itertools
import sys

import hypothesis
import hypothesis.strategies as st
import krippendorff
import numpy as np
import pytest
from scipy import stats

from semfid.stats.ceiling import noise_ceiling
from user_study.analysis import statistics

count_tables = st.lists(
    st.tuples(st.integers(0, 6), st.integers(0, 6), st.integers(0, 3)), min_size=1, max_size=12
).map(lambda rows: np.array(rows, dtype=np.int64))


def answers_matrix(table: np.ndarray) -> np.ndarray:
    """(raters, pairs) of categories with nan where a rater has no answer: the shape that the package reads."""
    width = int(table.sum(axis=1).max(initial=1))
    matrix = np.full((max(width, 2), len(table)), np.nan)
    for column, row in enumerate(table):
        given = np.repeat(np.arange(table.shape[1]), row)
        matrix[: len(given), column] = given
    return matrix


@hypothesis.given(count_tables)
def test_alpha_is_that_of_the_package(table: np.ndarray) -> None:
    usable = table[table.sum(axis=1) >= 2]
    found = statistics.krippendorff_alpha(table)
    if not len(usable) or np.count_nonzero(usable.sum(axis=0)) < 2:
        assert np.isnan(found)
    else:
        theirs = krippendorff.alpha(reliability_data=answers_matrix(table), level_of_measurement="nominal")
        assert found == pytest.approx(theirs, abs=1e-12)


def naive_ac1(table: np.ndarray) -> float:
    alike, shares = [], []
    for row in table:
        given = [category for category, n in enumerate(row) for _ in range(n)]
        if given:
            shares.append([given.count(category) / len(given) for category in range(len(row))])
        if len(given) >= 2:
            two = list(itertools.permutations(given, 2))
            alike.append(sum(a == b for a, b in two) / len(two))
    if not alike:
        return float("nan")
    mean = np.mean(shares, axis=0)
    chance = sum(p * (1 - p) for p in mean) / (table.shape[1] - 1)
    return (float(np.mean(alike)) - chance) / (1 - chance)


@hypothesis.given(count_tables)
def test_ac1_is_that_of_a_loop_over_pairs_of_answers(table: np.ndarray) -> None:
    assert statistics.gwet_ac1(table) == pytest.approx(naive_ac1(table), abs=1e-12, nan_ok=True)


def study(pairs: int, votes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(yes, no) of people who are honest about graded truth."""
    generator = np.random.default_rng(seed)
    yes = generator.binomial(votes, generator.beta(0.8, 0.8, pairs))
    return yes, votes - yes


def test_bootstrap_is_that_of_resampled_pairs() -> None:
    yes, no = study(80, 12)
    table = np.stack([yes, no], axis=1)
    generator = np.random.default_rng(5)
    naive = [statistics.krippendorff_alpha(table[generator.integers(0, 80, 80)]) for _ in range(2000)]
    found = statistics.agreement(table, resamples=2000)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(naive, (0.025, 0.975))), abs=0.012)
    assert found.low < found.alpha < found.high and found.pairs == 80 and found.answers == 960


def test_figures_do_not_depend_on_the_order_of_pairs() -> None:
    yes, no = study(50, 9)
    order = np.random.default_rng(1).permutation(50)
    table = np.stack([yes, no], axis=1)
    assert statistics.agreement(table) == statistics.agreement(table[order])
    assert statistics.split_half(yes, no) == statistics.split_half(yes[order], no[order])


def test_interval_narrows_and_covers_with_more_pairs() -> None:
    few, many = (statistics.agreement(np.stack(study(n, 10), axis=1)) for n in (30, 1000))
    assert many.high - many.low < (few.high - few.low) / 3


def test_split_half_agrees_with_the_framework() -> None:
    yes, no = study(120, 15, seed=3)
    no = np.maximum(no - np.arange(120) % 4, 0)  # panels of unequal size
    theirs = noise_ceiling(yes, yes + no, simulations=150).split_half_srcc
    assert statistics.split_half(yes, no, halvings=150) == pytest.approx(theirs, abs=0.006)


def test_split_half_forecasts_the_correlation_of_two_panels() -> None:
    generator = np.random.default_rng(0)
    truth = generator.beta(0.8, 0.8, 4000)
    first, second = generator.binomial(20, truth), generator.binomial(20, truth)
    observed = stats.spearmanr(first, second).statistic
    assert statistics.split_half(first, 20 - first, halvings=20) == pytest.approx(observed, abs=0.02)


@pytest.mark.parametrize(
    ("yes", "no"),
    [([], []), ([1], [0]), ([5], [5]), ([0, 1], [1, 0]), ([0, 0, 0], [6, 7, 8])],
    ids=["empty", "one vote", "one pair", "single votes", "everybody agrees"],
)
def test_nothing_to_say_is_nan(yes: list[int], no: list[int]) -> None:
    assert np.isnan(statistics.split_half(yes, no))
    if yes != [5]:
        found = statistics.agreement([*zip(yes, no, strict=True)])
        assert np.isnan(found.alpha) and np.isnan(found.low)


def test_interval_of_nothing_and_of_halves() -> None:
    assert statistics.interval(0, 0) == (0.0, 1.0)
    low, high = statistics.interval(14.5, 30)
    assert statistics.interval(14, 30)[0] < low < statistics.interval(15, 30)[0] < high
    theirs = stats.binomtest(14, 30).proportion_ci(method="wilson")
    assert statistics.interval(14, 30) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_beta_mean_and_entropy() -> None:
    yes, votes = np.array([0, 3, 15, 30, 0]), np.array([30, 12, 30, 30, 0])
    assert statistics.beta_mean(yes, votes) == pytest.approx(
        [stats.beta(k + 0.5, n - k + 0.5).mean() for k, n in zip(yes, votes, strict=True)]
    )
    assert statistics.entropy(yes[:4], votes[:4]) == pytest.approx(
        [stats.entropy([k / n, 1 - k / n], base=2) for k, n in zip(yes[:4], votes[:4], strict=True)]
    )
    assert np.isnan(statistics.entropy([0], [0])).all()


@pytest.mark.parametrize("counts", [[[1, -1]], [[0.5, 1]], [1, 2, 3], [[1], [2]]])
def test_counts_that_cannot_be(counts: list) -> None:
    with pytest.raises(ValueError, match="counts must be"):
        statistics.agreement(counts)


def _calls(pairs: int) -> int:
    """Calls of functions, C's included, that the statistics of a study make."""
    yes, no = study(pairs, 30)
    calls = 0

    def count(_frame: object, event: str, _value: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        statistics.agreement(np.stack([yes, no], axis=1))
        statistics.split_half(yes, no)
    finally:
        sys.setprofile(None)
    return calls


def test_nothing_is_done_pair_by_pair() -> None:
    """A study of a million answers takes 0.6 s; a loop over its pairs would take minutes."""
    _calls(10)  # what is done once, such as imports
    assert 0 < _calls(3000) < 1.2 * _calls(300)
