"""What the page says and draws of one table, as plain numbers and text. No metric of the table is computed again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import rankdata

from engine.config.sections import Evaluation
from engine.report.page_content import (
    MeanContent,
    OriginContent,
    PairColumns,
    RunContent,
    TableContent,
    VariantContent,
)
from engine.results.pairs import Results, RunResult
from semfid.stats import Cell, GroupMean, Resamples, calibration_curve, group_means, resamples_needed, wilson
from semfid.stats.tables import cell_text as as_printed

EXAMPLES = 4  # best and worst pairs that are shown of a run, each
FEW_SOURCES = 20  # below, a bootstrap over sources is known to give intervals that are too short
NAMED = 6  # variants that a sentence lists
DIGITS = 4

FloatArray = npt.NDArray[np.float64]


def table_content(result: Results, evaluation: Evaluation) -> TableContent:
    """Everything that the page's script needs of a table; JSON as it is, without NaN."""
    first = by_pair(result.runs[0].predictions)
    label = first["difference"].to_numpy(dtype=float)
    resamples = Resamples.draw(first["source_id"].astype(str).to_numpy(), evaluation.bootstraps, 0)
    pairs: PairColumns = {"id": first["pair_id"].astype(str).tolist(), "label": _rounded(label)}
    if "votes" in first.columns:
        low, high = wilson(first["yes_votes"].to_numpy(), first["votes"].to_numpy(), evaluation.level)
        pairs["low"], pairs["high"] = _rounded(low), _rounded(high)
        pairs["votes"] = first["votes"].astype(int).tolist()
    origin = first["origin"].astype(str).to_numpy() if "origin" in first.columns else None
    origins: list[OriginContent] = []
    if origin is not None:
        names, index = np.unique(origin, return_inverse=True)
        pairs["origin"] = index.tolist()
        means = group_means(label, origin, resamples, evaluation.level)
        origins = [{"name": str(name), **_mean(means[str(name)])} for name in names]
    runs: dict[str, list[RunResult]] = {}
    for run in result.runs:
        runs.setdefault(run.label, []).append(run)
    variants: list[VariantContent] = []
    for row in result.rows:
        name = str(row["variant"])
        own = sorted(runs[name], key=lambda run: run.seed)
        variants.append(
            {
                "label": name,
                "learned": own[0].learned,
                "note": str(row["note"]),
                "figures": {"srcc": cell_text(row["srcc"]), "mse": cell_text(row["mse"], 4)},
                "origins": [
                    {"srcc": number(found["srcc"]), "mse": number(found["mse"])}
                    for found in result.origins
                    if found["variant"] == name
                ],
                "runs": [_run(run, label, origin, resamples, evaluation) for run in own],
            }
        )
    return {"pairs": pairs, "origins": origins, "variants": variants, "level": evaluation.level}


def by_pair(predictions: pd.DataFrame) -> pd.DataFrame:
    """Rows in the order in which the page numbers pairs."""
    return predictions.sort_values("pair_id").reset_index(drop=True)


def _run(run: RunResult, label: FloatArray, origin: Any, resamples: Resamples, evaluation: Evaluation) -> RunContent:
    predicted = by_pair(run.predictions)["predicted"].to_numpy(dtype=float)
    bins = calibration_curve(label, predicted, resamples, level=evaluation.level)
    best, worst = examples(label, predicted, by_rank=not run.learned)
    content: RunContent = {
        "seed": run.seed,
        "predicted": _rounded(predicted),
        "calibration": [{"x": number(found.predicted), **_mean(found.label)} for found in bins],
        "best": best,
        "worst": worst,
    }
    if origin is not None:
        means = group_means(predicted, origin, resamples, evaluation.level)
        content["origins"] = [_mean(means[name]) for name in sorted(means)]
    return content


def examples(
    label: FloatArray, predicted: FloatArray, by_rank: bool = False, count: int = EXAMPLES
) -> tuple[list[int], list[int]]:
    """Rows whose prediction lies nearest to the label, and farthest from it; no row is in both.

    Args:
        by_rank: compare places in the order instead of values, for a metric that is not calibrated to the labels.

    Returns:
        rows, nearest first; rows, farthest first. Of equal distances, the earlier row.
    """
    a, b = (rankdata(label), rankdata(predicted)) if by_rank else (label, predicted)
    distance = np.round(np.abs(a - b), 9)
    count = min(count, len(label) // 2)
    near, far = np.argsort(distance, kind="stable"), np.argsort(-distance, kind="stable")
    worst = far[:count].tolist()
    return [row for row in near.tolist() if row not in worst][:count], worst


def headline(result: Results, evaluation: Evaluation) -> list[str]:
    """What the table allows to say, one sentence each."""
    ranked = [row for row in result.rows if _finite(row["srcc"])]
    if not ranked:
        return ["Every variant predicts a constant, so none of them ranks the pairs."]
    best = ranked[0]
    name = f"{best['variant']}"
    found = f"{name}: SRCC {plain_text(best['srcc'])}"
    sentences: list[str]
    if len(result.rows) == 1:
        sentences = [f"{found}. There is no other variant to compare it with."]
    else:
        same = [str(row["variant"]) for row in ranked[1:] if isinstance(row["srcc"], Cell) and row["srcc"].mark]
        high = f"{name} has the highest SRCC: {plain_text(best['srcc'])}"
        if same:
            sentences = [f"{high}.", f"Not distinguishable from it: {named_some(same)}."]
        elif len(ranked) == len(result.rows):
            sentences = [f"{high}. Every other variant is worse beyond chance."]
        elif len(ranked) > 1:
            sentences = [f"{high}. Every other variant that ranks the pairs is worse beyond chance."]
        else:
            sentences = [f"{found}. It is the only variant that ranks the pairs: all others predict a constant."]
    if "LEAKY" in str(best["note"]):
        sentences.append(
            f"But {name} is LEAKY: it has seen its test photos, so its metrics say nothing of other photos."
        )
    elif best["note"]:
        sentences.append(f"{name} is a training-free metric.")
    sources = result.runs[0].predictions["source_id"].nunique()
    if sources < FEW_SOURCES and len(result.rows) > 1:
        sentences.append(f"These are {sources} sources only, so intervals and marks are rough.")
    needed = resamples_needed(len(result.rows), evaluation.alpha)
    if len(result.rows) > 1 and evaluation.bootstraps < needed:
        sentences.append(
            f"With {evaluation.bootstraps} resamples nothing can be told apart; {len(result.rows)} variants need "
            f"evaluation.bootstraps of {needed} at least."
        )
    return sentences


def named_some(names: Sequence[str]) -> str:
    """The first names of a list, and how many more there are."""
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")


def plain_text(cell: Any) -> str:
    """A metric in a sentence, without its mark."""
    text = cell_text(cell)
    return text.rstrip("*")


def cell_text(cell: Any, digits: int = 3) -> str:
    """A metric as the table prints it: ``0.776 [0.70, 0.82]*``, or ``constant``."""
    if not isinstance(cell, Cell):
        return "" if cell is None else str(cell)
    if not _finite(cell):
        return cell.note
    return as_printed(cell, digits)


def _finite(cell: Any) -> bool:
    return isinstance(cell, Cell) and isinstance(cell.value, (int, float)) and math.isfinite(cell.value)


def number(value: Any) -> float | None:
    """A number for the page: rounded; None where there is none."""
    value = value.value if isinstance(value, Cell) else value
    return round(float(value), DIGITS) if isinstance(value, (int, float)) and math.isfinite(value) else None


def _mean(found: GroupMean) -> MeanContent:
    return {"n": found.n, "mean": number(found.mean), "low": number(found.low), "high": number(found.high)}


def _rounded(values: FloatArray) -> list[float]:
    return [round(float(value), DIGITS) for value in values]
