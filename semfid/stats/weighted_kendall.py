"""Kendall's tau-b of many resamples without sorting in any of them.

Knight's algorithm (JASA 61, 1966) counts discordant pairs as the exchanges of a merge sort. Which rows a merge
compares, and in which order, does not depend on the weights, so the merges are laid out once. A level of the sort
halves the values of y: for every row of the lower half, the weight of the rows of the upper half of its node that come
before it in x is a cumulative sum at a position known beforehand. The levels number log2 of the distinct values of y,
and tau-b is symmetric, so the vector with fewer distinct values plays y: votes out of 30 need 5 levels, not 17.

Copies of one row are tied with each other. All counts are whole numbers in float64, exact while (rows drawn)^2 < 2^53.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from semfid.stats.arrays import FloatArray, IntArray
from semfid.stats.weighted_spearman import Index


def dense_ranks(values: FloatArray) -> IntArray:
    """(n,) -> 0 .. distinct - 1, equal values alike."""
    return np.asarray(np.unique(values, return_inverse=True)[1], dtype=np.int64)


def group_source(groups: IntArray, row_source: Index) -> tuple[Index, Index]:
    """Sources of the rows sorted by group, and where each group starts."""
    order = np.argsort(groups, kind="stable")
    ordered = groups[order]
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    return row_source[order], starts


def group_weights(weights: FloatArray, source: Index, starts: Index) -> FloatArray:
    """(B, n_sources) weights -> (B, n_groups)."""
    rows = np.take(weights, source, axis=1)
    return np.add.reduceat(rows, starts, axis=1) if starts.size < source.size else rows


@dataclass(frozen=True)
class Level:
    """One level of merges.

    Attributes:
        lower: sources of the rows in the lower and the upper halves, sorted by (node, x).
        upper: like `lower`.
        before: for each lower row, how many upper rows come before it in (node, x), strictly smaller x in its own node.
    """

    lower: Index
    upper: Index
    before: Index

    @classmethod
    def of(cls, x: IntArray, y: IntArray, bit: int, row_source: Index) -> Level:
        is_upper = (y >> bit) & 1
        order = np.lexsort((is_upper, x, y >> (bit + 1)))  # in a tie of x the lower rows stand first: not discordant
        upper_here = is_upper[order].astype(bool)
        before = np.cumsum(upper_here)[~upper_here].astype(np.intp)
        return cls(row_source[order[~upper_here]], row_source[order[upper_here]], before)

    def discordant(self, weights: FloatArray) -> FloatArray:
        """(B,) sum over lower rows of weight times the weight of all upper rows before, other nodes included."""
        running = np.zeros((weights.shape[0], self.upper.size + 1))
        np.cumsum(np.take(weights, self.upper, axis=1), axis=1, out=running[:, 1:])
        ahead, own = np.take(running, self.before, axis=1), np.take(weights, self.lower, axis=1)
        return np.asarray(np.einsum("bn,bn->b", ahead, own))


class WeightedKendall:
    """Tau-b of two fixed vectors under any weights of their sources.

    Args:
        x: (n,) finite.
        y: like `x`.
        row_source: (n,) index of the source of each row.
    """

    def __init__(self, x: FloatArray, y: FloatArray, row_source: Index) -> None:
        a, b = dense_ranks(x), dense_ranks(y)
        if a.max() < b.max():
            a, b = b, a
        distinct = int(b.max()) + 1
        self._y_leaves = 1 << (distinct - 1).bit_length()
        self._levels = [Level.of(a, b, bit, row_source) for bit in range((distinct - 1).bit_length())]
        self._x = group_source(a, row_source)
        self._y = group_source(b, row_source)
        self._both = group_source(a * distinct + b, row_source)

    def __call__(self, weights: FloatArray) -> FloatArray:
        """Tau-b of each resample.

        Args:
            weights: (B, n_sources) whole numbers >= 0.

        Returns:
            (B,), nan where a resample is constant in x or y.
        """
        x_square, both_square = (self._square(group_weights(weights, *groups)) for groups in (self._x, self._both))
        y_weights = group_weights(weights, *self._y)
        y_square = self._square(y_weights)
        total = y_weights.sum(axis=1) ** 2
        comparable = total - x_square - y_square + both_square  # 2 x (concordant + discordant)
        score = comparable - 4 * self._discordant(weights, y_weights)
        power = (total - x_square) * (total - y_square)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.where(power > 0, score / np.sqrt(power), np.nan))

    def _discordant(self, weights: FloatArray, y_weights: FloatArray) -> FloatArray:
        """(B,) weight of discordant pairs, each counted once."""
        leaves = np.zeros((weights.shape[0], self._y_leaves))
        leaves[:, : y_weights.shape[1]] = y_weights
        count = np.zeros(weights.shape[0])
        for level in self._levels:  # from the lowest bit up
            lower, upper = leaves[:, 0::2], leaves[:, 1::2]
            other_nodes = np.cumsum(upper, axis=1) - upper
            count += level.discordant(weights) - np.einsum("bn,bn->b", lower, other_nodes)
            leaves = lower + upper
        return count

    @staticmethod
    def _square(weights: FloatArray) -> FloatArray:
        return np.asarray(np.einsum("bg,bg->b", weights, weights))
