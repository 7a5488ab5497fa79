"""The p value is calibrated, Holm is Holm, and a lead that data cannot carry is not a win."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semfid.stats.correlation import srcc
from semfid.stats.resamples import Resamples
from semfid.stats.significance import compare, holm, not_distinguishable_from_best, resamples_needed
from semfid.stats.weighted_spearman import WeightedSpearman

SOURCES, PAIRS = 60, 5


def clustered(generator: np.random.Generator, shared: float, own: float) -> np.ndarray:
    common = np.repeat(generator.normal(size=SOURCES), PAIRS)
    return shared * common + own * generator.normal(size=SOURCES * PAIRS)


def two_variants(generator: np.random.Generator, noise_b: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels out of 30 votes, and two predictions; of one quality where `noise_b` is 0.8."""
    latent = clustered(generator, 0.7, 0.7)
    y = generator.binomial(30, 1 / (1 + np.exp(-1.5 * latent))) / 30
    both = 0.5 * clustered(generator, 0.5, 0.5)
    return y, *(latent + noise * (both + clustered(generator, 0.8, 0.3)) for noise in (0.8, noise_b))


def rejections(noise_b: float, trials: int, by: str) -> float:
    generator = np.random.default_rng(11)
    names = np.array([f"s{i // PAIRS if by == 'source' else i:03d}" for i in range(SOURCES * PAIRS)])
    rejected = 0
    for trial in range(trials):
        y, a, b = two_variants(generator, noise_b)
        resamples = Resamples.draw(names, n=199, seed=trial)
        weights = resamples.multiplicity.astype(float)
        drawn = [WeightedSpearman(x, y, resamples.row_source)(weights) for x in (a, b)]
        rejected += compare(*drawn, srcc(a, y), srcc(b, y)) <= 0.05
    return rejected / trials


def test_false_alarms_under_the_null_are_near_five_percent() -> None:
    assert 0.025 <= rejections(0.8, 400, by="source") <= 0.075  # 400 trials: 0.05 has a standard error of 0.011


def test_pairs_instead_of_sources_would_cry_wolf() -> None:
    assert rejections(0.8, 120, by="pair") > 0.1


def test_power() -> None:
    assert rejections(1.8, 60, by="source") > 0.9


def test_compare_by_hand() -> None:
    a = np.linspace(-1, 1, 99) + 0.5  # d - observed: 99 steps of 1/49 about 0
    assert compare(a, np.zeros(99), 0.5, 0.0) == pytest.approx((1 + 2 * 25) / 100)
    assert compare(np.zeros(99), a, 0.0, 0.5) == compare(a, np.zeros(99), 0.5, 0.0)
    assert compare(a, np.zeros(99), 3.0, 0.0) == 0.26  # the draws are shifted by what was observed, not by their mean
    assert compare(np.full(99, 0.7), np.full(99, 0.5), 0.7, 0.5) == 0.01  # the floor, never 0


def test_compare_degenerate() -> None:
    same = np.random.default_rng(0).uniform(size=50)
    assert compare(same, same, 0.5, 0.5) == 1.0
    assert np.isnan(compare(same, same, 0.5, np.nan))
    assert np.isnan(compare(np.where(np.arange(50) < 26, np.nan, same), same, 0.5, 0.4))
    assert np.isnan(compare(same[:19], same[:19], 0.5, 0.4))
    with pytest.raises(ValueError, match="same resamples"):
        compare(same, same[1:], 0.5, 0.4)


def naive_holm(p: list[float]) -> list[float]:
    """By the definition: the adjusted p is the largest of the scaled p up to this one."""
    ranks = sorted(range(len(p)), key=lambda i: p[i])
    adjusted = [0.0] * len(p)
    for position, i in enumerate(ranks):
        adjusted[i] = min(1.0, max((len(p) - j) * p[ranks[j]] for j in range(position + 1)))
    return adjusted


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_equals_its_definition(p: list[float]) -> None:
    assert list(holm(p)) == pytest.approx(naive_holm(p), abs=1e-15)


def test_holm_by_hand() -> None:
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([0.01, np.nan])[0] == pytest.approx(0.02) and np.isnan(holm([0.01, np.nan])[1])
    with pytest.raises(ValueError, match="between 0 and 1"):
        holm([1.2])


def draws(*centres: float, spread: float = 0.03, n: int = 999) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    observed = np.array(centres)
    return observed, observed[:, None] + spread * generator.normal(size=(observed.size, n))


def test_marks_what_cannot_be_told_from_the_best() -> None:
    observed, samples = draws(0.720, 0.776, 0.3)
    mask, p = not_distinguishable_from_best(observed, samples)
    assert mask.tolist() == [True, True, False]
    assert p[1] == 1.0 and p[0] > 0.05
    assert p[2] == pytest.approx(2 / 1000)  # the floor 1/1000, times two comparisons
    mask, _ = not_distinguishable_from_best(observed, samples, larger_is_better=False)
    assert mask.tolist() == [False, False, True]


def test_correction_grows_with_the_number_of_variants() -> None:
    observed, samples = draws(0.70, 0.80, 0.70)
    alone = compare(samples[1], samples[0], 0.8, 0.7)
    _, p = not_distinguishable_from_best(observed, samples)
    assert alone < p[0]
    assert min(p[0], p[2]) == pytest.approx(2 * min(alone, compare(samples[1], samples[2], 0.8, 0.7)))


def test_constant_variants_are_never_best_and_never_marked() -> None:
    observed, samples = draws(0.7, np.nan, 0.69)
    for larger in (True, False):
        mask, p = not_distinguishable_from_best(observed, samples, larger_is_better=larger)
        assert mask.tolist() == [True, False, True] and np.isnan(p[1])
    mask, p = not_distinguishable_from_best([np.nan], np.full((1, 30), np.nan))
    assert mask.tolist() == [False] and np.isnan(p).all()


def test_a_comparison_that_cannot_be_made_is_no_win() -> None:
    observed, samples = draws(0.9, 0.1)
    samples[1, 100:] = np.nan
    mask, p = not_distinguishable_from_best(observed, samples)
    assert mask.tolist() == [True, True] and p[1] == 1.0


def test_not_distinguishable_errors() -> None:
    observed, samples = draws(0.9, 0.1)
    with pytest.raises(ValueError, match="samples must be"):
        not_distinguishable_from_best(observed, samples[0])
    with pytest.raises(ValueError, match="alpha"):
        not_distinguishable_from_best(observed, samples, alpha=5)


@pytest.mark.parametrize("variants", [2, 3, 40, 60])
def test_resamples_needed_is_the_edge(variants: int) -> None:
    def any_unmarked(n: int) -> bool:
        observed = np.concatenate([[1.0], np.zeros(variants - 1)])
        samples = np.repeat(observed[:, None], n, axis=1)
        return not not_distinguishable_from_best(observed, samples)[0].all()

    needed = resamples_needed(variants)
    assert any_unmarked(needed)
    assert not any_unmarked(needed - 1)
    with pytest.raises(ValueError, match="variants"):
        resamples_needed(0)
