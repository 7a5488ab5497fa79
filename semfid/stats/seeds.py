"""One variant trained with several seeds, its rows pooled out of fold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from semfid.stats.arrays import FloatArray, text_vector, vector
from semfid.stats.binary import BINARY
from semfid.stats.bootstrap import bootstrap_metrics, interval
from semfid.stats.correlation import srcc
from semfid.stats.metrics import Names, ScoreMetrics, check_rows, metrics_of_rows
from semfid.stats.resamples import Resamples

Folds: TypeAlias = npt.NDArray[np.int64] | npt.NDArray[np.str_] | npt.NDArray[np.object_]

SUMMARISED = ("srcc", "krcc", "plcc", "plcc_logistic", "rmse", "rmse_logistic", "mse", "mae", *BINARY)


@dataclass(frozen=True)
class VariantSummary:
    """Metrics of a variant over its seeds. The dicts have the keys of `SUMMARISED`.

    Attributes:
        n, sources, seeds: pairs, distinct sources, seeds.
        mean: mean over seeds of the metric on all rows.
        seed_std: standard deviation over seeds (ddof=1); nan for one seed.
        interval: 95 % percentile interval over sources of that mean: in each resample the metric is averaged over
            seeds. It holds for these trained seeds; how much training varies is `seed_std`.
        samples: (n_resamples,) that mean in each resample, for `significance.compare`.
        per_seed: the metrics of each seed.
        constant: some seed predicts a constant (or the labels are constant); all correlations are nan then, here and
            in `samples`: a mean over the seeds that happened to train would flatter the variant.
    """

    n: int
    sources: int
    seeds: int
    mean: dict[str, float]
    seed_std: dict[str, float]
    interval: dict[str, tuple[float, float]]
    samples: dict[str, FloatArray]
    per_seed: tuple[ScoreMetrics, ...]
    constant: bool


def summarise(
    difference: npt.ArrayLike,
    predictions: npt.ArrayLike,
    source_id: Names,
    pair_id: Names,
    resamples: Resamples,
    *,
    krcc: bool = True,
) -> VariantSummary:
    """Average a variant over its seeds, with intervals over sources.

    Args:
        difference: (n,) labels.
        predictions: (S, n), one row per seed, in the order of `difference`; out of fold where there are folds.
        source_id: (n,) str.
        pair_id: like `source_id`.
        resamples: drawn from this `source_id`, shared with the variants to be compared with.
        krcc: False leaves the samples and the interval of KRCC nan and saves most of the time.

    Raises:
        ValueError: shapes that do not fit; `resamples` of other rows.
        UserError: as `score_metrics`.
    """
    y, runs = vector("difference", difference), np.asarray(predictions, dtype=np.float64)
    if runs.ndim != 2 or runs.shape[0] == 0 or runs.shape[1] != y.size:
        raise ValueError(f"predictions must be (seeds, {y.size}) with at least one seed, got {runs.shape}")
    sources, pairs = text_vector("source_id", source_id), text_vector("pair_id", pair_id)
    for run in runs:
        check_rows(y, run, sources, pairs)
    if resamples.row_source.size != y.size or (resamples.sources[resamples.row_source] != sources).any():
        raise ValueError("resamples were drawn from other rows; draw them from this source_id, in this order")
    per_seed = tuple(metrics_of_rows(y, run, resamples.sources.size) for run in runs)
    drawn = [bootstrap_metrics(y, run, resamples, krcc=krcc) for run in runs]
    values = {name: np.array([float(metric.as_dict()[name]) for metric in per_seed]) for name in SUMMARISED}
    blank = np.full(resamples.n, np.nan)
    # plain means: the nan of one constant seed is meant to spread
    samples = {name: np.mean([one.get(name, blank) for one in drawn], axis=0) for name in SUMMARISED}
    return VariantSummary(
        n=int(y.size),
        sources=int(resamples.sources.size),
        seeds=len(runs),
        mean={name: float(value.mean()) for name, value in values.items()},
        seed_std={name: float(value.std(ddof=1)) if len(runs) > 1 else float("nan") for name, value in values.items()},
        interval={name: interval(sample) for name, sample in samples.items()},
        samples=samples,
        per_seed=per_seed,
        constant=any(metric.constant for metric in per_seed),
    )


def fold_spread(difference: npt.ArrayLike, predicted: npt.ArrayLike, fold: Folds) -> dict[int | str, dict[str, float]]:
    """SRCC and MSE of each fold by itself, to be shown beside the pooled row.

    Args:
        difference: (n,) finite.
        predicted: like `difference`.
        fold: (n,) int or str.

    Returns:
        fold -> {"n", "srcc", "mse"}, sorted by fold; srcc is nan in a constant fold.

    Raises:
        ValueError: NaN or infinity, wrong dimensions, different lengths.
    """
    y, x, folds = vector("difference", difference), vector("predicted", predicted), np.asarray(fold)
    if not y.size == x.size == folds.size or folds.ndim != 1:
        raise ValueError(f"difference, predicted and fold must have one length, got {y.size}, {x.size}, {folds.shape}")
    result: dict[int | str, dict[str, float]] = {}
    for name in np.unique(folds):
        rows = folds == name
        errors = (x[rows] - y[rows]) ** 2
        key = str(name) if isinstance(name, str) else int(name)
        result[key] = {"n": float(rows.sum()), "srcc": srcc(x[rows], y[rows]), "mse": float(errors.mean())}
    return result
