"""The noise ceiling against simulations whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from semfid.errors import UserError
from semfid.stats.ceiling import noise_ceiling
from semfid.stats.votes import rate_interval, wilson


def known(votes: int, seed: int, n: int = 300) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    truth = generator.beta(0.7, 0.9, n)
    return truth, generator.binomial(votes, truth)


@pytest.mark.parametrize(
    ("votes", "srcc_range", "floor_range"),
    [(30, (0.965, 0.985), (0.004, 0.006)), (12, (0.92, 0.96), (0.011, 0.014))],
)
def test_equals_a_simulation_of_known_truth(
    votes: int, srcc_range: tuple[float, float], floor_range: tuple[float, float]
) -> None:
    """The ranges of shared/evaluation.md, and on average the true value itself."""
    found, truths = [], []
    for seed in range(8):
        truth, yes = known(votes, seed)
        ceiling = noise_ceiling(yes, np.full(300, votes), simulations=60)
        assert srcc_range[0] <= ceiling.srcc <= srcc_range[1]
        assert floor_range[0] <= ceiling.mse_floor <= floor_range[1]
        assert ceiling.srcc_interval[0] < ceiling.srcc < ceiling.srcc_interval[1]
        observed = yes / votes
        found.append((ceiling.srcc, ceiling.mse_floor, ceiling.split_half_ceiling))
        truths.append((stats.spearmanr(truth, observed).statistic, np.mean((truth - observed) ** 2)))
    srcc, floor, halves = np.mean(found, axis=0)
    true_srcc, true_floor = np.mean(truths, axis=0)
    assert srcc == pytest.approx(true_srcc, abs=0.004)
    assert halves == pytest.approx(true_srcc, abs=0.008)
    assert floor == pytest.approx(true_floor, rel=0.05)


def test_unequal_votes() -> None:
    found, truths = [], []
    for seed in range(6):
        generator = np.random.default_rng(seed)
        votes = generator.integers(5, 40, 2000)
        truth = generator.beta(0.7, 0.9, 2000)
        yes = generator.binomial(votes, truth)
        ceiling = noise_ceiling(yes, votes, simulations=20)
        assert ceiling.votes_median == np.median(votes)
        found.append((ceiling.srcc, ceiling.split_half_ceiling, ceiling.mse_floor, *ceiling.prior))
        observed = yes / votes
        truths.append((stats.spearmanr(truth, observed).statistic, np.mean((truth - observed) ** 2)))
    srcc, halves, floor, a, b = np.mean(found, axis=0)
    true_srcc, true_floor = np.mean(truths, axis=0)
    assert (srcc, halves) == pytest.approx((true_srcc, true_srcc), abs=0.005)
    assert floor == pytest.approx(true_floor, rel=0.05)
    assert (a, b) == pytest.approx((0.7, 0.9), rel=0.06)


def test_halves_are_drawn_without_replacement() -> None:
    """Two votes per pair, all pairs split 1:1 or agreed: the halves' SRCC has a closed form."""
    yes = np.repeat([0, 1, 2], [40, 20, 40])
    ceiling = noise_ceiling(yes, np.full(100, 2))
    # a 1:1 pair always gives one half 1 and the other 0; a draw with replacement would sometimes give 1 and 1.
    # 80 agreed pairs, 20 opposed: phi of the 2x2 table (40 + k, ...) is about 0.6 for every k
    assert ceiling.split_half_srcc == pytest.approx(2 * 0.6 / 1.6, abs=0.01)


def test_same_seed_same_ceiling_in_any_order() -> None:
    _, yes = known(12, 0)
    votes = np.full(300, 12)
    votes[:50] = 14
    p = np.random.default_rng(1).permutation(300)
    first = noise_ceiling(yes, votes, simulations=30)
    assert noise_ceiling(yes[p], votes[p], simulations=30) == first
    assert noise_ceiling(yes, votes, simulations=30, seed=1).srcc != first.srcc


def test_pairs_without_votes_are_dropped_and_counted() -> None:
    _, yes = known(12, 0)
    votes = np.full(300, 12)
    with_empty = noise_ceiling([*yes, 0, 0, 0], [*votes, 0, 0, 0], simulations=30)
    assert (with_empty.n, with_empty.dropped) == (300, 3)
    assert with_empty.srcc == noise_ceiling(yes, votes, simulations=30).srcc


@pytest.mark.parametrize("yes", [0, 30])
def test_unanimous_votes_have_no_correlation(yes: int) -> None:
    ceiling = noise_ceiling(np.full(20, yes), np.full(20, 30))
    assert np.isnan([ceiling.srcc, ceiling.split_half_srcc, *ceiling.srcc_interval]).all()
    assert 0 <= ceiling.mse_floor < 1e-3


def test_single_votes_tell_nothing() -> None:
    ceiling = noise_ceiling([0, 1, 1, 0], [1, 1, 1, 1])
    assert np.isnan([ceiling.srcc, ceiling.mse_floor, ceiling.split_half_srcc]).all()
    assert (ceiling.n, ceiling.votes_median) == (4, 1.0)


def test_single_votes_among_others_count_but_cannot_be_halved() -> None:
    _, yes = known(12, 0)
    votes = np.full(300, 12)
    mixed = noise_ceiling([*yes, 0, 1, 1], [*votes, 1, 1, 1], simulations=100)
    alone = noise_ceiling(yes, votes, simulations=100)
    assert (mixed.n, mixed.dropped) == (303, 0)
    assert mixed.split_half_srcc == pytest.approx(alone.split_half_srcc, abs=0.01)
    assert mixed.mse_floor > alone.mse_floor


def test_no_votes_at_all() -> None:
    ceiling = noise_ceiling([0, 0], [0, 0])
    assert (ceiling.n, ceiling.dropped) == (0, 2) and np.isnan(ceiling.srcc)


def test_votes_that_cannot_be() -> None:
    with pytest.raises(UserError, match="row 1 has 5 yes_votes of 4"):
        noise_ceiling([1, 5], [4, 4])
    with pytest.raises(UserError, match=r"votes of row 0 is 2\.5"):
        wilson([1], [2.5])
    with pytest.raises(UserError, match="yes_votes of row 0 is -1"):
        wilson([-1], [2])
    with pytest.raises(UserError, match="yes_votes of row 1 is nan"):
        noise_ceiling([1, np.nan], [2, 2])
    with pytest.raises(ValueError, match="one length"):
        wilson([1, 2], [3])
    with pytest.raises(ValueError, match="simulations"):
        noise_ceiling([1], [2], simulations=0)


def test_wilson_equals_scipy() -> None:
    votes = np.array([1, 1, 7, 12, 30, 30, 30])
    yes = np.array([0, 1, 3, 12, 0, 29, 15])
    for level in (0.8, 0.95):
        low, high = wilson(yes, votes, level)
        for k in range(votes.size):
            expected = stats.binomtest(int(yes[k]), int(votes[k])).proportion_ci(level, method="wilson")
            assert (low[k], high[k]) == pytest.approx((expected.low, expected.high), abs=1e-12)
    low, high = wilson([0], [0])
    assert (low[0], high[0]) == (0.0, 1.0)
    with pytest.raises(ValueError, match="level"):
        wilson([1], [2], level=95)


def test_interval_of_rates_takes_halves() -> None:
    low, high = rate_interval([14, 14.5, 15], [30, 30, 30])
    assert (np.diff(low) > 0).all() and (np.diff(high) > 0).all() and rate_interval(0, 0) == (0.0, 1.0)
    with pytest.raises(ValueError, match="between 0 and votes"):
        rate_interval([3], [2])
