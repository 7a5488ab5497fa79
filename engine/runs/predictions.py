"""Predictions of a run on its test pairs, and what a run of pairs saves of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from datamodules.base import PairDataModule
from engine.config.expansion import Variant
from engine.results.pairs import compute_metrics
from engine.runs.lifecycle import Outcome
from engine.runs.run_folder import RunFolder

COPIED = ("pair_id", "source_id", "origin", "difference", "yes_votes", "votes")


@dataclass(frozen=True)
class FoldPredictions:
    """Predictions of the pairs that one fold tests.

    Attributes:
        fold: its number.
        rows: (n,) of the pairs in the table.
        predicted: (n,) differences.
    """

    fold: int
    rows: NDArray[np.int64]
    predicted: NDArray[np.float64]


@dataclass(frozen=True)
class Trained:
    """What a training of all folds gives; empty on processes beside the first.

    Attributes:
        folds: predictions of every fold.
        facts: for the provenance.
    """

    folds: Sequence[FoldPredictions] = ()
    facts: Mapping[str, object] = field(default_factory=dict)


def prediction_table(data: PairDataModule, folds: Sequence[FoldPredictions]) -> pd.DataFrame:
    """One row per tested pair, in the order of the table."""
    fold, predicted = np.full(len(data.table), -1), np.full(len(data.table), np.nan)
    for own in folds:
        fold[own.rows], predicted[own.rows] = own.fold, own.predicted
    frame = data.table.frame
    keep = [name for name in COPIED if name in frame.columns]
    table = frame[keep].assign(fold=fold, split="test", predicted=predicted)
    table = table[table["fold"] >= 0].reset_index(drop=True)
    if "votes" in keep:  # training pairs may have labels of another kind
        if table["votes"].isna().any():
            return table.drop(columns=["yes_votes", "votes"])
        table = table.astype({"yes_votes": int, "votes": int})
    return table


def pairs_outcome(
    variant: Variant,
    data: PairDataModule,
    folder: RunFolder,
    trained: Trained,
) -> Outcome:
    """What a run of pairs saves; its final scores also go to the folder's ``events``."""
    predictions = prediction_table(data, trained.folds)
    metrics = compute_metrics(predictions, variant.config.evaluation)
    frame = data.table.frame
    split = frame[[name for name in ("pair_id", "source_id", "split", "fold") if name in frame.columns]]
    more = {
        "leaky": data.leaky,
        "image_size": data.loader.image_size,  # what `semfid score` scores at
        "resize": data.loader.resize,
    }
    _write_hparams(variant, folder, metrics["pooled"])
    pooled = metrics["pooled"]
    return Outcome(
        {"predictions.csv": predictions, "split.csv": split},
        metrics,
        {**more, **trained.facts},
        f"SRCC {_digits(pooled['srcc'])} MSE {_digits(pooled['mse'])}",
    )


def _digits(value: float | None) -> str:
    return "constant" if value is None or value != value else f"{value:.3f}"


def _write_hparams(variant: Variant, folder: RunFolder, pooled: Mapping[str, Any]) -> None:
    from torch.utils.tensorboard import SummaryWriter
    from torch.utils.tensorboard.summary import hparams

    choices = {**variant.choices, "seed": variant.seed}
    values = {
        key: value if isinstance(value, (int, float, str, bool)) else str(value) for key, value in choices.items()
    }
    scores = {f"test/{k}": v for k, v in pooled.items() if isinstance(v, float) and v == v}
    with SummaryWriter(str(folder.path / "events" / "final")) as writer:
        for summary in hparams(values, dict.fromkeys(scores, 0.0)):
            writer.file_writer.add_summary(summary)
        for key, value in scores.items():
            writer.add_scalar(key, value)
