"""What all modules that train share: the optimiser, the loss of a step, and values that are gathered once from all processes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import lightning as L
import torch
from torch import Tensor

from backbones import Backbone
from backbones.contract import rename_keys
from datamodules.batches import ImageBatch, PairBatch
from lightning_modules.gather import gather_rows
from lightning_modules.optimizers import build_optimizer, build_schedule, check_optimizer


class TrainedModule(L.LightningModule):
    """A backbone that may train, and what trains beside it, on pairs (`PairModule`) or on single images (`ImageTask`).

    A subclass implements `evaluate`, which calls `collect`, and computes its figures from `gathered` at the end of an epoch: once
    per item and in the order of rows, so that they do not depend on the number of processes.

    Args:
        backbone: a `backbones.Backbone`, or None for a module that needs none.
        optimizer: ``{name: ..., lr: ..., backbone_lr: ..., schedule: constant | cosine, ...}``.
    """

    default_optimizer: ClassVar[Mapping[str, Any]]

    def __init__(self, backbone: Backbone | None, optimizer: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self.optimizer_config = dict(optimizer or self.default_optimizer)
        check_optimizer(self.optimizer_config)
        self.backbone: Any = backbone
        self.register_load_state_dict_pre_hook(_take_old_keys)
        self._rows: list[Tensor] = []
        self._columns: dict[str, list[Tensor]] = {}

    @classmethod
    def check(cls, keywords: Mapping[str, Any]) -> None:
        """Check keywords together and beyond their types, before anything is built.

        Raises:
            UserError: what cannot be; names ``model.<key>``.
        """

    def evaluate(self, batch: Any) -> None:
        """`collect` what figures and results are made of."""
        raise NotImplementedError(f"{type(self).__name__} must implement evaluate")

    def configure_optimizers(self) -> Any:
        backbone = [] if self.backbone is None else [own for own in self.backbone.parameters() if own.requires_grad]
        known = {id(parameter) for parameter in backbone}
        rest = [own for own in self.parameters() if own.requires_grad and id(own) not in known]
        if not rest and not backbone:
            return None
        optimizer = build_optimizer(self.optimizer_config, rest, backbone)
        schedule = build_schedule(self.optimizer_config, optimizer, int(self.trainer.estimated_stepping_batches))
        if schedule is None:
            return optimizer
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def step_loss(self, total: Tensor, batch: PairBatch | ImageBatch) -> Tensor:
        """The loss of a step, from the SUM over this process's items; N processes then take the steps of one."""
        # DDP averages gradients over processes; this makes the average the mean over the whole batch
        loss = total * (self.trainer.world_size / batch.total)
        self.log("train/loss", loss.detach(), on_step=True, on_epoch=False, batch_size=len(batch.row))
        return loss

    def validation_step(self, batch: Any, batch_index: int) -> None:
        self.evaluate(batch)

    def test_step(self, batch: Any, batch_index: int) -> None:
        self.evaluate(batch)

    def log_validation(self, figures: Mapping[str, float]) -> None:
        """Log figures by their names; they are equal on every process already."""
        for name, value in figures.items():
            self.log(name, value, rank_zero_only=False, sync_dist=False)

    def collect(self, rows: Tensor, columns: Mapping[str, Tensor]) -> None:
        """Keep what a validation or test step computed.

        Args:
            rows: (B,) rows of the items.
            columns: (B,) or (B, K) values by name, the same names at every step.
        """
        self._rows.append(rows.cpu())
        for name, values in columns.items():
            self._columns.setdefault(name, []).append(values.detach().double().cpu())

    def gathered(self) -> dict[str, Tensor]:
        """What all processes collected since the last call: ``row`` (N,) int64, and (N,) or (N, K) float64 by name."""
        names = list(self._columns)
        pieces = [torch.cat(self._columns[name]) for name in names]
        widths = [1 if piece.dim() == 1 else piece.shape[1] for piece in pieces]
        flat = torch.cat([piece.reshape(len(piece), -1) for piece in pieces], dim=1)  # (n, sum of widths)
        rows, values = gather_rows(torch.cat(self._rows), flat)  # (N,), (N, sum of widths)
        found = {"row": rows}
        for name, piece, own in zip(names, pieces, values.split(widths, dim=1), strict=True):
            found[name] = own.squeeze(1) if piece.dim() == 1 else own
        self._rows, self._columns = [], {}
        return found


def _take_old_keys(_module: Any, state: dict[str, Any], prefix: str, *_: Any) -> None:
    rename_keys(state, f"{prefix}trunk.", f"{prefix}backbone.")  # the backbone renames what is below it
