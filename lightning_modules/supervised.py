"""Pretraining by class labels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backbones import Backbone
from datamodules.batches import ImageBatch, ImageList
from lightning_modules.backbone_file import write_backbone
from lightning_modules.image_module import ImageTask, backbone_of
from registry import LIGHTNING_MODULES
from semfid.errors import UserError


@LIGHTNING_MODULES.register(
    "supervised", summary="pretrains a backbone on class labels (cross-entropy); writes trunk.safetensors"
)
class Supervised(ImageTask):
    """A linear classifier on the backbone's embedding, both trained; images without a class are left out of the loss.

    Figures: ``top1`` and ``top5`` accuracy and ``loss`` (mean cross-entropy in nats) on the held-out images.

    Args:
        backbone: a `backbones.Backbone` with ``tuning: full``.
        optimizer: as in `global_regressor`.
        label_smoothing: in [0, 1).
    """

    monitors: ClassVar[Mapping[str, Literal["min", "max"]]] = {"val_top1": "max", "val_loss": "min"}

    def __init__(
        self, backbone: Backbone, optimizer: dict[str, Any] | None = None, label_smoothing: float = 0.0
    ) -> None:
        super().__init__(backbone, optimizer)
        self.label_smoothing = float(label_smoothing)
        self.classifier: nn.Linear | None = None

    @classmethod
    def check(cls, keywords: Mapping[str, Any]) -> None:
        if not 0 <= keywords.get("label_smoothing", 0.0) < 1:
            raise UserError(f"model.label_smoothing is {keywords['label_smoothing']}; it must be in [0, 1)")

    def prepare(self, listed: ImageList) -> None:
        """A classifier of as many outputs as the set has classes.

        Raises:
            UserError: fewer than two classes, or a class without a training image.
        """
        if len(listed.classes) < 2:
            raise UserError(
                f"{listed.name} has {len(listed.classes)} classes and supervised needs two: give data with classes (one "
                "folder per class, or a column class), or use the module contrastive"
            )
        counts = torch.bincount(listed.label[listed.train].clamp(min=0), minlength=len(listed.classes))
        counts[0] -= int((listed.label[listed.train] < 0).sum())
        if bool((counts == 0).any()):
            lost = listed.classes[int((counts == 0).nonzero()[0])]
            raise UserError(
                f"{listed.name}: no training image of the class '{lost}'; add images of it, or hold out fewer (data.split)"
            )
        self.classifier = nn.Linear(backbone_of(self).embed_dim, len(listed.classes))

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, K) of images (B, 3, H, W) in [0, 1]."""
        if self.classifier is None:
            raise UserError("model: supervised needs prepare(listed) before it sees an image")
        return self.classifier(backbone_of(self).embed(images))  # (B, D) -> (B, K)

    def training_step(self, batch: ImageBatch, batch_index: int) -> Tensor:
        logits = self(batch.image).float()  # (B, K)
        loss = F.cross_entropy(
            logits, batch.label, ignore_index=-1, label_smoothing=self.label_smoothing, reduction="sum"
        )
        return self.step_loss(loss, batch)

    def evaluate(self, batch: ImageBatch) -> None:
        logits = self(batch.image).double()
        # rank of the right class: how many others score as high or higher
        own = logits.gather(1, batch.label.clamp(min=0)[:, None])  # (B, 1)
        rank = (logits >= own).sum(dim=1) - 1  # (B,)
        loss = F.cross_entropy(logits, batch.label.clamp(min=0), reduction="none")
        self.collect(batch.row, {"label": batch.label, "predicted": logits.argmax(dim=1), "rank": rank, "loss": loss})

    def summary(self, found: dict[str, Tensor]) -> tuple[dict[str, float], dict[str, Tensor]]:
        known = found["label"] >= 0
        if not bool(known.any()):
            raise UserError("none of the held-out images has a class; hold out others (data.split.seed)")
        rank, loss = found["rank"][known], found["loss"][known]
        figures = {
            "top1": float((rank == 0).double().mean()),
            "top5": float((rank < 5).double().mean()),
            "loss": float(loss.mean()),
        }
        return figures, {"row": found["row"], **{name: found[name].long() for name in ("label", "predicted")}}

    def save(self, folder: Path) -> None:
        """``trunk.safetensors``, without the classifier."""
        write_backbone(backbone_of(self), folder, "supervised", self.figures)
