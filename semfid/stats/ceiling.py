"""The noise ceiling: how well a perfect metric could score against labels made of a few votes.

Two estimates that share no assumption:

- parametric: yes votes are binomial around a true rate, true rates are Beta(a, b). a and b are fitted by maximum
  likelihood (beta-binomial; Griffiths, Biometrics 29, 1973), true rates are drawn from each pair's posterior
  Beta(a + yes, b + no), and the drawn truth is scored against the observed rates. Holds if raters are exchangeable.
- split halves: each pair's votes are split at random into two halves without replacement; the SRCC of the halves,
  stepped up to the full number of votes (Spearman 1910, Brown 1910), is the reliability of the labels, and its square
  root is the correlation with the truth. For rank correlations the step-up is an approximation.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
from scipy import optimize, special, stats  # type: ignore[import-untyped, unused-ignore]

from semfid.stats.arrays import FloatArray, IntArray, is_constant
from semfid.stats.bootstrap import interval
from semfid.stats.correlation import plcc, srcc
from semfid.stats.votes import checked_votes

PRIOR_BOUNDS = (float(np.log(1e-2)), float(np.log(1e4)))  # of log a and log b


@dataclass(frozen=True)
class Ceiling:
    """What a perfect metric would reach on these labels.

    Attributes:
        srcc: parametric ceiling, mean over simulations; nan where the observed rates are constant, or where no pair
            has two votes (single votes say nothing about the spread of true rates).
        srcc_interval: 95 % of the simulations.
        mse_floor: mean squared distance of true and observed rates; nan where no pair has two votes. Where all votes
            of all pairs agree it is close to 0, which is the fitted prior's optimism.
        split_half_srcc: reliability by split halves, stepped up by Spearman-Brown; pairs with two votes or more.
        split_half_ceiling: its square root, to be read beside `srcc`; nan where the reliability is negative.
        votes_median: over the pairs counted in n.
        n: pairs with at least one vote.
        dropped: pairs without votes, left out.
        prior: (a, b) of the fitted Beta distribution of true rates; nan where no pair has two votes.
    """

    srcc: float
    srcc_interval: tuple[float, float]
    mse_floor: float
    split_half_srcc: float
    split_half_ceiling: float
    votes_median: float
    n: int
    dropped: int
    prior: tuple[float, float]

    def as_dict(self) -> dict[str, int | float | tuple[float, float]]:
        """Field name to value, in the order of the fields."""
        return asdict(self)


def fit_beta_binomial(yes: IntArray, votes: IntArray) -> tuple[float, float]:
    """Maximum-likelihood (a, b) of the Beta distribution of true rates, each within 0.01 .. 10,000.

    Args:
        yes: (n,) yes votes; at least one pair has two votes or more.
        votes: (n,) all votes.
    """
    rows, counts = np.unique(np.stack([yes, votes - yes], axis=1), axis=0, return_counts=True)

    def loss(logs: FloatArray) -> float:
        a, b = np.exp(logs)
        return -float(counts @ (special.betaln(a + rows[:, 0], b + rows[:, 1]) - special.betaln(a, b))) / yes.size

    mean = float(np.clip(yes.sum() / votes.sum(), 0.01, 0.99))
    fits = [
        optimize.minimize(
            loss, np.log([mean * total, (1 - mean) * total]).clip(*PRIOR_BOUNDS), bounds=[PRIOR_BOUNDS] * 2
        )
        for total in (1.0, 10.0, 200.0)
    ]
    a, b = np.exp(min(fits, key=lambda fit: float(fit.fun)).x)
    return float(a), float(b)


def _mean(correlations: FloatArray) -> float:
    """Mean of the simulations that are not degenerate (nan); nan where fewer than half are left."""
    usable = correlations[~np.isnan(correlations)]
    return float(usable.mean()) if usable.size and 2 * usable.size >= correlations.size else float("nan")


def _parametric(
    yes: IntArray, votes: IntArray, prior: tuple[float, float], simulations: int, generator: np.random.Generator
) -> tuple[FloatArray, float]:
    """SRCC of drawn truth and observed rates in each simulation, and the mean squared distance over all of them."""
    observed = yes / votes
    ranks = stats.rankdata(observed)
    correlations, squares = np.full(simulations, np.nan), np.empty(simulations)
    for k in range(simulations):
        truth = generator.beta(prior[0] + yes, prior[1] + votes - yes)
        squares[k] = np.mean((truth - observed) ** 2)
        if not is_constant(observed):
            correlations[k] = plcc(stats.rankdata(truth), ranks)
    return correlations, float(squares.mean())


def split_half_srcc(yes: IntArray, votes: IntArray, simulations: int, generator: np.random.Generator) -> float:
    """Mean SRCC of random halves, stepped up to all votes; nan where halves are constant in most simulations.

    Args:
        yes, votes: (n,) with two votes or more each.
    """
    half = votes // 2
    correlations = np.empty(simulations)
    for k in range(simulations):
        first = generator.hypergeometric(yes, votes - yes, half)
        correlations[k] = srcc(first / half, (yes - first) / (votes - half))
    mean = _mean(correlations)
    return 2 * mean / (1 + mean) if mean > -1 else float("nan")


def noise_ceiling(yes_votes: npt.ArrayLike, votes: npt.ArrayLike, simulations: int = 200, seed: int = 0) -> Ceiling:
    """The ceiling of a set of labels from its votes.

    Args:
        yes_votes: (n,) whole numbers.
        votes: (n,) whole numbers; pairs without votes are dropped and counted.
        simulations: at least 1, of each of the two estimates; `srcc_interval` is nan below 20.
        seed: of numpy's PCG64.

    Raises:
        ValueError: wrong dimensions, different lengths, simulations < 1.
        UserError: votes that cannot be, see `checked_votes`.
    """
    if simulations < 1:
        raise ValueError(f"simulations must be at least 1, got {simulations}")
    yes, total = checked_votes(yes_votes, votes)
    voted = total > 0
    yes, total = yes[voted], total[voted]
    order = np.lexsort((yes, total))  # the order of pairs must not change the draws
    yes, total = yes[order], total[order]
    nan = float("nan")
    correlations, mse_floor, reliability, prior = np.full(simulations, nan), nan, nan, (nan, nan)
    repeated = total >= 2
    if repeated.any():
        generator = np.random.default_rng(seed)
        prior = fit_beta_binomial(yes, total)
        correlations, mse_floor = _parametric(yes, total, prior, simulations, generator)
        reliability = split_half_srcc(yes[repeated], total[repeated], simulations, generator)
    return Ceiling(
        srcc=_mean(correlations),
        srcc_interval=interval(correlations),
        mse_floor=mse_floor,
        split_half_srcc=reliability,
        split_half_ceiling=reliability**0.5 if reliability >= 0 else nan,
        votes_median=float(np.median(total)) if total.size else nan,
        n=int(total.size),
        dropped=int(voted.size - total.size),
        prior=prior,
    )
