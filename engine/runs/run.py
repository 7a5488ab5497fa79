"""One variant: train, evaluate, save."""

from __future__ import annotations

import pandas as pd
import torch

from datamodules.base import PairDataModule
from engine.config.expansion import Variant
from engine.config.schema import RunConfig
from engine.rank_zero import is_rank_zero
from engine.runs.context import RunContext
from engine.runs.lifecycle import Outcome, run_guarded
from engine.runs.predictions import FoldPredictions, Trained, pairs_outcome
from engine.runs.pretraining import pretrained
from engine.runs.run_cached import make_module, save_state, train_cached
from engine.runs.run_experts import train_experts
from engine.runs.run_folder import RunFolder
from engine.training.exact_fit import CACHED_TRAINER_KEYS, fit_of
from engine.training.images import train_task
from engine.training.init_from import InitialWeights
from engine.training.pairs import fit_part
from lightning_modules.global_regressor import GlobalRegressor
from lightning_modules.pair_module import PairModule
from semfid.errors import UserError
from semfid.io.files import write_whole


def run_variant(variant: Variant, context: RunContext, title: str = "") -> RunFolder:
    """Train and evaluate one variant unless it is done, and before it its pretraining; every process of a DDP run calls it.

    Raises:
        UserError: whatever is wrong; the run's state is then ``failed``.
    """
    variant = pretrained(variant, context)
    folder = RunFolder.of(variant, context.data_hash(variant.config))
    train = _train if variant.config.task_class is None else train_task
    return run_guarded(variant, context, folder, title, lambda: train(variant, context, folder, title))


def _train(variant: Variant, context: RunContext, folder: RunFolder, title: str) -> Outcome:
    config, data = variant.config, context.data(variant.config)
    torch.manual_seed(variant.seed)
    if any(len(part.train) == 0 for part in data.parts):
        raise UserError("data.split.test: 1 leaves no pair to train on; give a smaller share, or folds")
    train = train_experts if config.is_experts else _train_module
    trained = train(variant, context, folder, title)
    return pairs_outcome(variant, data, folder, trained) if is_rank_zero() else Outcome()


def _train_module(variant: Variant, context: RunContext, folder: RunFolder, title: str) -> Trained:
    config, data = variant.config, context.data(variant.config)
    start = InitialWeights.of(config)
    if start is not None:
        start.check_data(data)
    backbone = context.backbone(config)
    module = make_module(config, backbone)
    cacheable = _cacheable(config, module, data)
    exact = cacheable and fit_of(config) == "exact"
    if config.fit == "exact" and not exact:
        raise UserError(
            "fit: exact needs images that are the same in every epoch; set data.resize: squash, or fit: gradient"
        )
    cached = exact or (cacheable and (config.trainer.max_epochs or 0) > 0)
    facts = {
        "trunk_identity": backbone.identity,
        "fit": "exact, cached statistics" if exact else "cached statistics" if cached else "images",
        "trainable_parameters": sum(p.numel() for p in module.parameters() if p.requires_grad),
        **({} if start is None else {"init_from": str(start.folder)}),
    }
    if cached:
        trained = train_cached(variant, context, folder, module, title, start, exact)
    else:
        trained = _train_images(variant, context, folder, title, start)
    return Trained(trained.folds, {**facts, **trained.facts})


def _cacheable(config: RunConfig, module: PairModule, data: PairDataModule) -> bool:
    """Whether the head is fed fixed statistics of a frozen backbone, and the trainer asks for nothing that needs images."""
    return (
        isinstance(module, GlobalRegressor)
        and module.backbone.tuning == "frozen"
        and data.fixed_images  # statistics are of images as they are
        # grids are as many as the image has positions: of images of one size alone
        and (not module.head_input.by_position or data.loader.resize not in ("none", "bounded"))
        and config.trainer.given <= CACHED_TRAINER_KEYS
    )


def _train_images(
    variant: Variant, context: RunContext, folder: RunFolder, title: str, start: InitialWeights | None
) -> Trained:
    config, data = variant.config, context.data(variant.config)
    folds, epochs = [], []
    for part in data.parts:
        finished = folder.path / "parts" / f"part-{part.index}.csv"
        if finished.exists():  # done before the run was cut off
            rows = pd.read_csv(finished)
            folds.append(FoldPredictions(part.index, rows["row"].to_numpy(), rows["predicted"].to_numpy()))
            epochs.append(int(rows["epoch"].iloc[0]))
            continue

        def make(part: int = part.index) -> PairModule:
            module = make_module(config, context.backbone(config))
            if start is not None:
                start.load_module(module, part)
            return module

        name = f"{title} part {part.index + 1}/{len(data.parts)}" if len(data.parts) > 1 else title
        found, predicted, state, epoch = fit_part(make, data, part, config, folder.path, name)
        folds.append(FoldPredictions(part.index, found.numpy(), predicted.numpy()))
        epochs.append(epoch)
        if is_rank_zero():
            save_state(folder, part.index, state)
            table = pd.DataFrame({"row": found.numpy(), "predicted": predicted.numpy(), "epoch": epoch})
            write_whole(finished, table.to_csv(index=False).encode())
    return Trained(folds, {"selected_epochs": epochs})
