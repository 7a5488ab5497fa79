"""Training through images: whenever the backbone trains, or the trainer asks for what the cached fit does not do."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TypedDict

import torch
from torch import Tensor

from datamodules import Part
from datamodules.base import PairDataModule
from engine.config.schema import RunConfig
from engine.rank_zero import is_rank_zero
from engine.training.compiling import compile_where_it_pays
from engine.training.exact_fit import ExactSettings, exact_settings, fit_head, starts_exactly
from engine.training.trainer import train_and_test
from heads import Head
from lightning_modules.pair_module import PairModule
from semfid.errors import UserError


class PartState(TypedDict):
    """What scoring needs of a trained part.

    Attributes:
        state_dict: of the head, and of what trained of the backbone.
        trunk_identity: `Backbone.identity`.
    """

    state_dict: dict[str, Tensor]
    trunk_identity: str  # as files have it since 0.1: of the backbone


def fit_part(
    make_module: Callable[[], PairModule],
    data: PairDataModule,
    part: Part,
    config: RunConfig,
    folder: Path,
    title: str,
) -> tuple[Tensor, Tensor, PartState, int]:
    """Train on a part, go on from its last checkpoint if there is one, predict its test rows with the selected epoch.

    Args:
        folder: of the run; checkpoints go to ``checkpoints/part-<i>/``, scalars to ``events/part-<i>``.

    Returns:
        rows (n,), predictions (n,) float64, the selected state (``state_dict`` and ``trunk_identity``), its epoch.
    """
    torch.manual_seed(config.seed)
    module = make_module()
    if starts_exactly(config):
        module.start_head = functools.partial(_start, exact_settings(config), data, part.index)
    _freeze_unreached(module, data, part)
    data.select(part, config.seed, maps=module.needs_maps)
    compile_where_it_pays(module, data, config)
    monitor = config.selection.monitor if len(part.val) and config.selection.monitor != "last" else None
    trainer, epoch = train_and_test(
        module,
        data,
        config,
        folder,
        f"part-{part.index}",
        title,
        monitor,
        "max" if monitor == "val_srcc" else "min",
        "lower model.optimizer.lr or set model.head.normalize: unit",
    )
    if module.predicted is None:
        raise UserError(f"{title}: the test part gave no predictions")
    rows, predictions = module.predicted
    own = {name: tensor.detach().cpu() for name, tensor in module.state_dict().items()}
    if is_rank_zero() and trainer.logger is not None:
        trainer.logger.finalize("success")
    return rows, predictions, PartState(state_dict=own, trunk_identity=module.backbone.identity), epoch


def _start(
    settings: ExactSettings, data: PairDataModule, part: int, head: Head, features: Tensor, rows: Tensor
) -> None:
    """Set a head to the exact fit on training pairs; it may stand on any device."""
    on, rows = features.device, rows.cpu()
    sources = data.table.frame["source_id"].astype(str).to_numpy()[rows.numpy()].tolist()
    fit_head(head.cpu(), settings, features.cpu(), data.difference[rows], data.weight[rows], sources, part)
    head.to(on)


def _freeze_unreached(module: PairModule, data: PairDataModule, part: Part) -> None:
    """Freeze what the head's score does not depend on: a CLIP tower's attention pooling under a head on stages.

    It would never get a gradient; DDP ends a training that has such parameters.
    """
    if not any(parameter.requires_grad for parameter in module.backbone.parameters()):
        return
    row = int(part.train[0])
    images = [
        data.dataset.image(paths[row]).float() / 255.0 for paths in (data.dataset.reference, data.dataset.candidate)
    ]
    module.eval()
    module.reached(images[0].unsqueeze(0), images[1].unsqueeze(0)).backward()
    for parameter in module.parameters():
        parameter.requires_grad_(parameter.grad is not None)
    module.zero_grad(set_to_none=True)
    module.train()
