"""The contract of a module that trains on single images: what the engine needs to train, judge and save it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from torch import Tensor

from backbones import Backbone
from datamodules.batches import ImageList
from lightning_modules.base import TrainedModule
from semfid.errors import UserError


class ImageTask(TrainedModule):
    """Learns from `batch.ImageBatch`. Register a subclass in `LIGHTNING_MODULES`; it must be a class, whose first
    parameter is `backbone`.

    Life: the engine builds it, calls ``prepare(listed)`` once, before training, on every process; Lightning trains it;
    ``trainer.test`` on the held-out images fills `figures` (and `results`); process 0 calls ``save(folder)``.

    A subclass implements ``training_step`` (see `step_loss`), ``evaluate``, ``summary`` and ``save``; with selection its figures
    have those of `monitors`, or it implements ``monitored``.

    Attributes:
        needs_backbone: whether `model.backbone` must be given; where it need not, the backbone is None.
        monitors: logged validation figures that `selection.monitor` may name, and whether ``min`` or ``max`` is best.
        figures: after a test pass; goes to ``metrics.json``. Equal on every process.
        results: after a test pass, one value per image for ``results.csv``; the column ``row`` comes first. Or None.
    """

    needs_backbone: ClassVar[bool] = True
    monitors: ClassVar[Mapping[str, Literal["min", "max"]]] = {}

    default_optimizer: ClassVar[Mapping[str, Any]] = {"name": "adamw", "lr": 1e-3, "schedule": "cosine"}

    def __init__(self, backbone: Backbone | None, optimizer: dict[str, Any] | None = None) -> None:
        super().__init__(backbone, optimizer)
        self.figures: dict[str, float] = {}
        self.results: dict[str, Tensor] | None = None

    def compile_step(self, backend: str = "inductor") -> None:
        """Compile the backbone's pass at the first step."""
        self.backbone.compile(backend=backend)

    def prepare(self, listed: ImageList) -> None:
        """Size the module by the set that it will see: classes, vocabulary.

        Raises:
            UserError: the set lacks what the module learns from.
        """

    def save(self, folder: Path) -> None:
        """Write what the training made, whole or not at all (`semfid.io.files.write_whole`)."""
        raise NotImplementedError(f"{type(self).__name__} must implement save")

    def summary(self, found: dict[str, Tensor]) -> tuple[dict[str, float], dict[str, Tensor] | None]:
        """`figures` and `results` of what was `gathered` of held-out images."""
        raise NotImplementedError(f"{type(self).__name__} must implement summary")

    def monitored(self, figures: Mapping[str, float]) -> dict[str, float]:
        """Values of `monitors`, from the figures of the validation images."""
        return {name: figures[name.removeprefix("val_")] for name in self.monitors}

    def on_validation_epoch_end(self) -> None:
        figures, _ = self.summary(self.gathered())
        self.log_validation(self.monitored(figures))

    def on_test_epoch_end(self) -> None:
        self.figures, self.results = self.summary(self.gathered())


def backbone_of(module: ImageTask) -> Backbone:
    """The backbone of a module that needs one."""
    backbone: Backbone | None = module.backbone
    if backbone is None:
        raise UserError("model: this module trains a backbone; give model.backbone")
    return backbone
