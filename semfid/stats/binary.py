"""How well predictions tell two kinds of pairs apart: ROC AUC and average precision, of labels that are 0 or 1.

Both are of the ranking alone, with ties as scikit-learn counts them. They stand beside SRCC, whose best value over two label
values is below 1: see `best_srcc`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from semfid.stats.arrays import FloatArray, finite_pair, is_constant

BINARY = ("auc", "average_precision")


def is_binary(labels: FloatArray) -> bool:
    """Whether labels are 0 and 1, and both occur."""
    return bool(np.isin(labels, (0.0, 1.0)).all()) and not is_constant(labels)


def roc_auc(x: npt.ArrayLike, y: npt.ArrayLike) -> float:
    """Probability that a pair of label 1 is predicted above one of label 0, ties counted half (Hanley and McNeil 1982).

    Args:
        x: (n,) predictions, finite.
        y: (n,) labels.

    Returns:
        0 .. 1; nan where labels are not binary or predictions constant.

    Raises:
        ValueError: NaN or infinity, wrong dimensions, different lengths.
    """
    return _single("auc", x, y)


def average_precision(x: npt.ArrayLike, y: npt.ArrayLike) -> float:
    """Mean over pairs of label 1 of the share of label 1 among all predicted at least as high.

    Args, Returns, Raises: as `roc_auc`.
    """
    return _single("average_precision", x, y)


def _single(metric: str, x: npt.ArrayLike, y: npt.ArrayLike) -> float:
    a, b = finite_pair(x, y)
    if not is_binary(b) or is_constant(a):
        return np.nan  # the one object, so that equal metrics compare as equal
    return float(WeightedBinary(a, b)(np.ones((1, a.size)))[metric][0])


def best_srcc(labels: FloatArray) -> float:
    """SRCC of predictions that are all different and rank every 1 above every 0."""
    n, ones = labels.size, float(labels.sum())
    return float(np.sqrt(3 * ones * (n - ones) / (n**2 - 1)))


class WeightedBinary:
    """Both metrics under many weightings of the rows.

    Args:
        x: (n,) predictions.
        y: (n,) labels, 0 or 1.
    """

    def __init__(self, x: FloatArray, y: FloatArray) -> None:
        self._order = np.argsort(x, kind="stable")
        self._one = y[self._order] == 1
        ordered = x[self._order]
        self._starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])  # of runs of equal predictions

    def __call__(self, weights: FloatArray) -> dict[str, FloatArray]:
        """(B, n) weights of the rows to (B,) metrics; nan where one label, or all but one prediction, has no weight."""
        ordered = weights[:, self._order]
        ones = np.add.reduceat(np.where(self._one, ordered, 0.0), self._starts, axis=1)  # (B, runs), lowest first
        zeros = np.add.reduceat(np.where(self._one, 0.0, ordered), self._starts, axis=1)
        all_ones, all_zeros = ones.sum(axis=1), zeros.sum(axis=1)
        below = np.cumsum(zeros, axis=1) - zeros / 2
        found = np.cumsum(ones[:, ::-1], axis=1)[:, ::-1]  # of label 1, predicted at least as high
        seen = found + np.cumsum(zeros[:, ::-1], axis=1)[:, ::-1]
        usable = (all_ones > 0) & (all_zeros > 0) & (((ones + zeros) > 0).sum(axis=1) > 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            auc = (ones * below).sum(axis=1) / (all_ones * all_zeros)
            precision = (ones * np.where(seen > 0, found / seen, 0.0)).sum(axis=1) / all_ones
        return {"auc": np.where(usable, auc, np.nan), "average_precision": np.where(usable, precision, np.nan)}
