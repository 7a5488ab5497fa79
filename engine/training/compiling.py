"""torch.compile of what a training step runs, where that pays back."""

from __future__ import annotations

import lightning as L
import torch

from datamodules.loaders import LoadingModule
from engine.config.schema import RunConfig
from engine.rank_zero import log
from engine.training.trainer_options import limited, total_batches

# steps after which the first call's minute is won back, at the 28 ms that a step of 64 pairs through a ResNet-50 gains on a GPU
PAYS_BACK = 3000


def compile_where_it_pays(module: L.LightningModule, data: LoadingModule, config: RunConfig) -> bool:
    """Compile a module's step, as the experiment's key `compile` says, after the data's part is chosen.

    Args:
        module: a `PairModule` or an `ImageTask`; it implements `compile_step`.

    Returns:
        whether it was compiled.
    """
    wanted = pays_back(data, config) if config.compile == "auto" else config.compile
    if not wanted or getattr(module, "backbone", None) is None:
        return False
    module.compile_step()  # type: ignore[operator]
    if config.compile == "auto":
        log.info("the training step is compiled, which takes about a minute; compile=false leaves that out")
    return True


def pays_back(data: LoadingModule, config: RunConfig) -> bool:
    """Whether ``compile: auto`` compiles: a GPU, images of one size, and steps enough."""
    if not config.trainer.on_gpu or not torch.cuda.is_available() or data.loader.resize in ("none", "bounded"):
        return False
    batches = -(-len(data.rows_of("train")) // data.loader.batch_size)
    steps = total_batches(config.trainer, limited(batches, config.trainer.limit_train_batches))
    return steps is None or steps >= PAYS_BACK
