"""Fits of one variant on cached statistics of a frozen backbone: solved or trained; heads and scalars go to the run folder."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from backbones import Backbone
from datamodules import Part
from datamodules.base import PairDataModule
from engine.config.expansion import Variant
from engine.config.schema import RunConfig
from engine.rank_zero import is_rank_zero, log, progress
from engine.runs.context import RunContext
from engine.runs.predictions import FoldPredictions, Trained
from engine.runs.run_folder import RunFolder
from engine.training.cached_features import FitSettings, Fitted, FoldResult, fit_heads, predict_heads
from engine.training.exact_fit import ExactFit, border_notes, exact_settings, fit_exactly, starts_exactly
from engine.training.extract import extract
from engine.training.init_from import InitialWeights
from engine.training.lightning_trainer import make_trainer
from engine.training.pairs import PartState
from heads import Head, build_head
from heads.inputs import HeadInput, input_of
from lightning_modules.pair_module import PairModule
from registry import LIGHTNING_MODULES
from semfid.errors import UserError
from semfid.io.files import write_whole
from semfid.io.vector_cache import VectorCache
from semfid.settings import PluginSpec


def make_module(config: RunConfig, backbone: Backbone) -> PairModule:
    """The module of a variant that learns from pairs.

    Raises:
        UserError: a module of another kind.
    """
    model = config.needed_model
    module = LIGHTNING_MODULES.build(model.name, backbone, **model.module_keywords)
    if not isinstance(module, PairModule):
        raise UserError(
            f"model: lightning module '{model.name}' is not a lightning_modules.PairModule; the engine cannot train it"
        )
    return module


def train_cached(
    variant: Variant,
    context: RunContext,
    folder: RunFolder,
    module: PairModule,
    title: str,
    start: InitialWeights | None,
    exact: bool,
) -> Trained:
    """Fit heads on cached statistics; heads and scalars go into the folder."""
    config, data, backbone = variant.config, context.data(variant.config), module.backbone
    values = statistics_of(config, context, backbone, module.head, title)
    if not is_rank_zero():
        return Trained()
    make = functools.partial(make_head, config, backbone)
    if exact or starts_exactly(config):
        sources = data.table.frame["source_id"].astype(str).tolist()
        fits = fit_exactly(make, exact_settings(config), values, data.difference, data.weight, sources, data.parts)
    if exact:
        for note in border_notes(fits):
            log.info(f"{title or variant.label}: {note}")
        _write_history(folder, {fit.part.index: _penalty_path(fit) for fit in fits})
        facts = {"penalties": [fit.choice.penalty for fit in fits], "penalty_notes": border_notes(fits)}
        return Trained(_keep(folder, fits, values, backbone), facts)
    load = None if start is None else lambda head, part: start.load_head(head, backbone, part.index)
    if starts_exactly(config):
        load = functools.partial(_start_from, {fit.part.index: fit.head for fit in fits})
    results = _fit_by_gradient(variant, data, module, make, values, load)
    _write_history(folder, {result.part.index: result.history for result in results})
    folds = _keep(folder, results, values, backbone)
    return Trained(folds, {"selected_epochs": [result.epoch for result in results]})


def _start_from(fitted: dict[int, Head], head: Head, part: Part) -> None:
    head.load_state_dict(fitted[part.index].state_dict())
    head.needs_calibration = False


def make_head(config: RunConfig, backbone: Backbone) -> Head:
    """The head of a variant alone."""
    head = config.needed_model.needed_head
    return build_head(head.name, backbone, head.keywords)


def _fit_by_gradient(
    variant: Variant,
    data: PairDataModule,
    module: PairModule,
    make: Callable[[], Head],
    values: Tensor,
    load: Callable[[Head, Part], None] | None,
) -> list[FoldResult]:
    config = variant.config
    settings = FitSettings(
        optimizer=module.optimizer_config,
        epochs=config.trainer.max_epochs or 0,
        batch_size=data.loader.batch_size,
        seed=variant.seed,
        monitor=config.selection.monitor,
        patience=config.selection.patience,
    )
    return fit_heads(make, module.loss, values, data.difference, data.weight, data.parts, settings, load)


def statistics_of(config: RunConfig, context: RunContext, backbone: Backbone, head: Head, title: str) -> Tensor:
    """(N, ...) what the head consumes, for all pairs of the table, out of the cache or computed."""
    trainer = make_trainer(config.trainer)
    cache = None
    if config.cache.enabled:
        cache = VectorCache(Path(config.cache.folder), int(config.cache.max_gb * 1e9))
    whole = input_of(head)
    parts = list(whole.parts()) if cache is None else _shared_parts(config, context, backbone, whole.parts())
    with progress(f"{title} features") as advance:
        found = extract(backbone, context.data(config), parts, trainer, cache, advance, config.trainer.tf32)
    return whole.joined([found[part] for part in whole.parts()])


def _keep(
    folder: RunFolder,
    results: Sequence[Fitted],
    values: Tensor,
    backbone: Backbone,
) -> list[FoldPredictions]:
    """Each part's predictions of its test rows; its head goes to the run's folder."""
    folds = []
    for result, predicted in zip(results, predict_heads(results, values), strict=True):
        folds.append(FoldPredictions(result.part.index, result.part.test, predicted.numpy()))
        state = {f"head.{name}": tensor for name, tensor in result.head.state_dict().items()}
        save_state(folder, result.part.index, PartState(state_dict=state, trunk_identity=backbone.identity))
    return folds


def _penalty_path(fit: ExactFit) -> list[dict[str, float]]:
    """Scalars per penalty tried, largest first."""
    return [
        {"log10_penalty": float(np.log10(penalty)), "left_out_loss": float(loss)}
        for penalty, loss in zip(fit.choice.penalties, fit.choice.left_out_loss, strict=False)
    ]


def _shared_parts(
    config: RunConfig, context: RunContext, backbone: Backbone, own: Sequence[HeadInput]
) -> list[HeadInput]:
    """What this variant's head consumes, and what the coming variants on the same backbone and data do: one pass serves all."""
    place = config.data, config.backbone, config.trainer
    if place in context.shared:  # asked already; heads can be large, and every run would build all of them
        return list(own)
    context.shared.add(place)
    heads: dict[PluginSpec, None] = {}
    for other in context.coming:
        model = other.needed_model
        if (other.data, model.backbone, other.trainer) == place and model.head is not None:
            heads[model.head] = None
    found = dict.fromkeys(own)
    with torch.random.fork_rng(devices=[]), torch.device("meta"):  # without memory: they are only asked what they want
        for head in heads:
            try:
                whole = input_of(build_head(head.name, backbone, head.keywords))
            except Exception:  # noqa: BLE001 - whatever is wrong with another variant's head, its own run will say it
                continue
            if whole.cacheable:
                found.update(dict.fromkeys(whole.parts()))
    return list(found)


def save_state(folder: RunFolder, part: int, state: PartState) -> None:
    """Write a trained part's ``part-<i>.ckpt``."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_whole(folder.path / f"part-{part}.ckpt", buffer.getvalue())


def _write_history(folder: RunFolder, histories: dict[int, list[dict[str, float]]]) -> None:
    """Scalars of each part, step by step (epochs, or penalties)."""
    from torch.utils.tensorboard import SummaryWriter

    for part, history in histories.items():
        with SummaryWriter(str(folder.path / "events" / f"part-{part}")) as writer:
            for step, metrics in enumerate(history):
                for name, value in metrics.items():
                    writer.add_scalar(name.replace("train_", "train/"), value, step)
