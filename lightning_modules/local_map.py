"""Where the meaning changed: a backbone, a decoder of its squared differences, a loss against target maps (CLU)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import torch
from torch import Tensor

from backbones import Backbone
from datamodules.batches import PairBatch
from heads import Head
from heads.output import full_precision
from lightning_modules.losses import build_loss, check_loss
from lightning_modules.pair_module import PairModule, score_figures
from registry import HEADS, LIGHTNING_MODULES, named
from semfid.errors import UserError
from semfid.scoring.scorer import upsampled

Learn = Literal["maps", "scores", "both"]
CALIBRATION_PAIRS = 32  # statistics at every position: 1,024 pairs of a ResNet-50's would take 9 GB


@LIGHTNING_MODULES.register(
    "local_map",
    summary="backbone + decoder + loss: a difference map per pair, and its score",
    source="source project (CLU)",
)
class LocalMapRegressor(PairModule):
    """Trains a decoder, and the backbone where its tuning says so, on difference maps.

    Unknown pixels of a target (NaN) count nothing; a pair without a map trains the score only. ``val_mse`` is that of the
    maps, ``val_score_mse`` and ``val_srcc`` are of the scores; under ``learn: scores`` both are of the scores.

    Args:
        backbone: a `backbones.Backbone`.
        head: a decoder (``unet``, ``unet_pixel``, ``fpn``, ...), ``local_evidence``, or a linear head, whose map is its
            weights at every position: ``{name: ..., keywords}`` or a name.
        loss: of the maps.
        score_loss: of the scores: under ``learn: scores`` and ``both``, and for a decoder whose score learns
            (``score: learned``).
        learn: what is compared with its target. ``maps``: no gradient of the scores reaches the map. ``scores``: no map is
            read, so the table needs none; the map is trained through its score. ``both``: the sum of the two losses.
        optimizer: ``{name: ..., lr: ..., backbone_lr: ..., schedule: constant | cosine, ...}``.
    """

    needs_maps = True
    target = "maps"

    def __init__(
        self,
        backbone: Backbone,
        head: dict[str, Any] | str,
        loss: dict[str, Any] | str = "mse",
        score_loss: dict[str, Any] | str = "mse",
        optimizer: dict[str, Any] | None = None,
        learn: Learn = "maps",
    ) -> None:
        super().__init__(backbone, head, loss, optimizer)
        _check_head(type(self.head))
        self.score_loss = build_loss(score_loss, "model.score_loss", "scores")
        self.learn = learn
        self.needs_maps = learn != "scores"

    @classmethod
    def check(cls, keywords: Mapping[str, Any]) -> None:
        super().check(keywords)
        if keywords.get("learn") == "scores" and "loss" in keywords:
            raise UserError(
                "model.loss is of maps, which learn: scores does not compare; give model.score_loss instead"
            )
        if "score_loss" in keywords:
            check_loss(named(keywords["score_loss"], "model.score_loss")[0], "model.score_loss", "scores")
        factory = HEADS.get(named(keywords["head"], "model.head")[0]).factory
        if isinstance(factory, type):
            _check_head(factory)

    @classmethod
    def wants_maps(cls, keywords: Mapping[str, Any]) -> bool:
        return keywords.get("learn") != "scores"

    def forward(self, reference: Tensor, candidate: Tensor, first: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Difference map of each pair, (B, 1, H, W) float32 at the size of the images, and its difference, (B,) float32.

        Args:
            reference: (B, 3, H, W) RGB in [0, 1].
            candidate: (B, 3, H, W) RGB in [0, 1].
            first: (B,) position of the first pair with the same reference image, see `batch.PairBatch`.
        """
        x, y = self.head_input.describe_pairs(self.backbone, reference, candidate, first)
        positions = self.head_input.positions(x, y)
        mixed = self.head.training and self.head.trains_mixed
        with contextlib.nullcontext() if mixed else full_precision(reference.device.type):
            scores, maps = self.head.score_and_map(positions, detach_map=self.learn == "maps")
        size = reference.shape[-2:]
        return (maps if maps.shape[-2:] == size else upsampled(maps, size)).float(), scores

    def reached(self, reference: Tensor, candidate: Tensor) -> Tensor:
        maps, scores = self(reference, candidate)
        return maps.sum() + scores.sum()

    def training_loss(self, batch: PairBatch) -> Tensor:
        maps, scores = self(batch.reference, batch.candidate, batch.first)
        losses = [self.loss(maps, self._target(batch), batch.weight)] if self.needs_maps else []
        if self.learn != "maps" or self.head.score_learns:
            known = ~batch.difference.isnan()
            losses.append(self.score_loss(scores[known], batch.difference[known], batch.weight[known]))
        return torch.stack(losses).sum()

    def evaluated(self, batch: PairBatch) -> Tensor:
        maps, scores = self(batch.reference, batch.candidate, batch.first)
        if not self.needs_maps:
            return torch.stack([scores.double(), batch.difference.double()], dim=1)
        target = self._target(batch)
        known = ~target.isnan()
        error = torch.where(known, (maps - target.nan_to_num(0.0)).square(), 0.0).flatten(1).sum(dim=1).double()
        pixels = known.flatten(1).sum(dim=1).double()
        return torch.stack([scores.double(), batch.difference.double(), error, pixels], dim=1)

    def validation_figures(self, columns: Tensor) -> dict[str, float]:
        figures = score_figures(columns[:, 0], columns[:, 1])
        if not self.needs_maps:
            return figures
        pixels = columns[:, 3]
        per_image = columns[pixels > 0, 2] / pixels[pixels > 0]
        return {"mse": float(per_image.mean()), "score_mse": figures["mse"], "srcc": figures["srcc"]}

    def calibrate_head(self, batches: Callable[[int], Iterable[PairBatch]]) -> None:
        compared, _ = self.compared_of(batches(CALIBRATION_PAIRS))
        self.head.calibrate(compared)

    def _target(self, batch: PairBatch) -> Tensor:
        if batch.map is None:
            raise UserError("model: local_map trains on difference maps and this data has none; add the column map")
        return batch.map


def _check_head(kind: type) -> None:
    if not (issubclass(kind, Head) and kind.gives_maps):
        raise UserError(
            "model.head: local_map needs a head that gives maps; use unet, unet_pixel, fpn, ..., local_evidence or lpips_linear"
        )
