"""One variant: train, evaluate, save."""

from __future__ import annotations

import functools
import io
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from backbones import Backbone
from datamodules.base import PairDataModule
from engine.attempt import attempt
from engine.cache import StatisticsCache
from engine.check import make_trainer
from engine.config import Variant
from engine.extract import Statistic, extract
from engine.fit_cached import FitSettings, Fitted, FoldResult, fit_heads, predict_heads
from engine.fit_exact import CACHED_TRAINER_KEYS, ExactFit, border_notes, exact_settings, fit_exactly, fit_of
from engine.fit_lightning import fit_part
from engine.fit_task import run_task
from engine.init_from import InitialWeights
from engine.kinds import task_class
from engine.pretraining import pretrained
from engine.progress import is_rank_zero, progress, say
from engine.provenance import provenance
from engine.results import run_figures
from engine.run_folder import RunFolder
from engine.workbench import Workbench as Workbench
from heads import Head, build_head
from lightning_modules.global_regressor import GLOBAL_STATISTICS, GlobalRegressor
from lightning_modules.pair_module import PairModule, named
from pairs import write_atomically
from registry import LIGHTNING_MODULES, UserError


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


def _make_module(config: dict[str, Any], trunk: Backbone) -> PairModule:
    name, keywords = named(config["model"], "model")
    module = LIGHTNING_MODULES.build(name, trunk, **{k: v for k, v in keywords.items() if k != "backbone"})
    if not isinstance(module, PairModule):
        raise UserError(f"model: lightning module '{name}' is not a lightning_modules.PairModule; the engine cannot train it")
    return module


def _train(variant: Variant, bench: Workbench, folder: RunFolder, title: str) -> tuple[pd.DataFrame, dict[str, Any]]:
    config, data = variant.config, bench.data(variant.config)
    torch.manual_seed(variant.seed)
    if any(len(part.train) == 0 for part in data.parts):
        raise UserError("data.split.test: 1 leaves no pair to train on; give a smaller share, or folds")
    start = InitialWeights.of(config)
    if start is not None:
        start.check_data(data)
    trunk = bench.trunk(config)
    module = _make_module(config, trunk)
    epochs = config["trainer"].get("max_epochs")
    cacheable = (
        isinstance(module, GlobalRegressor)
        and trunk.tuning == "frozen"
        and data.fixed_images  # statistics are of images as they are
        and module.head.consumes in GLOBAL_STATISTICS
        # grids are as many as the image has positions: of images of one size alone
        and (module.head.consumes != "difference_grids" or data.loader.resize not in ("none", "bounded"))
        and set(config["trainer"]) <= CACHED_TRAINER_KEYS
    )
    exact = cacheable and fit_of(config) == "exact"
    if config.get("fit") == "exact" and not exact:
        raise UserError("fit: exact needs images that are the same in every epoch; set data.resize: squash, or fit: gradient")
    cached = exact or (cacheable and isinstance(epochs, int) and epochs > 0)
    columns = {"fold": np.full(len(data.table), -1), "predicted": np.full(len(data.table), np.nan)}
    facts: dict[str, Any] = {
        "trunk_identity": trunk.identity,
        "fit": "exact, cached statistics" if exact else "cached statistics" if cached else "images",
        "trainable_parameters": sum(p.numel() for p in module.parameters() if p.requires_grad),
        **({} if start is None else {"init_from": str(start.folder)}),
    }
    if cached:
        facts |= _train_cached(variant, bench, folder, module, columns, title, start, exact)
    else:
        facts["selected_epochs"] = _train_images(variant, bench, folder, columns, title, start)
    return prediction_table(data, columns), facts


def _train_cached(
    variant: Variant,
    bench: Workbench,
    folder: RunFolder,
    module: PairModule,
    columns: dict[str, Any],
    title: str,
    start: InitialWeights | None,
    exact: bool,
) -> dict[str, Any]:
    """Fit heads on cached statistics; predictions go into `columns`, heads and scalars into the folder.

    Returns:
        facts for the provenance.
    """
    config, data, trunk = variant.config, bench.data(variant.config), module.trunk
    values = _statistics(config, bench, module, title)
    if not is_rank_zero():
        return {}
    make = functools.partial(_make_head, config, trunk)
    if exact:
        fits = fit_exactly(
            make,
            exact_settings(config),
            values,
            data.difference,
            data.weight,
            data.table.frame["source_id"].astype(str).tolist(),
            data.parts,
        )
        for note in border_notes(fits):
            say(f"{title or variant.label}: {note}")
        _keep(folder, fits, values, columns, trunk)
        _write_history(folder, {fit.part.index: _penalty_path(fit) for fit in fits})
        return {
            "penalties": [fit.choice.penalty for fit in fits],
            "penalty_notes": border_notes(fits),
        }
    results = _fit_by_gradient(variant, data, module, make, values, start)
    _keep(folder, results, values, columns, trunk)
    _write_history(folder, {result.part.index: result.history for result in results})
    return {"selected_epochs": [result.epoch for result in results]}


def _make_head(config: dict[str, Any], trunk: Backbone) -> Head:
    return _make_module(config, trunk).head


def _fit_by_gradient(
    variant: Variant,
    data: PairDataModule,
    module: PairModule,
    make: Callable[[], Head],
    values: Tensor,
    start: InitialWeights | None,
) -> list[FoldResult]:
    config = variant.config
    settings = FitSettings(
        optimizer=module.optimizer_config,
        epochs=config["trainer"]["max_epochs"],
        batch_size=data.loader.batch_size,
        seed=variant.seed,
        monitor=config["selection"]["monitor"],
        patience=config["selection"]["patience"],
    )
    load = None if start is None else lambda head, part: start.load_head(head, module.trunk, part.index)
    return fit_heads(make, module.loss, values, data.difference, data.weight, data.parts, settings, load)


def _statistics(config: dict[str, Any], bench: Workbench, module: PairModule, title: str) -> Tensor:
    """(N, ...) what the head consumes, for all pairs of the table, out of the cache or computed."""
    trainer = make_trainer(config)
    cache = None
    if config["cache"]["enabled"]:
        cache = StatisticsCache(Path(config["cache"]["folder"]), int(config["cache"]["max_gb"] * 1e9))
    own = Statistic.of(module.head)
    statistics = list(own) if cache is None else _shared_statistics(config, bench, module.trunk, own)
    with progress(f"{title} features") as advance:
        found = extract(module.trunk, bench.data(config), statistics, trainer, cache, advance)
    return found[own[0]] if len(own) == 1 else torch.cat([found[statistic] for statistic in own], dim=1)


def _keep(
    folder: RunFolder,
    results: Sequence[Fitted],
    values: Tensor,
    columns: dict[str, Any],
    trunk: Backbone,
) -> None:
    """Each part's predictions of its test rows, and its head in the run's folder."""
    for result, predicted in zip(results, predict_heads(results, values), strict=True):
        columns["fold"][result.part.test] = result.part.index
        columns["predicted"][result.part.test] = predicted.numpy()
        state = {f"head.{name}": tensor for name, tensor in result.head.state_dict().items()}
        _save_state(folder, result.part.index, {"state_dict": state, "trunk_identity": trunk.identity})


def _penalty_path(fit: ExactFit) -> list[dict[str, float]]:
    """Scalars per penalty tried, largest first."""
    return [
        {"log10_penalty": float(np.log10(penalty)), "left_out_loss": float(loss)}
        for penalty, loss in zip(fit.choice.penalties, fit.choice.left_out_loss, strict=False)
    ]


def _shared_statistics(
    config: dict[str, Any], bench: Workbench, trunk: Backbone, own: Sequence[Statistic]
) -> list[Statistic]:
    """What this variant's head consumes, and what the coming variants on the same trunk and data do: one pass serves all."""
    place = config["data"], config["model"]["backbone"], config["trainer"]
    if repr(place) in bench.shared:  # asked already; heads can be large, and every run would build all of them
        return list(own)
    bench.shared.add(repr(place))
    heads: list[Any] = []
    for other in bench.coming:
        head = other["model"].get("head")
        if (other["data"], other["model"].get("backbone"), other["trainer"]) == place and head not in (None, *heads):
            heads.append(head)
    found = dict.fromkeys(own)
    with torch.random.fork_rng(devices=[]):  # these heads are only asked what they want
        for head in heads:
            name, keywords = named(head, "model.head")
            try:
                built = build_head(name, trunk, keywords)
            except Exception:  # noqa: BLE001 - whatever is wrong with another variant's head, its own run will say it
                continue
            if built.consumes in GLOBAL_STATISTICS:
                found.update(dict.fromkeys(Statistic.of(built)))
    return list(found)


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
            module = _make_module(config, bench.trunk(config))
            if start is not None:
                start.load_module(module, part)
            return module

        name = f"{title} part {part.index + 1}/{len(data.parts)}" if len(data.parts) > 1 else title
        found, predicted, state, epoch = fit_part(make, data, part, config, folder.path, name)
        columns["fold"][found.numpy()], columns["predicted"][found.numpy()] = part.index, predicted.numpy()
        epochs.append(epoch)
        if is_rank_zero():
            _save_state(folder, part.index, state)
            table = pd.DataFrame({"row": found.numpy(), "predicted": predicted.numpy(), "epoch": epoch})
            write_atomically(finished, table.to_csv(index=False).encode())
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


def _save_state(folder: RunFolder, part: int, state: dict[str, Any]) -> None:
    """What scoring needs of a trained part: head (and what trained of the trunk), and the trunk's identity."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_atomically(folder.path / f"part-{part}.ckpt", buffer.getvalue())


def _write_history(folder: RunFolder, histories: dict[int, list[dict[str, float]]]) -> None:
    """Scalars of each part, step by step (epochs, or penalties)."""
    from torch.utils.tensorboard import SummaryWriter

    for part, history in histories.items():
        with SummaryWriter(str(folder.path / "events" / f"part-{part}")) as writer:
            for step, figures in enumerate(history):
                for name, value in figures.items():
                    writer.add_scalar(name.replace("train_", "train/"), value, step)


def finish_run(
    variant: Variant, bench: Workbench, folder: RunFolder, predictions: pd.DataFrame, facts: dict[str, Any]
) -> None:
    """Predictions, figures, provenance; the state ``done`` comes last."""
    config, data = variant.config, bench.data(variant.config)
    figures = run_figures(predictions, config["evaluation"])
    write_atomically(folder.path / "predictions.csv", predictions.to_csv(index=False).encode())
    split = data.table.frame[[c for c in ("pair_id", "source_id", "split", "fold") if c in data.table.frame.columns]]
    write_atomically(folder.path / "split.csv", split.to_csv(index=False).encode())
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
    say(f"{folder.path.name}: SRCC {_digits(pooled['srcc'])} MSE {_digits(pooled['mse'])} ({facts['wall_s']:.1f} s)")


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
