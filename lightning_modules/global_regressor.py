"""One score per pair: a backbone, a head over what the two images look like in it, a loss."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from backbones import Backbone
from datamodules.batches import PairBatch
from heads.inputs import KINDS, first_pairs
from heads.output import full_precision
from lightning_modules.pair_module import PairModule, score_figures
from registry import HEADS, LIGHTNING_MODULES, named
from semfid.errors import UserError

START_PAIRS = 4096  # that the weights which a training starts from are fitted to


@LIGHTNING_MODULES.register(
    "global_regressor",
    summary="backbone + head + loss: one difference per pair",
    source="source project (CLIP-LPIPS regressor)",
)
class GlobalRegressor(PairModule):
    """Trains a head, and the backbone where its tuning says so, on whole-image differences.

    Args:
        backbone: a `backbones.Backbone`.
        head: ``{name: ..., keywords}`` or a name.
        loss: ``{name: ..., keywords}`` or a name.
        optimizer: ``{name: ..., lr: ..., backbone_lr: ..., schedule: constant | cosine, ...}``.
    """

    def __init__(
        self,
        backbone: Backbone,
        head: dict[str, Any] | str,
        loss: dict[str, Any] | str = "mse",
        optimizer: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(backbone, head, loss, optimizer)
        if not self.head_input.cacheable:
            _refuse(self.head_input.kind)

    @classmethod
    def check(cls, keywords: Mapping[str, Any]) -> None:
        super().check(keywords)
        kind = getattr(HEADS.get(named(keywords["head"], "model.head")[0]).factory, "input_kind", None)
        if kind in KINDS and not KINDS[kind].cacheable:
            _refuse(kind)

    def forward(self, reference: Tensor, candidate: Tensor) -> Tensor:
        """Predicted difference of each pair, (B,) float32.

        Args:
            reference: (B, 3, H, W) RGB in [0, 1].
            candidate: (B, 3, H, W) RGB in [0, 1].
        """
        x, y = self.head_input.describe_pairs(self.backbone, reference, candidate)
        compared = self.head_input.compare(x, y)
        with full_precision(reference.device.type):
            return self.head(compared)

    def training_loss(self, batch: PairBatch) -> Tensor:
        return self.loss(self(batch.reference, batch.candidate), batch.difference, batch.weight)

    def evaluated(self, batch: PairBatch) -> Tensor:
        return torch.stack([self(batch.reference, batch.candidate).double(), batch.difference.double()], dim=1)

    def validation_figures(self, columns: Tensor) -> dict[str, float]:
        return score_figures(columns[:, 0], columns[:, 1])

    def calibrate_head(self, batches: Callable[[int], Iterable[PairBatch]]) -> None:
        compared, rows = self.compared_of(
            batches(self.head.calibration_pairs if self.start_head is None else START_PAIRS)
        )
        self.head.calibrate(first_pairs(compared, self.head.calibration_pairs))
        if self.start_head is not None:
            self.start_head(self.head, compared, rows)


def _refuse(kind: str) -> None:
    raise UserError(f"model: global_regressor cannot feed a head that consumes {kind}; use model.name: local_map")
