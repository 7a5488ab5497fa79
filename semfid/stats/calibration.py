"""Means of groups with intervals over sources, and the calibration curve that is made of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from semfid.stats.arrays import FloatArray, is_constant, text_vector, vector
from semfid.stats.bootstrap import interval
from semfid.stats.metrics import Names
from semfid.stats.resamples import Resamples

PAIRS_PER_BIN = 10


@dataclass(frozen=True)
class GroupMean:
    """Mean of one group of rows.

    Attributes:
        n: rows.
        mean: of the values.
        low: lower end of the percentile interval over sources; nan where fewer than half of the resamples hold the group.
        high: upper end of it.
    """

    n: int
    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class CalibrationBin:
    """Pairs of similar prediction.

    Attributes:
        predicted: their mean prediction.
        label: their mean label, with its interval over sources.
    """

    predicted: float
    label: GroupMean


def group_means(values: npt.ArrayLike, group: Names, resamples: Resamples, level: float = 0.95) -> dict[str, GroupMean]:
    """Mean of each group, with a cluster bootstrap interval.

    Args:
        values: (n,) finite.
        group: (n,) str.
        resamples: drawn from the `source_id` of these rows, in this order.

    Raises:
        ValueError: lengths that differ, level outside (0, 1).
    """
    x, groups = vector("values", values), text_vector("group", group)
    if not x.size == groups.size == resamples.row_source.size:
        raise ValueError(
            f"values, group and resamples must have one length, got {x.size}, {groups.size} and {resamples.row_source.size}"
        )
    names, index = np.unique(groups, return_inverse=True)
    counts, sums = (_sums(column, index, names.size, resamples) for column in (np.ones_like(x), x))
    weights = resamples.multiplicity.astype(np.float64)  # (B, sources)
    with np.errstate(divide="ignore", invalid="ignore"):
        drawn = (weights @ sums) / (weights @ counts)  # (B, groups); nan where a resample lacks the group
    result = {}
    for place, name in enumerate(names):
        rows = index == place
        low, high = interval(drawn[:, place], level)
        result[str(name)] = GroupMean(int(rows.sum()), float(x[rows].mean()), low, high)
    return result


def _sums(values: FloatArray, index: npt.NDArray[np.intp], groups: int, resamples: Resamples) -> FloatArray:
    """(sources, groups)."""
    flat = resamples.row_source * groups + index
    return np.asarray(
        np.bincount(flat, weights=values, minlength=resamples.sources.size * groups), dtype=np.float64
    ).reshape(-1, groups)


def calibration_curve(
    difference: npt.ArrayLike, predicted: npt.ArrayLike, resamples: Resamples, bins: int = 10, level: float = 0.95
) -> list[CalibrationBin]:
    """Mean label against mean prediction, in bins of about equal numbers of pairs.

    Equal predictions share a bin. The bins stay where they are in all resamples.

    Args:
        difference: (n,) labels.
        predicted: (n,) predictions.
        resamples: drawn from the `source_id` of these rows, in this order.
        bins: at most; fewer where a bin would have under ten pairs.

    Returns:
        bins by rising prediction; one where predictions are constant.

    Raises:
        ValueError: lengths that differ, bins < 1, level outside (0, 1).
    """
    y, x = vector("difference", difference), vector("predicted", predicted)
    if y.size != x.size or bins < 1:
        raise ValueError(f"need labels and predictions of one length and bins >= 1, got {y.size}, {x.size} and {bins}")
    bins = max(1, min(bins, x.size // PAIRS_PER_BIN))
    if is_constant(x):
        bins = 1
    edges = np.unique(np.quantile(x, np.arange(1, bins) / bins))
    place = np.searchsorted(edges, x, side="right")
    labels = group_means(y, np.array([f"{number:03d}" for number in place]), resamples, level)
    return [CalibrationBin(float(x[place == int(name)].mean()), label) for name, label in labels.items()]
