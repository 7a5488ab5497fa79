"""One score per pair: a trunk, a head over what the two images look like in it, a loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import lightning as L
import torch
from torch import Tensor

from backbones import Backbone
from batch import PairBatch
from heads import Head, build_head
from heads.contract import Consumes
from heads.statistics import pool, squared_differences
from lightning_modules.gather import gather_rows
from lightning_modules.losses import PairLoss
from lightning_modules.optimizers import build_optimizer, build_schedule, check_optimizer
from registry import LIGHTNING_MODULES, LOSSES, UserError

CALIBRATION_PAIRS = 1024
DEFAULT_OPTIMIZER = {"name": "adam", "lr": 1e-4}


@LIGHTNING_MODULES.register(
    "global_regressor",
    summary="backbone + head + loss: one difference per pair",
    source="source project (CLIP-LPIPS regressor)",
)
class GlobalRegressor(L.LightningModule):
    """Trains a head, and the trunk where its tuning says so, on whole-image differences.

    Evaluation collects (row, prediction) on every process, gathers them, drops repeated rows and computes figures once:
    they do not depend on the number of processes.

    Args:
        trunk: a `backbones.Backbone`.
        head: ``{name: ..., keywords}`` or a name.
        loss: ``{name: ..., keywords}`` or a name.
        optimizer: ``{name: ..., lr: ..., backbone_lr: ..., schedule: constant | cosine, ...}``.

    Attributes:
        predicted: after a validation or test pass, (rows (N,) int64, predictions (N,) float64), sorted by row.
    """

    def __init__(
        self,
        trunk: Backbone,
        head: dict[str, Any] | str,
        loss: dict[str, Any] | str = "mse",
        optimizer: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        head_name, head_keywords = named(head, "model.head")
        loss_name, loss_keywords = named(loss, "model.loss")
        self.optimizer_config = dict(optimizer or DEFAULT_OPTIMIZER)
        check_optimizer(self.optimizer_config)
        self.trunk = trunk
        self.head: Head = build_head(head_name, trunk, head_keywords)
        self.loss: PairLoss = LOSSES.build(loss_name, **loss_keywords)  # type: ignore[assignment]
        self.predicted: tuple[Tensor, Tensor] | None = None
        self._rows: list[Tensor] = []
        self._scores: list[Tensor] = []
        self._labels: list[Tensor] = []

    def forward(self, reference: Tensor, candidate: Tensor) -> Tensor:
        """Predicted difference of each pair, (B,) float32.

        Args:
            reference: (B, 3, H, W) RGB in [0, 1].
            candidate: (B, 3, H, W) RGB in [0, 1].
        """
        statistic = pair_statistic(self.trunk, self.head, torch.cat([reference, candidate]), len(reference))
        with torch.autocast(statistic.device.type, enabled=False):  # bf16 scores would tie by the dozen
            return self.head(statistic.float())

    def training_step(self, batch: PairBatch, batch_index: int) -> Tensor:
        predicted = self(batch.reference, batch.candidate)
        # DDP averages gradients over processes; this makes the average the mean over the whole batch
        loss = self.loss(predicted, batch.difference, batch.weight) * (self.trainer.world_size / batch.total)
        self.log("train/loss", loss.detach(), on_step=True, on_epoch=False, batch_size=len(predicted))
        return loss

    def on_fit_start(self) -> None:
        """Calibrate the head on the first training pairs of epoch 0; a resumed run has it in its checkpoint."""
        if not self.head.needs_calibration or self.trainer.current_epoch > 0 or self.trainer.global_step > 0:
            return
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        statistics = []  # in the mode of training: BatchNorm that trains has no statistics of its own to be calibrated on
        with torch.no_grad():
            for batch in data.calibration_batches(CALIBRATION_PAIRS):  # the same on every process
                batch = data.on_after_batch_transfer(batch, 0)
                images = torch.cat([batch.reference, batch.candidate]).to(self.device)
                statistics.append(pair_statistic(self.trunk, self.head, images, len(batch.row)).float())
        self.head.calibrate(torch.cat(statistics))

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_index: int) -> None:
        self.head.project()

    def configure_optimizers(self) -> Any:
        head = [parameter for parameter in self.head.parameters() if parameter.requires_grad]
        trunk = [parameter for parameter in self.trunk.parameters() if parameter.requires_grad]
        if not head and not trunk:
            return None
        optimizer = build_optimizer(self.optimizer_config, head, trunk)
        schedule = build_schedule(self.optimizer_config, optimizer, int(self.trainer.estimated_stepping_batches))
        if schedule is None:
            return optimizer
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _collect(self, batch: PairBatch) -> None:
        self._rows.append(batch.row)
        self._scores.append(self(batch.reference, batch.candidate).detach().double())
        self._labels.append(batch.difference.double())

    def _gather(self) -> tuple[Tensor, Tensor, Tensor]:
        rows, columns = gather_rows(
            torch.cat(self._rows), torch.stack([torch.cat(self._scores), torch.cat(self._labels)], dim=1)
        )
        for collected in (self._rows, self._scores, self._labels):
            collected.clear()
        self.predicted = rows, columns[:, 0]
        return rows, columns[:, 0], columns[:, 1]

    def validation_step(self, batch: PairBatch, batch_index: int) -> None:
        self._collect(batch)

    def on_validation_epoch_end(self) -> None:
        _, scores, labels = self._gather()
        for name, value in validation_figures(scores, labels).items():
            self.log(f"val_{name}", value, rank_zero_only=False, sync_dist=False)  # equal on every process already

    def test_step(self, batch: PairBatch, batch_index: int) -> None:
        self._collect(batch)

    def on_test_epoch_end(self) -> None:
        self._gather()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["trunk_identity"] = self.trunk.identity

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        saved = checkpoint.get("trunk_identity")
        if saved != self.trunk.identity:
            raise UserError(
                f"this checkpoint belongs to the trunk {saved}, not {self.trunk.identity}; use the backbone, and the weights, "
                "that it was trained with"
            )


def named(value: Mapping[str, Any] | str, where: str) -> tuple[str, dict[str, Any]]:
    """Split ``{name: x, a: 1}`` or ``"x"`` into a name and keywords."""
    if isinstance(value, str):
        return value, {}
    if not isinstance(value, Mapping) or not isinstance(value.get("name"), str):
        raise UserError(f"{where} must be a name or a mapping with a name, not {value!r}")
    return value["name"], {str(key): item for key, item in value.items() if key != "name"}


def pair_statistic(trunk: Backbone, head: Head, images: Tensor, pairs: int) -> Tensor:
    """What a head consumes, from one pass over both images of all pairs.

    Args:
        images: (2B, 3, H, W), the B references before the B candidates.
        pairs: B.
    """
    if head.consumes == "embeddings":
        embedding = trunk.embed(images)  # (2B, D)
        return torch.stack([embedding[:pairs], embedding[pairs:]], dim=1)  # (B, 2, D)
    features = trunk(images, head.taps)  # the module's call, which torch.compile knows
    if head.consumes == "pooled_features":
        pooled = pool(features)  # (2B, sum C_l)
        return torch.stack([pooled[:pairs], pooled[pairs:]], dim=1)  # (B, 2, sum C_l)
    if head.consumes != "pooled_squared_differences":
        raise UserError(f"model: global_regressor cannot feed a head that consumes {head.consumes}; use a map module")
    return pool(squared_differences([f[:pairs] for f in features], [f[pairs:] for f in features], head.normalize))


GLOBAL_STATISTICS: tuple[Consumes, ...] = ("pooled_squared_differences", "pooled_features", "embeddings")


def validation_figures(scores: Tensor, labels: Tensor) -> dict[str, float]:
    """MSE and SRCC of a validation part; a constant prediction counts as SRCC -1, so it is never selected as best."""
    from evaluation import srcc  # numpy and scipy only

    known = ~torch.isnan(labels)
    scores, labels = scores[known].cpu(), labels[known].cpu()
    correlation = (
        srcc(scores.numpy(), labels.numpy()) if len(scores) > 1 and bool(scores.isfinite().all()) else float("nan")
    )
    return {
        "mse": float((scores - labels).square().mean()),
        "srcc": -1.0 if correlation != correlation else correlation,
    }
