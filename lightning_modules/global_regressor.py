"""One score per pair: a trunk, a head over what the two images look like in it, a loss."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from backbones import Backbone
from datamodules.batches import PairBatch
from heads import Head
from heads.contract import Consumes
from heads.grid_head import GridHead
from heads.statistics import differences_for, pool, squared_differences
from lightning_modules.pair_module import PairModule, named, score_figures
from registry import HEADS, LIGHTNING_MODULES
from semfid.errors import UserError

START_PAIRS = 4096  # that the weights which a training starts from are fitted to


@LIGHTNING_MODULES.register(
    "global_regressor",
    summary="backbone + head + loss: one difference per pair",
    source="source project (CLIP-LPIPS regressor)",
)
class GlobalRegressor(PairModule):
    """Trains a head, and the trunk where its tuning says so, on whole-image differences.

    Args:
        trunk: a `backbones.Backbone`.
        head: ``{name: ..., keywords}`` or a name.
        loss: ``{name: ..., keywords}`` or a name.
        optimizer: ``{name: ..., lr: ..., backbone_lr: ..., schedule: constant | cosine, ...}``.
    """

    def __init__(
        self,
        trunk: Backbone,
        head: dict[str, Any] | str,
        loss: dict[str, Any] | str = "mse",
        optimizer: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(trunk, head, loss, optimizer)

    @classmethod
    def check(cls, keywords: Mapping[str, Any]) -> None:
        super().check(keywords)
        consumes = getattr(HEADS.get(named(keywords["head"], "model.head")[0]).factory, "consumes", None)
        if consumes == "squared_difference_maps":
            _refuse(consumes)

    def forward(self, reference: Tensor, candidate: Tensor) -> Tensor:
        """Predicted difference of each pair, (B,) float32.

        Args:
            reference: (B, 3, H, W) RGB in [0, 1].
            candidate: (B, 3, H, W) RGB in [0, 1].
        """
        statistic = pair_statistic(self.trunk, self.head, torch.cat([reference, candidate]), len(reference))
        with torch.autocast(reference.device.type, enabled=False):  # bf16 scores would tie by the dozen
            return self.head(statistic.float() if isinstance(statistic, Tensor) else statistic)

    def training_loss(self, batch: PairBatch) -> Tensor:
        return self.loss(self(batch.reference, batch.candidate), batch.difference, batch.weight)

    def evaluated(self, batch: PairBatch) -> Tensor:
        return torch.stack([self(batch.reference, batch.candidate).double(), batch.difference.double()], dim=1)

    def validation_figures(self, columns: Tensor) -> dict[str, float]:
        return score_figures(columns[:, 0], columns[:, 1])

    def calibrate_head(self, batches: Callable[[int], Iterable[PairBatch]]) -> None:
        statistics, rows = [], []
        for batch in batches(self.head.calibration_pairs if self.start_head is None else START_PAIRS):
            images = torch.cat([batch.reference, batch.candidate])
            statistics.append(pair_statistic(self.trunk, self.head, images, len(batch.row)))
            rows.append(batch.row)
        if isinstance(self.head, GridHead):
            self.head.calibrate([torch.cat(grids) for grids in zip(*statistics, strict=True)])
            return
        statistic = torch.cat(statistics).float()  # type: ignore[arg-type]
        self.head.calibrate(statistic[: self.head.calibration_pairs])
        if self.start_head is not None:
            self.start_head(self.head, statistic, torch.cat(rows))


def pair_statistic(trunk: Backbone, head: Head, images: Tensor, pairs: int) -> Tensor | list[Tensor]:
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
    if head.consumes not in GLOBAL_STATISTICS:
        _refuse(head.consumes)
    x, y = [tap[:pairs] for tap in features], [tap[pairs:] for tap in features]
    if isinstance(head, GridHead):
        return head.grids(squared_differences(x, y, head.normalize))  # one (B, K_l, h_l, w_l) per tap
    differences = differences_for(head.poolings, x, y, head.normalize)
    return pool(differences, head.poolings)  # (B, P * sum C_l)


def _refuse(consumes: str) -> None:
    raise UserError(f"model: global_regressor cannot feed a head that consumes {consumes}; use model.name: local_map")


GLOBAL_STATISTICS: tuple[Consumes, ...] = (
    "pooled_squared_differences",
    "pooled_features",
    "embeddings",
    "difference_grids",
)
