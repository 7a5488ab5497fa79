"""Cluster bootstrap of every metric: what the metrics would be had other sources been drawn."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from semfid.stats.arrays import BoolArray, FloatArray, is_constant, vector
from semfid.stats.binary import WeightedBinary, is_binary
from semfid.stats.logistic import fit_logistic
from semfid.stats.resamples import Resamples
from semfid.stats.weighted_kendall import WeightedKendall
from semfid.stats.weighted_spearman import Index, WeightedSpearman

BLOCK_VALUES = 1 << 17  # rows x resamples handled at once: 1 MiB of float64 per temporary
MOST_THREADS = 4
FEWEST_VALUES = 20  # an interval of fewer resamples is not worth printing
ROUNDING = 1e-13  # a variance below this share of the second moment is rounding


def interval(values: npt.ArrayLike, level: float = 0.95) -> tuple[float, float]:
    """Percentile interval of bootstrap samples (Efron & Tibshirani, "An Introduction to the Bootstrap", chapter 13).

    Args:
        values: (n_resamples,); nan marks a degenerate resample (constant predictions or labels) and is left out.
        level: coverage, between 0 and 1.

    Returns:
        (low, high); (nan, nan) where fewer than 20 resamples, or fewer than half of them, are left.

    Raises:
        ValueError: level outside (0, 1), or values not 1-D.
    """
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
    samples = vector("values", values)
    usable = samples[~np.isnan(samples)]
    if usable.size < FEWEST_VALUES or 2 * usable.size < samples.size:
        return float("nan"), float("nan")
    low, high = np.quantile(usable, (0.5 - level / 2, 0.5 + level / 2))
    return float(low), float(high)


class _Moments:
    """Mean errors and linear correlations from sums per source: no pass over the rows in any resample."""

    def __init__(self, x: FloatArray, y: FloatArray, row_source: Index) -> None:
        mapping = fit_logistic(x, y)
        self._unrelated = mapping.form == "constant" and not is_constant(x) and not is_constant(y)
        self._raw = self._sums(x, y, row_source)
        self._mapped = self._sums(mapping(x), y, row_source)

    @staticmethod
    def _sums(x: FloatArray, y: FloatArray, row_source: Index) -> FloatArray:
        """(n_sources, 8): count, x, y, xx, yy, xy (x and y centred and scaled), squared error, absolute error."""
        a, b = x - x.mean(), y - y.mean()
        a, b = a / (np.abs(a).max() or 1.0), b / (np.abs(b).max() or 1.0)
        columns = (np.ones_like(a), a, b, a * a, b * b, a * b, (x - y) ** 2, np.abs(x - y))
        return np.stack([np.bincount(row_source, weights=column) for column in columns], axis=1)

    @staticmethod
    def _plcc(sums: FloatArray, constant: BoolArray) -> FloatArray:
        n, a, b, aa, bb, ab = sums[:, :6].T
        a_power, b_power = aa - a * a / n, bb - b * b / n
        usable = ~constant & (a_power > ROUNDING * aa) & (b_power > ROUNDING * bb)
        with np.errstate(divide="ignore", invalid="ignore"):
            r = np.clip((ab - a * b / n) / np.sqrt(a_power * b_power), -1.0, 1.0)
        return np.asarray(np.where(usable, r, np.nan))

    def __call__(self, weights: FloatArray, constant: BoolArray) -> dict[str, FloatArray]:
        """(B, n_sources) weights and (B,) whether a resample is constant -> metric name to (B,)."""
        raw, mapped = weights @ self._raw, weights @ self._mapped
        mse = raw[:, 6] / raw[:, 0]
        unrelated = np.where(constant, np.nan, 0.0)
        return {
            "plcc": self._plcc(raw, constant),
            "plcc_logistic": unrelated if self._unrelated else self._plcc(mapped, constant),
            "mse": mse,
            "mae": raw[:, 7] / raw[:, 0],
            "rmse": np.sqrt(mse),
            "rmse_logistic": np.sqrt(mapped[:, 6] / mapped[:, 0]),
        }


def bootstrap_metrics(
    difference: npt.ArrayLike,
    predicted: npt.ArrayLike,
    resamples: Resamples,
    *,
    krcc: bool = True,
    threads: int | None = None,
) -> dict[str, FloatArray]:
    """Every metric in every resample of the sources.

    A source drawn m times gives its rows m times; ties are exactly those of the rows repeated. The logistic is fitted
    once to all rows and held fixed, so the spread of `plcc_logistic` and `rmse_logistic` is that of the metric, not of
    the fit. Neither the order of rows nor the number of threads changes a result.

    Args:
        difference: (n_rows,) labels, finite.
        predicted: (n_rows,) predictions, finite.
        resamples: drawn from the `source_id` of these very rows, in this order.
        krcc: False leaves KRCC out (the slowest metric).
        threads: default: as many as cores, 4 at most.

    Returns:
        srcc, krcc, plcc, plcc_logistic, mse, mae, rmse, rmse_logistic and, of labels that are 0 or 1, auc and
        average_precision to (n_resamples,); correlations are nan in a
        resample with constant predictions or labels; plcc and plcc_logistic also where values lie so close together
        (3e-7 of their distance from the overall mean) that a correlation would be one of rounding errors.

    Raises:
        ValueError: lengths that differ from each other or from the rows of `resamples`; NaN or infinity.
    """
    y, x = vector("difference", difference), vector("predicted", predicted)
    if not y.size == x.size == resamples.row_source.size:
        raise ValueError(
            f"difference, predicted and resamples must have one length,"
            f" got {y.size}, {x.size} and {resamples.row_source.size}"
        )
    if not (np.isfinite(y).all() and np.isfinite(x).all()):
        raise ValueError("difference and predicted must be finite; `score_metrics` names the pairs that are not")
    order = np.lexsort((x, y, resamples.row_source))
    y, x, row_source = y[order], x[order], resamples.row_source[order]
    spearman, moments = WeightedSpearman(x, y, row_source), _Moments(x, y, row_source)
    kendall = WeightedKendall(x, y, row_source) if krcc else None
    binary = WeightedBinary(x, y) if is_binary(y) else None

    def block(first: int) -> dict[str, FloatArray]:
        weights = resamples.multiplicity[first : first + size].astype(np.float64)
        result = {"srcc": spearman(weights)}
        if kendall is not None:
            result["krcc"] = kendall(weights)
        result.update(moments(weights, np.isnan(result["srcc"])))
        if binary is not None:
            result.update(binary(weights[:, row_source]))
        return result

    size = max(1, BLOCK_VALUES // y.size)
    workers = threads or min(MOST_THREADS, os.cpu_count() or 1)
    with ThreadPoolExecutor(max_workers=workers) as pool:
        blocks = list(pool.map(block, range(0, resamples.n, size)))
    return {name: np.concatenate([part[name] for part in blocks]) for name in blocks[0]}
