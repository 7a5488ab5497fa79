"""Training on single images: train, evaluate on the held-out ones, give what the module made."""

from __future__ import annotations

import pandas as pd
import torch

from datamodules import ImageDataModule
from engine.config.expansion import Variant
from engine.config.schema import RunConfig
from engine.rank_zero import is_rank_zero
from engine.runs.context import RunContext
from engine.runs.lifecycle import Outcome
from engine.runs.run_folder import RunFolder
from engine.training.compiling import compile_where_it_pays
from engine.training.trainer import train_and_test
from lightning_modules.image_module import ImageTask
from registry import LIGHTNING_MODULES
from semfid.errors import UserError


def make_task(config: RunConfig, context: RunContext) -> ImageTask:
    """The module of a variant, before it has seen its data.

    Raises:
        UserError: whatever is wrong with the backbone or the module's keywords.
    """
    model = config.needed_model
    backbone = context.backbone(config) if "backbone" in model.written else None
    module = LIGHTNING_MODULES.build(model.name, backbone, **model.module_keywords)
    if not isinstance(module, ImageTask):
        raise UserError(f"model: lightning module '{model.name}' is not a lightning_modules.image_module.ImageTask")
    return module


def train_task(variant: Variant, context: RunContext, folder: RunFolder, title: str) -> Outcome:
    """Train one variant and evaluate it; what its module makes goes to the folder.

    Raises:
        UserError: whatever is wrong.
    """
    config, data = variant.config, context.images(variant.config)
    torch.manual_seed(variant.seed)
    module = make_task(config, context)
    module.prepare(data.listed)
    before = module.backbone.identity if module.backbone is not None else None
    data.select(variant.seed)
    compile_where_it_pays(module, data, config)
    # the schema's default, val_mse, is of pairs: to a module that does not log it, it means the last epoch
    wanted = config.selection.monitor
    monitor = wanted if wanted in module.monitors and len(data.rows["val"]) else None
    mode = module.monitors[monitor] if monitor is not None else "min"
    trainer, epoch = train_and_test(
        module, data, config, folder.path, "fit", title, monitor, mode, "lower model.optimizer.lr"
    )
    barrier = lambda: trainer.strategy.barrier("saved")  # noqa: E731 - what follows on the other processes may read the files
    if not is_rank_zero():
        return Outcome(after=barrier)
    module.save(folder.path)
    if trainer.logger is not None:
        trainer.logger.finalize("success")
    return Outcome(
        _tables(data, module),
        {"figures": module.figures, "part": data.test_part, "images": len(data.test_rows)},
        {
            "trunk_identity": before,
            "trainable_parameters": sum(p.numel() for p in module.parameters() if p.requires_grad),
            "selected_epoch": epoch,
            "steps": int(trainer.global_step),
        },
        " ".join(f"{name} {value:.3f}" for name, value in module.figures.items()),
        barrier,
    )


def _tables(data: ImageDataModule, module: ImageTask) -> dict[str, pd.DataFrame]:
    """How the images were split, and one row of results per held-out image, where the module has some."""
    paths = list(data.table.paths)
    side = {int(row): part for part, rows in data.rows.items() for row in rows}
    tables = {"split.csv": pd.DataFrame({"image": paths, "split": [side[row] for row in range(len(paths))]})}
    if module.results is not None:
        columns = {name: values.numpy() for name, values in module.results.items() if name != "row"}
        rows = module.results["row"].tolist()
        tables["results.csv"] = pd.DataFrame({"image": [paths[row] for row in rows], **columns})
    return tables
