"""Figures of binary labels."""

from __future__ import annotations

import numpy.typing as npt
from scipy.stats import rankdata

from evaluation.arrays import finite_pair


def roc_auc(predicted: npt.ArrayLike, label: npt.ArrayLike) -> float:
    """Area under the ROC curve: how often a pair with label 1 is predicted above one with label 0, ties counted half.

    Args:
        predicted: (N,) finite values.
        label: (N,) 0 or 1.

    Returns:
        in [0, 1]; nan where only one label occurs.

    Raises:
        ValueError: values that are not finite, shapes that differ, another label than 0 and 1.
    """
    scores, labels = finite_pair(predicted, label)
    positive = labels == 1
    if not ((labels == 0) | positive).all():
        raise ValueError("roc_auc takes labels of 0 and 1")
    ones, zeros = int(positive.sum()), int((~positive).sum())
    if not ones or not zeros:
        return float("nan")
    ranks = rankdata(scores)
    return float((ranks[positive].sum() - ones * (ones + 1) / 2) / (ones * zeros))
