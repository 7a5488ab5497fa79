"""One variant: train, evaluate, save."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch

from datamodules.base import PairDataModule
from engine.runs.lifecycle import attempt
from engine.config.schema import Variant
from engine.training.exact_fit import CACHED_TRAINER_KEYS, fit_of
from engine.training.pairs import fit_part
from engine.training.images import run_task
from engine.training.init_from import InitialWeights
from engine.config.module_types import is_experts, task_class
from engine.runs.pretraining import pretrained
from engine.rank_zero import is_rank_zero, log
from engine.runs.provenance import provenance
from engine.results.pairs import run_figures
from engine.runs.run_cached import make_module, save_state, train_cached
from engine.runs.run_experts import train_experts
from engine.runs.run_folder import RunFolder
from engine.runs.context import Workbench as Workbench
from lightning_modules.global_regressor import GlobalRegressor
from lightning_modules.pair_module import PairModule
from semfid.io.files import write_whole
from semfid.errors import UserError


def run_variant(variant: Variant, bench: Workbench, title: str = "") -> RunFolder:
    """Train and evaluate one variant unless it is done, and before it its pretraining; every process of a DDP run calls it.

    Raises:
        UserError: whatever is wrong; the run's state is then ``failed``.
    """
    variant = pretrained(variant, bench)
    config = variant.config
    if task_class(config) is not None:
        return run_task(variant, bench, title)
    folder = RunFolder.of(variant, bench.data_hash(config))
    if folder.state == "done":
        return folder
    if not is_rank_zero():
        _train(variant, bench, folder, title)
        return folder
    return carry_out(variant, bench, folder, title, lambda: _train(variant, bench, folder, title))


def carry_out(
    variant: Variant,
    bench: Workbench,
    folder: RunFolder,
    title: str,
    work: Callable[[], tuple[pd.DataFrame, dict[str, Any]]],
) -> RunFolder:
    """Hold a run's folder, do the work, save what came of it; the folder's state says how it ended.

    Args:
        work: gives predictions and facts for the provenance.

    Raises:
        UserError: another process holds the folder, or whatever is wrong with the work; the state is then ``failed``.
    """

    def whole(start: float) -> None:
        predictions, facts = work()
        finish_run(variant, bench, folder, predictions, {**facts, "wall_s": round(time.monotonic() - start, 3)})

    return attempt(variant, folder, title, whole)


def _train(variant: Variant, bench: Workbench, folder: RunFolder, title: str) -> tuple[pd.DataFrame, dict[str, Any]]:
    config, data = variant.config, bench.data(variant.config)
    torch.manual_seed(variant.seed)
    columns = {"fold": np.full(len(data.table), -1), "predicted": np.full(len(data.table), np.nan)}
    if any(len(part.train) == 0 for part in data.parts):
        raise UserError("data.split.test: 1 leaves no pair to train on; give a smaller share, or folds")
    if is_experts(config):
        facts = train_experts(variant, bench, folder, title, columns)
        return prediction_table(data, columns), facts
    start = InitialWeights.of(config)
    if start is not None:
        start.check_data(data)
    trunk = bench.trunk(config)
    module = make_module(config, trunk)
    epochs = config["trainer"].get("max_epochs")
    cacheable = (
        isinstance(module, GlobalRegressor)
        and trunk.tuning == "frozen"
        and data.fixed_images  # statistics are of images as they are
        # grids are as many as the image has positions: of images of one size alone
        and (not module.head_input.by_position or data.loader.resize not in ("none", "bounded"))
        and set(config["trainer"]) <= CACHED_TRAINER_KEYS
    )
    exact = cacheable and fit_of(config) == "exact"
    if config.get("fit") == "exact" and not exact:
        raise UserError(
            "fit: exact needs images that are the same in every epoch; set data.resize: squash, or fit: gradient"
        )
    cached = exact or (cacheable and isinstance(epochs, int) and epochs > 0)
    facts = {
        "trunk_identity": trunk.identity,
        "fit": "exact, cached statistics" if exact else "cached statistics" if cached else "images",
        "trainable_parameters": sum(p.numel() for p in module.parameters() if p.requires_grad),
        **({} if start is None else {"init_from": str(start.folder)}),
    }
    if cached:
        facts |= train_cached(variant, bench, folder, module, columns, title, start, exact)
    else:
        facts["selected_epochs"] = _train_images(variant, bench, folder, columns, title, start)
    return prediction_table(data, columns), facts


def _train_images(
    variant: Variant,
    bench: Workbench,
    folder: RunFolder,
    columns: dict[str, Any],
    title: str,
    start: InitialWeights | None,
) -> list[int]:
    config, data = variant.config, bench.data(variant.config)
    epochs = []
    for part in data.parts:
        finished = folder.path / "parts" / f"part-{part.index}.csv"
        if finished.exists():  # done before the run was cut off
            rows = pd.read_csv(finished)
            columns["fold"][rows["row"]], columns["predicted"][rows["row"]] = part.index, rows["predicted"]
            epochs.append(int(rows["epoch"].iloc[0]))
            continue

        def make(part: int = part.index) -> PairModule:
            module = make_module(config, bench.trunk(config))
            if start is not None:
                start.load_module(module, part)
            return module

        name = f"{title} part {part.index + 1}/{len(data.parts)}" if len(data.parts) > 1 else title
        found, predicted, state, epoch = fit_part(make, data, part, config, folder.path, name)
        columns["fold"][found.numpy()], columns["predicted"][found.numpy()] = part.index, predicted.numpy()
        epochs.append(epoch)
        if is_rank_zero():
            save_state(folder, part.index, state)
            table = pd.DataFrame({"row": found.numpy(), "predicted": predicted.numpy(), "epoch": epoch})
            write_whole(finished, table.to_csv(index=False).encode())
    return epochs


def prediction_table(data: PairDataModule, columns: dict[str, Any]) -> pd.DataFrame:
    frame = data.table.frame
    keep = [
        name for name in ("pair_id", "source_id", "origin", "difference", "yes_votes", "votes") if name in frame.columns
    ]
    table = frame[keep].assign(fold=columns["fold"], split="test", predicted=columns["predicted"])
    table = table[table["fold"] >= 0].reset_index(drop=True)
    if "votes" in keep:  # training pairs may have labels of another kind
        if table["votes"].isna().any():
            return table.drop(columns=["yes_votes", "votes"])
        table = table.astype({"yes_votes": int, "votes": int})
    return table


def finish_run(
    variant: Variant, bench: Workbench, folder: RunFolder, predictions: pd.DataFrame, facts: dict[str, Any]
) -> None:
    """Predictions, figures, provenance; the state ``done`` comes last."""
    config, data = variant.config, bench.data(variant.config)
    figures = run_figures(predictions, config["evaluation"])
    write_whole(folder.path / "predictions.csv", predictions.to_csv(index=False).encode())
    split = data.table.frame[[c for c in ("pair_id", "source_id", "split", "fold") if c in data.table.frame.columns]]
    write_whole(folder.path / "split.csv", split.to_csv(index=False).encode())
    folder.write_json(
        "provenance.json",
        {
            **provenance(),
            "seed": variant.seed,
            "table": data.table.name,
            "table_hash": data.table.content_hash(),
            "data_hash": bench.data_hash(config),
            "leaky": data.leaky,
            "image_size": data.loader.image_size,  # what `semfid score` scores at
            "resize": data.loader.resize,
            **facts,
        },
    )
    _write_hparams(variant, folder, figures)
    folder.write_json("metrics.json", figures)
    folder.set_state("done")
    pooled = figures["pooled"]
    log.info(
        f"{folder.path.name}: SRCC {_digits(pooled['srcc'])} MSE {_digits(pooled['mse'])} ({facts['wall_s']:.1f} s)"
    )


def _digits(value: float | None) -> str:
    return "constant" if value is None or value != value else f"{value:.3f}"


def _write_hparams(variant: Variant, folder: RunFolder, figures: dict[str, Any]) -> None:
    from torch.utils.tensorboard import SummaryWriter
    from torch.utils.tensorboard.summary import hparams

    choices = {**variant.choices, "seed": variant.seed}
    values = {
        key: value if isinstance(value, (int, float, str, bool)) else str(value) for key, value in choices.items()
    }
    scores = {f"test/{k}": v for k, v in figures["pooled"].items() if isinstance(v, float) and v == v}
    with SummaryWriter(str(folder.path / "events" / "final")) as writer:
        for summary in hparams(values, dict.fromkeys(scores, 0.0)):
            writer.file_writer.add_summary(summary)
        for key, value in scores.items():
            writer.add_scalar(key, value)
