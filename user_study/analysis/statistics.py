"""Agreement, reliability and intervals of a study, from the counts of answers that each pair has.

Nothing here reads single answers: with exchangeable raters the counts of a pair (yes, no, unsure) hold all that these figures
need, and a study of a million answers has only a few hundred distinct rows of counts.

Which figure to look at: alpha and AC1 tell how far two *single* answers agree; with graded truth honest people reach an alpha of
0.4. The labels are means of many answers, and `split_half` measures how reliable *these* are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special  # type: ignore[import-untyped, unused-ignore]

from semfid.stats.arrays import FloatArray, IntArray
from semfid.stats.ceiling import split_half_srcc
from semfid.stats.votes import rate_interval

NAN = float("nan")
FEWEST_RESAMPLES = 20  # an interval of fewer is not worth printing
MOST_DRAWS = 500_000  # pairs x halvings of a split-half figure: with many pairs few halvings suffice


@dataclass(frozen=True)
class Agreement:
    """How far two answers to one pair agree.

    Attributes:
        alpha: Krippendorff's alpha, at most 1; nan where no pair has two answers or all answers are the same.
        low, high: 95 % cluster bootstrap over pairs; nan where alpha is.
        ac1: Gwet's AC1; nan where no pair has two answers.
        pairs: with two answers or more.
        answers: of those pairs.
    """

    alpha: float
    low: float
    high: float
    ac1: float
    pairs: int
    answers: int


def count_table(counts: npt.ArrayLike) -> IntArray:
    """Counts as int64, (pairs, categories).

    Raises:
        ValueError: not two-dimensional with two or more categories, not whole numbers, negative.
    """
    table = np.asarray(counts)
    if table.size == 0 and table.ndim < 2:
        return np.zeros((0, 2), dtype=np.int64)
    if table.ndim != 2 or table.shape[1] < 2:
        raise ValueError(f"counts must be (pairs, categories) with two or more categories, got shape {table.shape}")
    whole = table.astype(np.int64)
    if (whole != table).any() or (whole < 0).any():
        raise ValueError("counts must be whole numbers, 0 or more")
    return whole


def _alpha(disagreement: FloatArray, totals: FloatArray) -> FloatArray:
    """Alpha from sums over pairs.

    Args:
        disagreement: (m,) sum over pairs of ordered pairs of unlike answers / (answers of the pair - 1).
        totals: (m, categories) answers of each category over pairs with two or more.

    Returns:
        (m,) nan where all answers are of one category.
    """
    n = totals.sum(axis=1)
    expected = n * n - (totals**2).sum(axis=1)  # ordered pairs of unlike answers, were answers drawn from one urn
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(expected > 0, 1 - (n - 1) * disagreement / expected, NAN)


def _disagreement(table: IntArray) -> FloatArray:
    """(pairs,) unlike ordered pairs of answers / (answers - 1), for pairs of two answers or more."""
    answers = table.sum(axis=1)
    return (answers**2 - (table**2).sum(axis=1)) / (answers - 1)


def krippendorff_alpha(counts: npt.ArrayLike) -> float:
    """Krippendorff's alpha for nominal data with missing answers (Krippendorff, "Content Analysis", 2004, 11.3).

    Args:
        counts: (pairs, categories) answers; pairs of fewer than two answers drop out.

    Returns:
        At most 1; nan where nothing can be said.
    """
    table = count_table(counts)
    table = table[table.sum(axis=1) >= 2]
    if not len(table):
        return NAN
    return float(_alpha(_disagreement(table).sum(keepdims=True), table.sum(axis=0, keepdims=True).astype(float))[0])


def gwet_ac1(counts: npt.ArrayLike) -> float:
    """Gwet's AC1 with missing answers (Gwet, Br. J. Math. Stat. Psychol. 61, 2008); stays meaningful where Yes is rare.

    Args:
        counts: (pairs, categories) answers; every category that can be answered has a column.

    Returns:
        At most 1; nan where no pair has two answers.
    """
    table = count_table(counts)
    answers = table.sum(axis=1)
    table, answers = table[answers > 0], answers[answers > 0]
    several = answers >= 2
    if not several.any():
        return NAN
    alike = (table[several] * (table[several] - 1)).sum(axis=1) / (answers[several] * (answers[several] - 1))
    shares = (table / answers[:, None]).mean(axis=0)
    chance = float((shares * (1 - shares)).sum() / (table.shape[1] - 1))
    return (float(alike.mean()) - chance) / (1 - chance)


def agreement(counts: npt.ArrayLike, resamples: int = 1000, seed: int = 0) -> Agreement:
    """Alpha with its interval, and AC1.

    Resampling pairs is drawing how often each *distinct* row of counts appears, so the cost does not grow with the study.

    Args:
        counts: (pairs, categories).
        resamples: of the cluster bootstrap over pairs; the interval is nan below 20.
        seed: of numpy's PCG64; the order of pairs does not matter.
    """
    table = count_table(counts)
    table = table[np.lexsort(table.T)]  # sums of floats depend on the order
    usable = table[table.sum(axis=1) >= 2]
    alpha, low, high = krippendorff_alpha(table), NAN, NAN
    if len(usable) and not math.isnan(alpha) and resamples >= FEWEST_RESAMPLES:
        rows, often = np.unique(usable, axis=0, return_counts=True)
        generator = np.random.default_rng(seed)
        drawn = generator.multinomial(len(usable), often / len(usable), size=resamples).astype(
            float
        )  # (resamples, rows)
        values = _alpha(drawn @ _disagreement(rows), drawn @ rows)
        values = values[~np.isnan(values)]
        if values.size >= FEWEST_RESAMPLES and 2 * values.size >= resamples:
            low, high = (float(value) for value in np.quantile(values, (0.025, 0.975)))
    return Agreement(alpha, low, high, gwet_ac1(table), len(usable), int(usable.sum()))


def split_half(yes: npt.ArrayLike, no: npt.ArrayLike, halvings: int = 200, seed: int = 0) -> float:
    """Reliability of the labels: SRCC of two random halves of the answers, stepped up to all of them (`semfid.stats.ceiling`).

    `semfid ablate` reports the same figure for the exported table. Its square root bounds the SRCC with the truth.

    Args:
        yes, no: (pairs,) whole numbers; pairs with fewer than two answers drop out.
        halvings: at least 1; fewer are drawn where pairs x halvings would pass 500,000.
        seed: of numpy's PCG64; the order of pairs does not matter.

    Returns:
        At most 1; nan where fewer than two pairs are left, or halves are constant in more than half of the halvings.
    """
    table = count_table(np.stack([np.asarray(yes), np.asarray(no)], axis=1))
    table = table[table.sum(axis=1) >= 2]
    if len(table) < 2:
        return NAN
    votes = table.sum(axis=1)
    order = np.lexsort((table[:, 0], votes))  # the order of pairs must not change the draws
    rounds = max(1, min(halvings, max(10, MOST_DRAWS // len(table))))
    return split_half_srcc(table[order, 0], votes[order], rounds, np.random.default_rng(seed))


def interval(right: float, seen: float) -> tuple[float, float]:
    """Wilson's 95 % interval of one rate, such as a person's share of traps answered right; (0, 1) where none were seen."""
    low, high = rate_interval(right, seen)
    return float(low), float(high)


def beta_mean(yes: npt.ArrayLike, votes: npt.ArrayLike) -> FloatArray:
    """Mean of the posterior of rates under Jeffreys' prior Beta(1/2, 1/2): (yes + 0.5) / (votes + 1); 0.5 without votes."""
    return np.asarray((np.asarray(yes, dtype=float) + 0.5) / (np.asarray(votes, dtype=float) + 1))


def entropy(yes: npt.ArrayLike, votes: npt.ArrayLike) -> FloatArray:
    """Shannon entropy of rates in bits: 0 where all agree, 1 where half say yes; nan without votes."""
    k, n = np.asarray(yes, dtype=float), np.asarray(votes, dtype=float)
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = k / n
    return np.asarray((special.entr(rate) + special.entr(1 - rate)) / math.log(2))


def median(values: Sequence[float]) -> float | None:
    """Median; None of nothing."""
    return float(np.median(values)) if len(values) else None
