"""Votes as whole numbers, checked once for every file that reads them, and the interval of a single label."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import special  # type: ignore[import-untyped, unused-ignore]

from semfid.errors import UserError
from semfid.stats.arrays import FloatArray, IntArray, vector


def checked_votes(yes_votes: npt.ArrayLike, votes: npt.ArrayLike) -> tuple[IntArray, IntArray]:
    """Votes as int64.

    Raises:
        ValueError: wrong dimensions, different lengths.
        UserError: not whole, negative, or more yes than votes; names the row.
    """
    yes, total = vector("yes_votes", yes_votes), vector("votes", votes)
    if yes.size != total.size:
        raise ValueError(f"yes_votes and votes must have one length, got {yes.size} and {total.size}")
    for name, values in (("yes_votes", yes), ("votes", total)):
        bad = ~np.isfinite(values) | (values < 0) | (values != np.floor(values))
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise UserError(f"{name} of row {row} is {values[row]:g}; give a whole number of answers, 0 or more")
    if (yes > total).any():
        row = int(np.flatnonzero(yes > total)[0])
        raise UserError(f"row {row} has {yes[row]:g} yes_votes of {total[row]:g} votes; yes_votes cannot exceed votes")
    return yes.astype(np.int64), total.astype(np.int64)


def wilson(yes_votes: npt.ArrayLike, votes: npt.ArrayLike, level: float = 0.95) -> tuple[FloatArray, FloatArray]:
    """Wilson's score interval of each pair's rate (Wilson, JASA 22, 1927).

    Args:
        yes_votes: (n,) whole numbers; a pair without votes gets [0, 1].
        votes: like `yes_votes`.
        level: coverage, between 0 and 1.

    Returns:
        (low, high), each (n,) within [0, 1].

    Raises:
        ValueError: level outside (0, 1), wrong dimensions, different lengths.
        UserError: votes that cannot be, see `checked_votes`.
    """
    return rate_interval(*checked_votes(yes_votes, votes), level)


def rate_interval(yes: npt.ArrayLike, votes: npt.ArrayLike, level: float = 0.95) -> tuple[FloatArray, FloatArray]:
    """`wilson` of rates whose `yes` may be a half, where an "unsure" counts as half a yes.

    Args:
        yes, votes: of one shape; no votes give [0, 1].

    Returns:
        (low, high) of that shape, within [0, 1].

    Raises:
        ValueError: level outside (0, 1), or `yes` outside [0, votes].
    """
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
    k, total = np.asarray(yes, dtype=np.float64), np.asarray(votes, dtype=np.float64)
    if ((k < 0) | (k > total)).any():
        raise ValueError("yes must be between 0 and votes")
    z2 = float(special.ndtri(0.5 + level / 2)) ** 2
    n = np.maximum(total, 1)
    rate = k / n
    middle = (rate + z2 / (2 * n)) / (1 + z2 / n)
    half = np.sqrt(z2) * np.sqrt(rate * (1 - rate) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    low = np.where(k == 0, 0.0, np.clip(middle - half, 0.0, 1.0))
    high = np.where(k == total, 1.0, np.clip(middle + half, 0.0, 1.0))
    return low, high
