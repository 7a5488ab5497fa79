"""Training through images: whenever the trunk trains, or the trainer asks for what the cached fit does not do."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor

from datamodules import Part
from datamodules.base import PairDataModule
from engine.check import make_trainer
from engine.progress import is_rank_zero, say
from lightning_modules.global_regressor import GlobalRegressor
from registry import UserError


class StepSeed(Callback):
    """Random numbers of a step (dropout) depend on seed and step alone, so that a resumed run repeats them.

    Lightning's checkpoints hold no generator state (Lightning issue 17543).
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_start(self, trainer: L.Trainer, module: L.LightningModule, batch: Any, batch_idx: int) -> None:
        torch.manual_seed((self.seed * 1_000_003 + trainer.global_step) * 1_009 + trainer.global_rank)


class FiniteLoss(Callback):
    """Ends a training whose loss is not finite, with advice."""

    def on_train_batch_end(
        self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if batch_idx % 50 == 0 and not torch.isfinite(outputs["loss"]):
            raise UserError(
                f"the loss is not finite at step {trainer.global_step}; lower model.optimizer.lr or set "
                "model.head.normalize: unit"
            )


class EpochLines(Callback):
    """A line per epoch where no bar is shown."""

    def __init__(self, title: str) -> None:
        self.title = title
        self._start = time.monotonic()

    def on_train_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        figures = {k: float(v) for k, v in trainer.callback_metrics.items() if k.startswith("val_")}
        words = " ".join(f"{name} {value:.4f}" for name, value in figures.items())
        left = (
            (time.monotonic() - self._start)
            / (trainer.current_epoch + 1)
            * ((trainer.max_epochs or 0) - trainer.current_epoch - 1)
        )
        say(
            f"{self.title} epoch {trainer.current_epoch + 1}/{trainer.max_epochs} {words} ({max(0.0, left):.0f} s left)"
        )


def fit_part(
    make_module: Callable[[], GlobalRegressor],
    data: PairDataModule,
    part: Part,
    config: dict[str, Any],
    folder: Path,
    title: str,
) -> tuple[Tensor, Tensor, dict[str, Any], int]:
    """Train on a part, go on from its last checkpoint if there is one, predict its test rows with the selected epoch.

    Args:
        folder: of the run; checkpoints go to ``checkpoints/part-<i>/``, scalars to ``events/part-<i>``.

    Returns:
        rows (n,), predictions (n,) float64, the selected state (``state_dict`` and ``trunk_identity``), its epoch.
    """
    seed, selection = int(config["seed"]), config["selection"]
    torch.manual_seed(seed)
    module = make_module()
    _freeze_unreached(module, data, part)
    if config["compile"]:
        module.trunk.compile()
    data.select(part, seed)
    checkpoints = folder / "checkpoints" / f"part-{part.index}"
    monitor = selection["monitor"] if len(part.val) and selection["monitor"] != "last" else None
    mode = "max" if monitor == "val_srcc" else "min"
    last = ModelCheckpoint(checkpoints, filename="last", save_top_k=1, enable_version_counter=False)
    best = ModelCheckpoint(
        checkpoints,
        filename="best",
        monitor=monitor,
        mode=mode,
        enable_version_counter=False,
        auto_insert_metric_name=False,
    )
    callbacks: list[Callback] = [StepSeed(seed), FiniteLoss()]
    if monitor is not None:
        callbacks.append(best)  # before `last`, which stores what `best` has seen: a resumed run must know this epoch's
        if selection["patience"] is not None:
            # Lightning counts epochs without improvement from 1 where we count from the best epoch: the same number
            callbacks.append(EarlyStopping(monitor, mode=mode, patience=selection["patience"], check_finite=False))
    callbacks.append(last)
    if not config["trainer"].get("enable_progress_bar", False):
        callbacks.append(EpochLines(title))
    logger = TensorBoardLogger(folder, name="events", version=f"part-{part.index}", default_hp_metric=False)
    trainer = make_trainer(
        config, callbacks=callbacks, logger=logger, enable_checkpointing=True, default_root_dir=folder
    )
    if any(parameter.requires_grad for parameter in module.parameters()):
        resume = checkpoints / "last.ckpt"
        if not _stopped_early(resume):
            trainer.fit(module, datamodule=data, ckpt_path=str(resume) if resume.exists() else None)
            trainer.strategy.barrier("fit")
        chosen = checkpoints / ("best.ckpt" if monitor is not None else "last.ckpt")
        state = torch.load(chosen, map_location="cpu", weights_only=True)
        module.load_state_dict(state["state_dict"])
        epoch = int(state["epoch"])
    else:
        epoch = 0
    trainer.test(module, datamodule=data, verbose=False)
    if module.predicted is None:
        raise UserError(f"{title}: the test part gave no predictions")
    rows, predictions = module.predicted
    own = {name: tensor.detach().cpu() for name, tensor in module.state_dict().items()}
    if is_rank_zero():
        logger.finalize("success")
    return rows, predictions, {"state_dict": own, "trunk_identity": module.trunk.identity}, epoch


def _freeze_unreached(module: GlobalRegressor, data: PairDataModule, part: Part) -> None:
    """Freeze what the head's score does not depend on: a CLIP tower's attention pooling under a head on stages.

    It would never get a gradient; DDP ends a training that has such parameters.
    """
    if not any(parameter.requires_grad for parameter in module.trunk.parameters()):
        return
    row = int(part.train[0])
    images = [
        data.dataset.image(paths[row]).float() / 255.0 for paths in (data.dataset.reference, data.dataset.candidate)
    ]
    module.eval()
    module(images[0].unsqueeze(0), images[1].unsqueeze(0)).sum().backward()
    for parameter in module.parameters():
        parameter.requires_grad_(parameter.grad is not None)
    module.zero_grad(set_to_none=True)
    module.train()


def _stopped_early(checkpoint: Path) -> bool:
    """Whether early stopping had ended the training that wrote a checkpoint: it must not go on by one epoch more."""
    if not checkpoint.exists():
        return False
    states = torch.load(checkpoint, map_location="cpu", weights_only=True)["callbacks"]
    return any(key.startswith("EarlyStopping") and state["stopped_epoch"] > 0 for key, state in states.items())
