"""One variant that trains on single images: train, evaluate on the held-out ones, save what the module made."""

from __future__ import annotations

import time
from typing import Any

import pandas as pd
import torch

from datamodules import ImageDataModule
from engine.config.module_types import task_class, task_monitor
from engine.config.schema import Variant
from engine.rank_zero import is_rank_zero, log
from engine.runs.context import Workbench
from engine.runs.lifecycle import attempt
from engine.runs.provenance import provenance
from engine.runs.run_folder import RunFolder
from engine.training.trainer import train_and_test
from lightning_modules.image_module import ImageTask
from registry import LIGHTNING_MODULES, named
from semfid.errors import UserError
from semfid.io.files import write_whole


def run_task(variant: Variant, bench: Workbench, title: str = "", folder: RunFolder | None = None) -> RunFolder:
    """Train and evaluate one variant unless it is done; every process of a DDP run calls it.

    Args:
        folder: where it goes; default: a folder of the experiment.

    Raises:
        UserError: whatever is wrong; the run's state is then ``failed``.
    """
    folder = folder or RunFolder.of(variant, bench.data_hash(variant.config))
    if folder.state == "done":
        return folder
    if not is_rank_zero():
        _train(variant, bench, folder, title, 0.0)
        return folder
    return attempt(variant, folder, title, lambda start: _train(variant, bench, folder, title, start))


def make_task(config: dict[str, Any], bench: Workbench) -> ImageTask:
    """The module of a variant, before it has seen its data.

    Raises:
        UserError: whatever is wrong with the trunk or the module's keywords.
    """
    name, keywords = named(config["model"], "model")
    trunk = bench.trunk(config) if "backbone" in keywords else None
    module = LIGHTNING_MODULES.build(name, trunk, **{k: v for k, v in keywords.items() if k != "backbone"})
    if not isinstance(module, ImageTask):
        raise UserError(f"model: lightning module '{name}' is not a lightning_modules.image_module.ImageTask")
    return module


def _train(variant: Variant, bench: Workbench, folder: RunFolder, title: str, start: float) -> None:
    config, data = variant.config, bench.images(variant.config)
    task = task_class(config)
    torch.manual_seed(variant.seed)
    module = make_task(config, bench)
    module.prepare(data.listed)
    before = module.trunk.identity if module.trunk is not None else None
    if config["compile"] and module.trunk is not None:
        module.trunk.compile()
    data.select(variant.seed)
    monitor = task_monitor(task, config) if task is not None and len(data.rows["val"]) else None
    mode = module.monitors[monitor] if monitor is not None else "min"
    trainer, epoch = train_and_test(
        module, data, config, folder.path, "fit", title, monitor, mode, "lower model.optimizer.lr"
    )
    if is_rank_zero():
        module.save(folder.path)
        facts = {
            "trunk_identity": before,
            "trainable_parameters": sum(p.numel() for p in module.parameters() if p.requires_grad),
            "selected_epoch": epoch,
            "steps": int(trainer.global_step),
            "wall_s": round(time.monotonic() - start, 3),
        }
        if trainer.logger is not None:
            trainer.logger.finalize("success")
        _finish(variant, bench, folder, data, module, facts)
    trainer.strategy.barrier("saved")  # what follows on the other processes may read the files


def _finish(
    variant: Variant,
    bench: Workbench,
    folder: RunFolder,
    data: ImageDataModule,
    module: ImageTask,
    facts: dict[str, Any],
) -> None:
    """Per-image results, figures, provenance; the state ``done`` comes last."""
    paths = list(data.table.paths)
    side = {int(row): part for part, rows in data.rows.items() for row in rows}
    split = pd.DataFrame({"image": paths, "split": [side[row] for row in range(len(paths))]})
    write_whole(folder.path / "split.csv", split.to_csv(index=False).encode())
    if module.results is not None:
        columns = {name: values.numpy() for name, values in module.results.items() if name != "row"}
        rows = module.results["row"].tolist()
        table = pd.DataFrame({"image": [paths[row] for row in rows], **columns})
        write_whole(folder.path / "results.csv", table.to_csv(index=False).encode())
    content = {
        **provenance(),
        "seed": variant.seed,
        "table": data.table.name,
        "table_hash": data.table.content_hash(),
        "data_hash": bench.data_hash(variant.config),
        **facts,
    }
    folder.write_json("provenance.json", content)
    figures = {"figures": module.figures, "part": data.test_part, "images": len(data.test_rows)}
    folder.write_json("metrics.json", figures)
    folder.set_state("done")
    words = " ".join(f"{name} {value:.3f}" for name, value in module.figures.items())
    log.info(f"{folder.path.name}: {words} ({facts['wall_s']:.1f} s)")
