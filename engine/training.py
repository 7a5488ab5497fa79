"""What every training through images shares: checkpoints, selection, going on after a cut, scalars, lines per epoch."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Literal

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger

from engine.check import make_trainer
from engine.progress import say
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

    def __init__(self, advice: str) -> None:
        self.advice = advice

    def on_train_batch_end(
        self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if batch_idx % 50 == 0 and not torch.isfinite(outputs["loss"]):
            raise UserError(f"the loss is not finite at step {trainer.global_step}; {self.advice}")


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


def train_and_test(
    module: L.LightningModule,
    data: L.LightningDataModule,
    config: dict[str, Any],
    folder: Path,
    name: str,
    title: str,
    monitor: str | None,
    mode: Literal["min", "max"],
    advice: str,
) -> tuple[L.Trainer, int]:
    """Train, going on from the last checkpoint if there is one; load the selected epoch; run the test loader.

    Args:
        folder: of the run; checkpoints go to ``checkpoints/<name>/``, scalars to ``events/<name>``.
        monitor: logged figure that selects the epoch; None: the last epoch.
        mode: whether ``min`` or ``max`` of it is best.
        advice: what to do about a loss that is not finite.

    Returns:
        the trainer, and the selected epoch (0 where nothing trains).
    """
    selection, checkpoints = config["selection"], folder / "checkpoints" / name
    last = ModelCheckpoint(checkpoints, filename="last", save_top_k=1, enable_version_counter=False)
    best = ModelCheckpoint(
        checkpoints,
        filename="best",
        monitor=monitor,
        mode=mode,
        enable_version_counter=False,
        auto_insert_metric_name=False,
    )
    callbacks: list[Callback] = [StepSeed(int(config["seed"])), FiniteLoss(advice)]
    if monitor is not None:
        callbacks.append(best)  # before `last`, which stores what `best` has seen: a resumed run must know this epoch's
        if selection["patience"] is not None:
            # Lightning counts epochs without improvement from 1 where we count from the best epoch: the same number
            callbacks.append(EarlyStopping(monitor, mode=mode, patience=selection["patience"], check_finite=False))
    callbacks.append(last)
    if not config["trainer"].get("enable_progress_bar", False):
        callbacks.append(EpochLines(title))
    logger = TensorBoardLogger(folder, name="events", version=name, default_hp_metric=False)
    trainer = make_trainer(
        config, callbacks=callbacks, logger=logger, enable_checkpointing=True, default_root_dir=folder
    )
    epoch = 0
    if any(parameter.requires_grad for parameter in module.parameters()):
        resume = checkpoints / "last.ckpt"
        if not _stopped_early(resume):
            trainer.fit(module, datamodule=data, ckpt_path=str(resume) if resume.exists() else None)
            trainer.strategy.barrier("fit")
        chosen = checkpoints / ("best.ckpt" if monitor is not None else "last.ckpt")
        state = torch.load(chosen, map_location="cpu", weights_only=True)
        module.load_state_dict(state["state_dict"])
        epoch = int(state["epoch"])
    trainer.test(module, datamodule=data, verbose=False)
    return trainer, epoch


def _stopped_early(checkpoint: Path) -> bool:
    """Whether early stopping had ended the training that wrote a checkpoint: it must not go on by one epoch more."""
    if not checkpoint.exists():
        return False
    states = torch.load(checkpoint, map_location="cpu", weights_only=True)["callbacks"]
    return any(key.startswith("EarlyStopping") and state["stopped_epoch"] > 0 for key, state in states.items())
