"""One variant of `lightning_modules.experts`: both experts and the gate on cached statistics.

Writes a metric's file per part, and ``metric.pt``, fitted on all pairs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from backbones import Backbone
from datamodules import PairDataModule, Part
from engine.config.expansion import Variant
from engine.config.schema import RunConfig
from engine.default_metric_file import save_default_metric
from engine.rank_zero import is_rank_zero
from engine.results.pairs import compute_metrics
from engine.runs.context import RunContext
from engine.runs.predictions import FoldPredictions, Trained, prediction_table
from engine.runs.run_cached import statistics_of
from engine.runs.run_folder import RunFolder
from engine.training.cached_features import FitSettings, fit_heads, rows_at_once
from engine.training.exact import Squared
from engine.training.exact_fit import ExactSettings, fit_head
from heads import LinearForm
from heads.local_evidence import LocalEvidence
from lightning_modules.experts import Experts
from lightning_modules.losses.pairs import SquaredError
from lightning_modules.scorer import METRIC
from registry import LIGHTNING_MODULES
from semfid.errors import UserError
from semfid.scoring.predictors import ExpertsMap, ExpertsPredictor, saturated
from semfid.stats import srcc

NONE: NDArray[np.int64] = np.zeros(0, dtype=np.int64)


def make_experts(config: RunConfig, backbone: Backbone) -> Experts:
    """The module of a variant of experts and a gate."""
    model = config.needed_model
    made = LIGHTNING_MODULES.build(model.name, backbone, **model.module_keywords)
    assert isinstance(made, Experts)  # `RunConfig.is_experts` has looked
    return made


def train_experts(variant: Variant, context: RunContext, folder: RunFolder, title: str) -> Trained:
    """Fit one metric per part and one on all pairs; their files go into the folder.

    Raises:
        UserError: whatever is wrong with the data or the backbone.
    """
    config, data = variant.config, context.data(variant.config)
    backbone = context.backbone(config)
    experts = make_experts(config, backbone)
    frame = data.table.frame
    rated = experts.is_rated(frame["origin"].tolist() if "origin" in frame.columns else [""] * len(frame))
    pooled = statistics_of(config, context, backbone, experts.new_kernel(), title)  # (N, P * sum of C_l)
    view = config.data.changed({"image_size": experts.view, "resize": "squash"})
    small = config.model_copy(update={"data": view})
    grids = statistics_of(small, context, backbone, experts.new_evidence(), f"{title} view")  # (N, D) float16
    if not is_rank_zero():
        return Trained()
    everything = Part(len(data.parts), np.arange(len(frame)), NONE, NONE)
    edits = [_edited(part, rated) for part in (*data.parts, everything)]
    settings = FitSettings(
        experts.optimizer, config.trainer.max_epochs or 0, data.loader.batch_size, variant.seed, "last", None
    )
    networks = fit_heads(experts.new_evidence, SquaredError(), grids, data.difference, data.weight, edits, settings)
    penalties, folds = [], []
    for part, network in zip((*data.parts, everything), networks, strict=True):
        rows = part.known
        assert isinstance(network.head, LocalEvidence)
        predictor, penalty = _predictor(experts, pooled, data.difference, data.weight, frame["source_id"], rated, rows)
        maps = _map_head(experts, network.head, grids, data.difference, rows[rated[rows]])
        penalties.append(penalty)
        if len(part.test):
            scores = _scores(experts, predictor, maps, network.head, pooled, grids, part.test)
            folds.append(FoldPredictions(part.index, part.test, scores))
            name = f"part-{part.index}.pt"
            spec = experts.spec({}, {})
        else:
            name = METRIC
            spec = experts.spec(*_card(variant, data, folds, rated))
        save_default_metric(folder.path / name, backbone.net.state_dict(), predictor, maps, spec)
    facts = {"fit": "experts, cached statistics", "trunk_identity": backbone.identity, "penalties": penalties}
    return Trained(folds, facts)


def _edited(part: Part, rated: NDArray[np.bool_]) -> Part:
    """The part whose training rows are the edited ones of train and val together: nothing is selected."""
    rows = part.known
    if not (~rated[rows]).any() or not rated[rows].any():
        raise UserError(
            f"data.split: part {part.index + 1} has no rated or no edited pair to train on; use fewer folds"
        )
    return replace(part, train=rows[~rated[rows]], val=NONE)


def _predictor(
    experts: Experts,
    pooled: Tensor,
    difference: Tensor,
    weight: Tensor,
    source_id: pd.Series[str],
    rated: NDArray[np.bool_],
    rows: NDArray[np.int64],
) -> tuple[ExpertsPredictor, float]:
    """The kernel expert on the rated rows and the gate on all of them; with the expert's penalty."""
    kernel = experts.new_kernel()
    own = torch.from_numpy(rows[rated[rows]])
    kernel.calibrate(pooled[own])
    settings = ExactSettings(Squared(), LinearForm("identity", nonnegative=False, bias=False), experts.penalty)
    sources = source_id.astype(str).iloc[own.numpy()].tolist()
    choice = fit_head(kernel, settings, pooled[own], difference[own], weight[own], sources, 0)
    inputs = (kernel.inputs(pooled[torch.from_numpy(rows)]) / kernel.scale).double().numpy()
    return experts.predictor(kernel, experts.gate(inputs, rated[rows])), choice.penalty


def _map_head(
    experts: Experts, evidence: LocalEvidence, grids: Tensor, difference: Tensor, rows: NDArray[np.int64]
) -> ExpertsMap:
    own = evidence.listed(grids[torch.from_numpy(rows)])
    return experts.map_head(evidence, experts.restored(own, difference[torch.from_numpy(rows)].double().numpy()))


def _scores(
    experts: Experts,
    predictor: ExpertsPredictor,
    maps: ExpertsMap,
    evidence: LocalEvidence,
    pooled: Tensor,
    grids: Tensor,
    rows: NDArray[np.int64],
) -> NDArray[np.float64]:
    """(n,) differences of some pairs, as the file gives them."""
    kernel = experts.new_kernel()
    found = []
    with torch.no_grad():
        for some in torch.from_numpy(rows).split(rows_at_once(grids)):
            local = maps.local(evidence.listed(grids[some]), evidence.compress)  # (b, 1, h, w)
            peak = local.flatten(1).amax(dim=1, keepdim=True)  # (b, 1)
            raw = predictor(torch.cat([kernel.inputs(pooled[some]), peak], dim=1))
            found.append(saturated(raw, experts.saturation).double())
    return torch.cat(found).numpy()


def _card(
    variant: Variant, data: PairDataModule, folds: Sequence[FoldPredictions], rated: NDArray[np.bool_]
) -> tuple[dict[str, float], Mapping[str, object]]:
    """Metrics by pairs left out, and how many pairs of how many photos there were."""
    frame, table = data.table.frame, prediction_table(data, folds)
    own = table[table["pair_id"].isin(frame["pair_id"][rated])]
    metrics = {}
    if len(own) > 2:
        metrics["srcc"] = round(float(srcc(own["predicted"].to_numpy(), own["difference"].to_numpy())), 4)
    counts = {
        kind: {"pairs": int(which.sum()), "photos": int(frame["source_id"][which].nunique())}
        for kind, which in (("rated", rated), ("edited", ~rated))
    }
    pooled = compute_metrics(table, variant.config.evaluation)["pooled"]
    return metrics, {"counts": counts, "left out": {k: v for k, v in pooled.items() if isinstance(v, float)}}
