"""`lightning.Trainer` from an experiment's section ``trainer``, with what the engine adds."""

from __future__ import annotations

import logging
import warnings
from contextlib import AbstractContextManager
from typing import Any

import lightning as L
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException

from engine.config.trainer_section import TrainerSection
from engine.training.trainer_options import check_options
from semfid.errors import UserError
from semfid.scoring.arithmetic import float32_products

DEFAULTS = {
    "logger": False,
    "enable_checkpointing": False,
    "enable_model_summary": False,
    "enable_progress_bar": False,
}


def make_trainer(trainer: TrainerSection, **ours: Any) -> L.Trainer:
    """The trainer of a run; `ours` are the keywords that no file may set.

    Raises:
        UserError: a value that the engine or Lightning refuses, a device that is not there.
    """
    _check(trainer)
    keywords = trainer.written
    if trainer.sync_batchnorm and not torch.cuda.is_available():
        keywords["sync_batchnorm"] = False  # it exists on GPUs only; one YAML should serve a laptop and a cluster
    if trainer.tf32:
        keywords["precision"] = "32-true"  # `products` does the rest
    quiet_lightning()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return L.Trainer(**{**DEFAULTS, **keywords, **ours}, use_distributed_sampler=False, num_sanity_val_steps=0)
    except (MisconfigurationException, ValueError, TypeError, RuntimeError) as error:
        raise UserError(f"trainer: {' '.join(str(error).split())}") from error


def products(trainer: TrainerSection) -> AbstractContextManager[None]:
    """Float32 products of a training, an extraction or a test as its section says: of float32, or in TF32."""
    return float32_products(trainer.tf32)


def _check(trainer: TrainerSection) -> None:
    epochs = trainer.max_epochs
    if epochs is not None and epochs < 1 and epochs != -1:
        raise UserError(f"trainer.max_epochs is {epochs}; it must be at least 1")
    if trainer.fast_dev_run:
        raise UserError(
            "trainer.fast_dev_run keeps no checkpoint to evaluate; set trainer.max_epochs=1 trainer.limit_train_batches=2"
        )
    check_options(trainer)
    if "spawn" in trainer.strategy or "fork" in trainer.strategy:
        raise UserError(f"trainer.strategy: {trainer.strategy} loses what its processes compute; use ddp")
    if trainer.accelerator in ("gpu", "cuda") and not torch.cuda.is_available():
        raise UserError(
            f"trainer.accelerator is {trainer.accelerator!r} but torch sees no GPU; set trainer.accelerator=auto, or install "
            "a driver and a CUDA build of torch"
        )


def quiet_lightning() -> None:
    """Keep Lightning's banners off the screen; its warnings that matter here are errors of ours."""
    for name in ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for message in (
        ".*does not have many workers.*",
        ".*in eval mode at the start of training.*",
        ".*Found .* module.* in eval mode.*",
        ".*smaller than the logging interval.*",
        ".*Checkpoint directory .* exists.*",
        ".*LeafSpec.*",
        ".*tensorboardX.*",
        ".*srun.*",
        ".*barrier.*",
        ".*custom batch sampler.*",
        ".*predict returned None.*",
        ".*Total length of `DataLoader`.*",
    ):
        warnings.filterwarnings("ignore", message)
