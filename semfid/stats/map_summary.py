"""Metrics of maps averaged over images and seeds, with their cluster bootstrap."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from semfid.stats.arrays import FloatArray
from semfid.stats.resamples import Resamples

MAP_METRICS = ("average_precision", "iou", "hit", "srcc", "mse")


@dataclass(frozen=True)
class MapSummary:
    """Mean of each metric over the images where it exists, then over seeds. The dicts have the keys given.

    Attributes:
        n: images where the metric exists, in every seed.
        mean: nan where it exists in none.
        seed_std: standard deviation over seeds (ddof=1); nan for one seed.
        samples: (n_resamples,) the mean in each resample of the sources, for `significance.compare`; nan in a resample without
            an image where the metric exists.
    """

    n: dict[str, int]
    mean: dict[str, float]
    seed_std: dict[str, float]
    samples: dict[str, FloatArray]


def summarise_maps(values: Mapping[str, npt.ArrayLike], resamples: Resamples) -> MapSummary:
    """Average metrics per image.

    Args:
        values: name of the metric to (S, n), one row per seed, nan where the metric does not exist.
        resamples: drawn from the `source_id` of these n images, shared with the variants to be compared with.

    Raises:
        ValueError: values that are not (S, n).
    """
    summary = MapSummary({}, {}, {}, {})
    for name, given in values.items():
        array = np.asarray(given, dtype=np.float64)
        if array.ndim != 2 or array.shape[0] == 0 or array.shape[1] != resamples.row_source.size:
            raise ValueError(f"{name} must be (seeds, {resamples.row_source.size}), got {array.shape}")
        exists = ~np.isnan(array)
        seeds = np.array([_mean(row[there]) for row, there in zip(array, exists, strict=True)])
        summary.n[name] = int(exists.all(axis=0).sum())
        summary.mean[name] = float(seeds.mean())
        summary.seed_std[name] = float(seeds.std(ddof=1)) if len(seeds) > 1 else float("nan")
        drawn = [_resampled(row, there, resamples) for row, there in zip(array, exists, strict=True)]
        summary.samples[name] = np.mean(drawn, axis=0)  # the nan of one seed is meant to spread
    return summary


def _mean(values: FloatArray) -> float:
    return float(values.mean()) if values.size else float("nan")


def _resampled(values: FloatArray, exists: npt.NDArray[np.bool_], resamples: Resamples) -> FloatArray:
    """Mean over the images that exist, in each resample, (n_resamples,): from sums per source."""
    count = len(resamples.sources)
    sums = np.bincount(resamples.row_source, weights=np.where(exists, values, 0.0), minlength=count)
    numbers = np.bincount(resamples.row_source, weights=exists, minlength=count)
    weights = resamples.multiplicity.astype(np.float64)  # (n_resamples, n_sources)
    total = weights @ numbers
    return np.divide(weights @ sums, total, out=np.full(resamples.n, np.nan), where=total > 0)
