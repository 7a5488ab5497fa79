"""All metrics of one set of predictions, pooled or per group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from semfid.errors import UserError
from semfid.stats.arrays import FloatArray, StrArray, is_constant, text_vector, vector
from semfid.stats.binary import average_precision, roc_auc
from semfid.stats.correlation import krcc, plcc, srcc
from semfid.stats.logistic import fit_logistic

Names: TypeAlias = Sequence[str] | npt.NDArray[np.str_] | npt.NDArray[np.object_]

NAMED_IN_ERRORS = 3


@dataclass(frozen=True)
class ScoreMetrics:
    """Metrics of n predictions against n labels.

    Attributes:
        n: number of pairs.
        sources: number of distinct sources.
        srcc, krcc, plcc: of the raw predictions, -1 .. 1, signed; nan where `constant`.
        plcc_logistic: PLCC after the 4-parameter logistic fitted to these rows, 0 .. 1; nan where `constant`; 0.0
            where the best mapping is the mean label although the predictions vary.
        rmse, mse, mae: of the raw predictions, in units of the label (squared for mse).
        rmse_logistic: RMSE after the same logistic.
        auc: of labels that are 0 or 1 (`semfid.stats.binary`); nan of others, and where `constant`.
        average_precision: of the same labels.
        constant: predictions or labels are constant, so there is no correlation to speak of.
    """

    n: int
    sources: int
    srcc: float
    krcc: float
    plcc: float
    plcc_logistic: float
    rmse: float
    rmse_logistic: float
    mse: float
    mae: float
    auc: float
    average_precision: float
    constant: bool

    def as_dict(self) -> dict[str, int | float | bool]:
        """Field name to value, in the order of the fields."""
        return asdict(self)


def _name_some(pairs: StrArray) -> str:
    shown = ", ".join(repr(str(pair)) for pair in pairs[:NAMED_IN_ERRORS])
    more = pairs.size - NAMED_IN_ERRORS
    noun = "pair" if pairs.size == 1 else "pairs"
    return f"{noun} {shown}" + (f" and {more} more" if more > 0 else "")


def check_rows(difference: FloatArray, predicted: FloatArray, source_id: StrArray, pair_id: StrArray) -> None:
    """Refuse rows that no metric can be computed of.

    Raises:
        ValueError: different lengths.
        UserError: no rows; a label or a prediction that is not finite; a pair that occurs twice. Names the pairs.
    """
    sizes = (difference.size, predicted.size, source_id.size, pair_id.size)
    if len(set(sizes)) > 1:
        raise ValueError(f"difference, predicted, source_id and pair_id must have one length, got {sizes}")
    if difference.size == 0:
        raise UserError("there are no pairs to evaluate; check that the split holds labelled pairs")
    bad = ~np.isfinite(difference)
    if bad.any():
        raise UserError(f"the label of {_name_some(pair_id[bad])} is not a finite number; give it a value or drop it")
    bad = ~np.isfinite(predicted)
    if bad.any():
        raise UserError(
            f"the prediction of {_name_some(pair_id[bad])} is not a finite number;"
            " look at its images and at the training loss"
        )
    names, counts = np.unique(pair_id, return_counts=True)
    if names.size < pair_id.size:
        raise UserError(f"{_name_some(names[counts > 1])} occurs more than once; keep one prediction per pair")


def metrics_of_rows(difference: FloatArray, predicted: FloatArray, sources: int, logistic: bool = True) -> ScoreMetrics:
    """`score_metrics` of rows that `check_rows` has passed; the order of rows changes no bit of the result."""
    order = np.lexsort((predicted, difference))
    y, x = difference[order], predicted[order]
    constant = is_constant(x) or is_constant(y)
    plcc_logistic = rmse_logistic = float("nan")
    if logistic:
        mapping = fit_logistic(x, y)
        mapped = mapping(x)
        plcc_logistic = 0.0 if mapping.form == "constant" and not constant else plcc(mapped, y)
        rmse_logistic = float(np.mean((mapped - y) ** 2)) ** 0.5
    error = x - y
    mse = float(np.mean(error**2))
    return ScoreMetrics(
        n=int(y.size),
        sources=sources,
        srcc=srcc(x, y),
        krcc=krcc(x, y),
        plcc=plcc(x, y),
        plcc_logistic=plcc_logistic,
        rmse=mse**0.5,
        rmse_logistic=rmse_logistic,
        mse=mse,
        mae=float(np.mean(np.abs(error))),
        auc=roc_auc(x, y),
        average_precision=average_precision(x, y),
        constant=constant,
    )


def score_metrics(
    difference: npt.ArrayLike, predicted: npt.ArrayLike, source_id: Names, pair_id: Names
) -> ScoreMetrics:
    """Every metric of one set of predictions.

    SRCC, KRCC, PLCC, RMSE, MSE and MAE are of the raw predictions; PLCC and RMSE also after the 4-parameter logistic
    (ITU-T P.1401 and VQEG practice: rank correlations need no mapping, linear ones depend on it, so both are shown).

    Args:
        difference: (n,) labels.
        predicted: (n,) predictions.
        source_id: (n,) str, the source of each pair.
        pair_id: (n,) str, unique.

    Raises:
        ValueError: wrong dimensions or different lengths.
        UserError: no rows, a value that is not finite, a repeated pair; names the pairs.
    """
    y, x = vector("difference", difference), vector("predicted", predicted)
    sources, pairs = text_vector("source_id", source_id), text_vector("pair_id", pair_id)
    check_rows(y, x, sources, pairs)
    return metrics_of_rows(y, x, int(np.unique(sources).size))


def by_group(
    difference: npt.ArrayLike,
    predicted: npt.ArrayLike,
    source_id: Names,
    pair_id: Names,
    group: Names,
    *,
    logistic: bool = True,
) -> dict[str, ScoreMetrics]:
    """`score_metrics` of each group (an SR model, a kind of substitution), group names sorted.

    The logistic is fitted to each group by itself.

    Args:
        group: (n,) str; the others as in `score_metrics`.
        logistic: False leaves the two metrics after the logistic nan, and saves most of the time.

    Raises:
        ValueError, UserError: as `score_metrics`.
    """
    y, x = vector("difference", difference), vector("predicted", predicted)
    sources, pairs, groups = (
        text_vector("source_id", source_id),
        text_vector("pair_id", pair_id),
        text_vector("group", group),
    )
    check_rows(y, x, sources, pairs)
    if groups.size != y.size:
        raise ValueError(f"group must have the length of difference, got {groups.size} and {y.size}")
    result = {}
    for name in np.unique(groups):
        rows = groups == name
        result[str(name)] = metrics_of_rows(y[rows], x[rows], int(np.unique(sources[rows]).size), logistic)
    return result
