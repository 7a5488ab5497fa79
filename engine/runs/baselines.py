"""Training-free metrics beside the learned variants: same pairs, same figures, same kind of run folder."""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from datamodules import to_float
from datamodules.samplers import EvaluationBatches
from engine.config.schema import Variant
from engine.config.expansion import short_word
from engine.rank_zero import progress
from engine.runs.run import Workbench, carry_out, prediction_table
from engine.runs.run_folder import RunFolder
from registry import named
from registry import CAPTIONERS, METRICS, TOWERS
from semfid.errors import UserError


def baseline_variants(
    config: dict[str, Any], metrics: Sequence[str | dict[str, Any]], data_choices: dict[str, Any] | None = None
) -> list[Variant]:
    """Metrics as variants of an experiment: same data, no training.

    Args:
        data_choices: what a sweep set of the data; tells one metric's rows on several data apart.
    """
    choices = data_choices or {}
    split = [named(metric, "baselines") for metric in metrics]
    variants, labels = [], set()
    for name, keywords in split:
        trained: dict[str, Any] = {
            "trainer": {},
            "selection": {},
            "init_from": None,
            "fit": None,
            "penalty": None,
            "start": None,
        }
        own = {**config, "seed": 0, "model": {"name": name, **keywords}, **trained}
        own["identities"] = _identities(name, json.dumps(keywords, sort_keys=True))
        values: dict[str, list[Any]] = {}
        for other, their in split:
            for key, value in their.items() if other == name else ():
                values.setdefault(key, []).append(value)
        words = [f"{key}={short_word(value, values[key])}" for key, value in keywords.items()]
        words += [f"{key}={value}" for key, value in choices.items()]
        variant = Variant(own, {"metric": name, **choices}, (name, *words))
        if variant.label in labels:  # short words that hide a difference: one row would be averaged over both
            words = [f"{key}={json.dumps(value)}" for key, value in (*keywords.items(), *choices.items())]
            variant = Variant(own, {"metric": name, **choices}, (name, *words))
        labels.add(variant.label)
        variants.append(variant)
    return variants


@functools.lru_cache(maxsize=256)
def _identities(name: str, keywords: str) -> dict[str, str]:
    """What a metric's tower and captioner are now: other weights under the same name are another run. Loads no weights."""
    given, found = json.loads(keywords), {}
    for key, registry in (("tower", TOWERS), ("captioner", CAPTIONERS)):
        parameter = METRICS.get(name).keywords.get(key)
        if parameter is None:
            continue
        plugin, own = named(given.get(key, parameter.default), key)
        with contextlib.suppress(UserError):  # the run itself says what is wrong
            found[key] = str(registry.build(plugin, **own).identity)
    return found


def run_baseline(variant: Variant, bench: Workbench) -> RunFolder:
    """Score the test pairs of every part, unless that is done.

    Raises:
        UserError: as `engine.runs.run.carry_out`.
    """
    folder = RunFolder.of(variant, bench.data_hash(variant.config))
    if folder.state == "done":
        return folder
    return carry_out(variant, bench, folder, variant.label, lambda: _score(variant, bench))


def _score(variant: Variant, bench: Workbench) -> tuple[pd.DataFrame, dict[str, Any]]:
    data = bench.data(variant.config)
    name, keywords = named(variant.config["model"], "baselines")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    metric: Any = METRICS.build(name, **keywords).to(device).eval()
    columns = {"fold": np.full(len(data.table), -1), "predicted": np.full(len(data.table), np.nan)}
    for part in data.parts:
        columns["fold"][part.test] = part.index
    rows = np.flatnonzero(columns["fold"] >= 0)
    done = 0
    with torch.no_grad(), progress(variant.label) as advance:
        for batch in data.load(EvaluationBatches(rows, data.loader.batch_size)):
            images = to_float(batch)
            scores = metric(images.reference.to(device), images.candidate.to(device))  # (B,)
            columns["predicted"][batch.row.numpy()] = scores.double().cpu().numpy()
            done += len(batch.row)
            advance(done, len(rows))
    identity = {"identity": metric.identity} if metric.identity else {}
    return prediction_table(data, columns), {"fit": "training-free", **identity}
