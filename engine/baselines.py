"""Training-free metrics beside the learned variants: same pairs, same figures, same kind of run folder."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch

from datamodules import to_float
from datamodules.dataset import EvaluationBatches
from engine.config import Variant
from engine.progress import progress
from engine.run import Workbench, carry_out, prediction_table
from engine.run_folder import RunFolder
from lightning_modules.pair_module import named
from registry import METRICS


def baseline_variant(
    config: dict[str, Any], metric: str | dict[str, Any], data_choices: dict[str, Any] | None = None
) -> Variant:
    """A metric as a variant of an experiment: same data, no training.

    Args:
        data_choices: what a sweep set of the data; tells one metric's rows on several data apart.
    """
    name, keywords = named(metric, "baselines")
    own = {**config, "seed": 0, "model": {"name": name, **keywords}, "trainer": {}, "selection": {}}
    words = [f"{key}={value}" for key, value in (*keywords.items(), *(data_choices or {}).items())]
    return Variant(own, {"metric": name, **(data_choices or {})}, (name, *words))


def run_baseline(variant: Variant, bench: Workbench) -> RunFolder:
    """Score the test pairs of every part, unless that is done.

    Raises:
        UserError: as `engine.run.carry_out`.
    """
    folder = RunFolder.of(variant, bench.data_hash(variant.config))
    if folder.state == "done":
        return folder
    return carry_out(variant, bench, folder, variant.label, lambda: _score(variant, bench))


def _score(variant: Variant, bench: Workbench) -> tuple[pd.DataFrame, dict[str, Any]]:
    data = bench.data(variant.config)
    name, keywords = named(variant.config["model"], "baselines")
    metric = METRICS.build(name, **keywords).eval()
    columns = {"fold": np.full(len(data.table), -1), "predicted": np.full(len(data.table), np.nan)}
    for part in data.parts:
        columns["fold"][part.test] = part.index
    rows = np.flatnonzero(columns["fold"] >= 0)
    done = 0
    with torch.no_grad(), progress(name) as advance:
        for batch in data.load(EvaluationBatches(rows, data.loader.batch_size)):
            images = to_float(batch)
            columns["predicted"][batch.row.numpy()] = metric(images.reference, images.candidate).double().numpy()
            done += len(batch.row)
            advance(done, len(rows))
    return prediction_table(data, columns), {"fit": "training-free"}
