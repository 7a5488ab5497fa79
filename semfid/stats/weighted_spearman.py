"""Spearman's correlation of many resamples without sorting in any of them.

A resample gives every row a weight: how often it was drawn. The rows are sorted once. In a resample, a group of tied
values with total weight W behind a cumulative weight C has the midrank C + (W + 1) / 2 of the rows repeated, so ranks
come from a cumulative sum. All sums are of integers in float64, hence exact while (rows drawn)^3 < 2^53 (200,000 rows)
and good to rounding beyond.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from semfid.stats.arrays import FloatArray

Index = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Ranking:
    """Rows sorted by one value: the source of each sorted row, where each tie group starts, whether there are ties."""

    order: Index
    source: Index
    starts: Index
    group: Index  # of each row, in the order given
    tied: bool

    @classmethod
    def of(cls, values: FloatArray, row_source: Index) -> Ranking:
        order = np.argsort(values, kind="stable")
        ordered = values[order]
        new = np.concatenate(([True], ordered[1:] != ordered[:-1]))
        group = np.empty(values.size, dtype=np.intp)
        group[order] = np.cumsum(new) - 1
        starts = np.flatnonzero(new)
        return cls(order, row_source[order], starts, group, starts.size < values.size)

    def group_weights(self, weights: FloatArray) -> FloatArray:
        """(B, n_sources) weights -> (B, n_groups)."""
        rows = np.take(weights, self.source, axis=1)
        return np.add.reduceat(rows, self.starts, axis=1) if self.tied else rows


def centred_midranks(group_weights: FloatArray) -> FloatArray:
    """(B, groups) weights -> twice the midrank of each group minus twice the mean rank, exact integers."""
    cumulative = np.cumsum(group_weights, axis=1)
    total = cumulative[:, -1:].copy()
    cumulative *= 2
    cumulative -= group_weights
    cumulative -= total
    return cumulative


class WeightedSpearman:
    """SRCC of two fixed vectors under any weights of their sources.

    Args:
        x: (n,) finite.
        y: like `x`.
        row_source: (n,) index of the source of each row.
    """

    def __init__(self, x: FloatArray, y: FloatArray, row_source: Index) -> None:
        self._x = Ranking.of(x, row_source)
        self._y = Ranking.of(y, row_source)
        self._y_group_by_x = self._y.group[self._x.order]
        self._x_group_by_x = self._x.group[self._x.order]

    def __call__(self, weights: FloatArray) -> FloatArray:
        """SRCC of each resample.

        Args:
            weights: (B, n_sources) whole numbers >= 0.

        Returns:
            (B,), nan where a resample is constant in x or y.
        """
        x_weights = self._x.group_weights(weights)
        y_weights = self._y.group_weights(weights)
        x_ranks, y_ranks = centred_midranks(x_weights), centred_midranks(y_weights)
        x_power = np.einsum("bg,bg,bg->b", x_weights, x_ranks, x_ranks)
        y_power = np.einsum("bg,bg,bg->b", y_weights, y_ranks, y_ranks)
        product = np.take(y_ranks, self._y_group_by_x, axis=1)
        if self._x.tied:
            product *= np.take(weights, self._x.source, axis=1)
            product *= np.take(x_ranks, self._x_group_by_x, axis=1)
            shared = product.sum(axis=1)
        else:
            x_ranks *= x_weights
            shared = np.einsum("bn,bn->b", product, x_ranks)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.where((x_power > 0) & (y_power > 0), shared / np.sqrt(x_power * y_power), np.nan))
