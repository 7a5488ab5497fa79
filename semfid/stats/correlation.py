"""The three correlations, in float64, with their sign.

Ranks are scipy's float64 midranks: tie groups of any size are exact. (torchmetrics adds up tied ranks in int32 and is
wrong from 65,536 ties on.) A constant input gives nan, never 0: the caller reports it as "constant".
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy import stats  # type: ignore[import-untyped, unused-ignore]

from semfid.stats.arrays import FloatArray, finite_pair, is_constant


def _pearson(x: FloatArray, y: FloatArray) -> float:
    """Pearson's r of two vectors that are not constant."""

    def unit(values: FloatArray) -> FloatArray:
        centred = values - values.mean()
        centred /= np.abs(centred).max()  # no overflow or underflow of the squares
        return np.asarray(centred / np.linalg.norm(centred), dtype=np.float64)

    return float(np.clip(unit(x) @ unit(y), -1.0, 1.0))


def _unless_constant(x: npt.ArrayLike, y: npt.ArrayLike, correlate: Callable[[FloatArray, FloatArray], float]) -> float:
    a, b = finite_pair(x, y)
    return float("nan") if is_constant(a) or is_constant(b) else correlate(a, b)


def srcc(x: npt.ArrayLike, y: npt.ArrayLike) -> float:
    """Spearman's rank correlation: Pearson's r of midranks (Spearman 1904).

    Args:
        x: (n,) finite.
        y: like `x`.

    Returns:
        -1 .. 1, or nan where x or y is constant or n < 2.

    Raises:
        ValueError: NaN or infinity, wrong dimensions, different lengths.
    """
    return _unless_constant(x, y, lambda a, b: _pearson(stats.rankdata(a), stats.rankdata(b)))


def krcc(x: npt.ArrayLike, y: npt.ArrayLike) -> float:
    """Kendall's tau-b (Kendall 1945), which corrects for ties in x and in y.

    Arguments, result and errors are as of `srcc`.
    """
    return _unless_constant(x, y, lambda a, b: float(stats.kendalltau(a, b).statistic))


def plcc(x: npt.ArrayLike, y: npt.ArrayLike) -> float:
    """Pearson's linear correlation of the values as they are, no mapping.

    Arguments, result and errors are as of `srcc`.
    """
    return _unless_constant(x, y, _pearson)
