"""Training-free metrics beside the learned variants: same pairs, same metrics, same kind of run folder."""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from datamodules import to_float
from datamodules.samplers import EvaluationBatches
from engine.config.expansion import Choices, Variant, short_word
from engine.config.schema import RunConfig
from engine.rank_zero import progress
from engine.runs.context import RunContext
from engine.runs.lifecycle import Outcome, run_guarded
from engine.runs.predictions import FoldPredictions, Trained, pairs_outcome
from engine.runs.run_folder import RunFolder
from registry import CAPTIONERS, DUAL_ENCODERS, METRICS, named
from semfid.errors import UserError
from semfid.scoring.arithmetic import exact_products
from semfid.settings import PluginSpec


def baseline_variants(
    config: RunConfig, metrics: Sequence[PluginSpec], data_choices: Choices | None = None
) -> list[Variant]:
    """Metrics as variants of an experiment: same data, no training.

    Args:
        data_choices: what a sweep set of the data; tells one metric's rows on several data apart.
    """
    choices = data_choices or {}
    variants, labels = [], set()
    for metric in metrics:
        name, keywords = metric.name, metric.keywords
        own = config.of_metric(metric, _identities(metric))
        values: dict[str, list[Any]] = {}
        for other in metrics:
            for key, value in other.keywords.items() if other.name == name else ():
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
def _identities(metric: PluginSpec) -> dict[str, str]:
    """What a metric's tower and captioner are now: other weights under the same name are another run. Loads no weights."""
    given, found = metric.keywords, {}
    for key, registry in (("tower", DUAL_ENCODERS), ("captioner", CAPTIONERS)):
        parameter = METRICS.get(metric.name).keywords.get(key)
        if parameter is None:
            continue
        plugin, own = named(given.get(key, parameter.default), key)
        with contextlib.suppress(UserError):  # the run itself says what is wrong
            found[key] = str(registry.build(plugin, **own).identity)
    return found


def run_baseline(variant: Variant, context: RunContext) -> RunFolder:
    """Score the test pairs of every part, unless that is done.

    Raises:
        UserError: as `engine.runs.lifecycle.run_guarded`.
    """
    folder = RunFolder.of(variant, context.data_hash(variant.config))
    return run_guarded(variant, context, folder, variant.label, lambda: _score(variant, context, folder))


def _score(variant: Variant, context: RunContext, folder: RunFolder) -> Outcome:
    data = context.data(variant.config)
    spec = variant.config.needed_model
    device = "cuda" if torch.cuda.is_available() else "cpu"
    metric: Any = METRICS.build(spec.name, **spec.keywords).to(device).eval()
    rows = np.unique(np.concatenate([part.test for part in data.parts]))
    predicted, done = np.full(len(data.table), np.nan), 0
    with torch.no_grad(), exact_products(device), progress(variant.label) as advance:
        for batch in data.load(EvaluationBatches(rows, data.loader.batch_size)):
            images = to_float(batch)
            scores = metric(images.reference.to(device), images.candidate.to(device))  # (B,)
            predicted[batch.row.numpy()] = scores.double().cpu().numpy()
            done += len(batch.row)
            advance(done, len(rows))
    identity = {"identity": metric.identity} if metric.identity else {}
    folds = [FoldPredictions(part.index, part.test, predicted[part.test]) for part in data.parts]
    return pairs_outcome(variant, data, folder, Trained(folds, {"fit": "training-free", **identity}))
