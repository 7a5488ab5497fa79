"""What every training through images shares: checkpoints, selection, going on after a cut, scalars, lines per epoch."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Literal

import lightning as L
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger

from engine.config.schema import RunConfig
from engine.rank_zero import log
from engine.training.checkpoints import BEST, LAST, Checkpoint, going_on, read_checkpoint, stopped_early
from engine.training.lightning_trainer import make_trainer, products
from engine.training.trainer_options import LAST_EPOCH, check_steps
from semfid.errors import UserError


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
        metrics = {k: float(v) for k, v in trainer.callback_metrics.items() if k.startswith("val_")}
        words = " ".join(f"{name} {value:.4f}" for name, value in metrics.items())
        left = (
            (time.monotonic() - self._start)
            / (trainer.current_epoch + 1)
            * ((trainer.max_epochs or 0) - trainer.current_epoch - 1)
        )
        log.info(
            f"{self.title} epoch {trainer.current_epoch + 1}/{trainer.max_epochs} {words} ({max(0.0, left):.0f} s left)"
        )


def train_and_test(
    module: L.LightningModule,
    data: L.LightningDataModule,
    config: RunConfig,
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
        monitor: logged metric that selects the epoch; None: the last epoch.
        mode: whether ``min`` or ``max`` of it is best.
        advice: what to do about a loss that is not finite.

    Returns:
        the trainer, and the selected epoch (0 where nothing trains).
    """
    checkpoints = folder / "checkpoints" / name
    # after each epoch, whether or not it was validated: a training without selection ends with it
    last = ModelCheckpoint(
        checkpoints, filename="last", save_top_k=1, enable_version_counter=False, save_on_train_epoch_end=True
    )
    best = ModelCheckpoint(
        checkpoints,
        filename="best",
        monitor=monitor,
        mode=mode,
        enable_version_counter=False,
        auto_insert_metric_name=False,
    )
    callbacks: list[Callback] = [StepSeed(config.seed), FiniteLoss(advice)]
    if monitor is not None:
        callbacks.append(best)  # before `last`, which stores what `best` has seen: a resumed run must know this epoch's
        if config.selection.patience is not None:
            # Lightning counts epochs without improvement from 1 where we count from the best epoch: the same number
            callbacks.append(EarlyStopping(monitor, mode=mode, patience=config.selection.patience, check_finite=False))
    callbacks.append(last)
    if not config.trainer.enable_progress_bar:
        callbacks.append(EpochLines(title))
    logger = TensorBoardLogger(folder, name="events", version=name, default_hp_metric=False)
    trainer = make_trainer(
        config.trainer, callbacks=callbacks, logger=logger, enable_checkpointing=True, default_root_dir=folder
    )
    with products(config.trainer):
        return trainer, _train_and_test(trainer, module, data, config, checkpoints, title, monitor)


def _train_and_test(
    trainer: L.Trainer,
    module: L.LightningModule,
    data: L.LightningDataModule,
    config: RunConfig,
    checkpoints: Path,
    title: str,
    monitor: str | None,
) -> int:
    """The selected epoch."""
    epoch = 0
    if any(parameter.requires_grad for parameter in module.parameters()):
        check_steps(config.trainer, len(data.train_dataloader()), len(data.val_dataloader()), monitor)
        cut_off = going_on(checkpoints, monitor is not None, title)
        if cut_off is None or not stopped_early(cut_off):
            _fit(trainer, module, data, None if cut_off is None else checkpoints / LAST)
        state = _selected(checkpoints / (LAST if monitor is None else BEST))
        module.load_state_dict(state["state_dict"])
        epoch = int(state["epoch"])
    trainer.test(module, datamodule=data, verbose=False)
    return epoch


def _fit(trainer: L.Trainer, module: L.LightningModule, data: L.LightningDataModule, resume: Path | None) -> None:
    try:
        trainer.fit(module, datamodule=data, ckpt_path=None if resume is None else str(resume))
    except MisconfigurationException as error:  # of the section trainer: what Lightning sees when it has the loaders
        raise UserError(f"trainer: {' '.join(str(error).split())}") from error
    trainer.strategy.barrier("fit")


def _selected(path: Path) -> Checkpoint:
    if not path.exists():
        raise UserError(
            f"no epoch was {'validated' if path.name == BEST else 'finished'}, so there is none to evaluate; remove the limits "
            f"from trainer, or {LAST_EPOCH}"
        )
    state = read_checkpoint(path)
    if state is None:
        raise UserError(f"{path} was changed while this run used it; run the same command again")
    return state
