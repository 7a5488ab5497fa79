"""The contract of a module that trains on single images: what the engine needs to train, judge and save it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import lightning as L
import torch
from torch import Tensor, nn

from backbones import Backbone
from datamodules.batches import ImageList
from lightning_modules.gather import gather_rows
from lightning_modules.optimizers import build_optimizer, build_schedule, check_optimizer
from semfid.errors import UserError

DEFAULT_OPTIMIZER = {"name": "adamw", "lr": 1e-3, "schedule": "cosine"}


class ImageTask(L.LightningModule):
    """Learns from `batch.ImageBatch`. Register a subclass in `LIGHTNING_MODULES`; it must be a class, whose first
    parameter is `trunk`.

    Life: the engine builds it, calls ``prepare(listed)`` once, before training, on every process; Lightning trains it;
    ``trainer.test`` on the held-out images fills `figures` (and `results`); process 0 calls ``save(folder)``.

    A subclass implements ``training_step`` (divide a SUM over images by ``batch.total`` and multiply by
    ``trainer.world_size``: a run on N processes then takes the steps of a run on one), ``test_step`` and
    ``on_test_epoch_end``, ``save``; with selection also ``validation_step`` and ``on_validation_epoch_end``, where it logs
    the figures of `monitors`. `collect` and `gathered` bring what was computed per image together, once per image
    and in the order of rows, so that figures do not depend on the number of processes.

    Attributes:
        needs_trunk: whether `model.backbone` must be given; where it need not, the trunk is None.
        monitors: logged validation figures that `selection.monitor` may name, and whether ``min`` or ``max`` is best.
        figures: after a test pass; goes to ``metrics.json``. Equal on every process.
        results: after a test pass, one value per image for ``results.csv``; the column ``row`` comes first. Or None.
    """

    needs_trunk: ClassVar[bool] = True
    monitors: ClassVar[Mapping[str, Literal["min", "max"]]] = {}

    def __init__(self, trunk: Backbone | None, optimizer: dict[str, Any] | None = None) -> None:
        super().__init__()
        self.optimizer_config = dict(optimizer or DEFAULT_OPTIMIZER)
        check_optimizer(self.optimizer_config)
        self.trunk = trunk
        self.figures: dict[str, float] = {}
        self.results: dict[str, Tensor] | None = None
        self._rows: list[Tensor] = []
        self._columns: dict[str, list[Tensor]] = {}

    @classmethod
    def check(cls, keywords: Mapping[str, Any]) -> None:
        """Check keywords beyond their types, before anything is built.

        Raises:
            UserError: a value that cannot be; names ``model.<key>``.
        """

    def prepare(self, listed: ImageList) -> None:
        """Size the module by the set that it will see: classes, vocabulary.

        Raises:
            UserError: the set lacks what the module learns from.
        """

    def save(self, folder: Path) -> None:
        """Write what the training made, whole or not at all (`semfid.io.files.write_whole`)."""
        raise NotImplementedError(f"{type(self).__name__} must implement save")

    def configure_optimizers(self) -> Any:
        trunk: list[nn.Parameter] = []
        if self.trunk is not None:
            trunk = [parameter for parameter in self.trunk.parameters() if parameter.requires_grad]
        known = {id(parameter) for parameter in trunk}
        rest = [p for p in self.parameters() if p.requires_grad and id(p) not in known]
        optimizer = build_optimizer(self.optimizer_config, rest, trunk)
        schedule = build_schedule(self.optimizer_config, optimizer, int(self.trainer.estimated_stepping_batches))
        if schedule is None:
            return optimizer
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def collect(self, rows: Tensor, columns: Mapping[str, Tensor]) -> None:
        """Keep what a validation or test step computed.

        Args:
            rows: (B,) rows of the images.
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
        for name, piece, values_of in zip(names, pieces, values.split(widths, dim=1), strict=True):
            found[name] = values_of.squeeze(1) if piece.dim() == 1 else values_of
        self._rows, self._columns = [], {}
        return found


def trunk_of(module: ImageTask) -> Backbone:
    """The trunk of a module that needs one."""
    if module.trunk is None:
        raise UserError("model: this module trains a trunk; give model.backbone")
    return module.trunk
