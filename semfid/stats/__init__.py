"""Statistics of the comparison: metrics, intervals, significance, noise ceiling, tables.

Numpy and scipy only: no torch, no pandas, no files. Everything is a difference in [0, 1], 1 = the meaning changed.

| file | idea |
|---|---|
| correlation | SRCC, KRCC, PLCC |
| binary | ROC AUC and average precision of labels that are 0 or 1 |
| logistic | the mapping before PLCC and RMSE |
| metrics | every metric of one set of predictions, pooled and per group |
| resamples, bootstrap | cluster bootstrap over sources; weighted_spearman and weighted_kendall make it fast |
| significance | paired comparison, Holm, who cannot be told from the best |
| votes, ceiling | Wilson intervals and what a perfect metric would reach |
| seeds | a variant over its seeds and folds |
| maps, pooled_precision, map_summary | difference maps: per image, over all pixels, over images and seeds |
| calibration | mean labels of groups and of bins of predictions |
| tables | CSV, Markdown, LaTeX |
"""

from __future__ import annotations

from semfid.stats.binary import average_precision, best_srcc, is_binary, roc_auc
from semfid.stats.bootstrap import bootstrap_metrics, interval
from semfid.stats.calibration import CalibrationBin, GroupMean, calibration_curve, group_means
from semfid.stats.ceiling import Ceiling, noise_ceiling
from semfid.stats.correlation import krcc, plcc, srcc
from semfid.stats.logistic import Logistic, fit_logistic
from semfid.stats.map_summary import MAP_METRICS, MapSummary, summarise_maps
from semfid.stats.maps import MapMetrics, map_metrics
from semfid.stats.metrics import ScoreMetrics, by_group, score_metrics
from semfid.stats.pooled_precision import PooledPrecision
from semfid.stats.resamples import Resamples
from semfid.stats.seeds import VariantSummary, fold_spread, summarise
from semfid.stats.significance import compare, holm, not_distinguishable_from_best, resamples_needed
from semfid.stats.tables import Cell, Column, to_csv, to_latex, to_markdown
from semfid.stats.votes import wilson

__all__ = [
    "MAP_METRICS",
    "CalibrationBin",
    "Ceiling",
    "Cell",
    "Column",
    "GroupMean",
    "Logistic",
    "MapMetrics",
    "MapSummary",
    "PooledPrecision",
    "Resamples",
    "ScoreMetrics",
    "VariantSummary",
    "average_precision",
    "best_srcc",
    "bootstrap_metrics",
    "by_group",
    "calibration_curve",
    "compare",
    "fit_logistic",
    "fold_spread",
    "group_means",
    "holm",
    "interval",
    "is_binary",
    "krcc",
    "map_metrics",
    "noise_ceiling",
    "not_distinguishable_from_best",
    "plcc",
    "resamples_needed",
    "roc_auc",
    "score_metrics",
    "srcc",
    "summarise",
    "summarise_maps",
    "to_csv",
    "to_latex",
    "to_markdown",
    "wilson",
]
