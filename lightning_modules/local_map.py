"""Where the meaning changed: a trunk, a decoder of its squared differences, a loss against target maps (CLU)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from backbones import Backbone
from datamodules.batches import PairBatch
from heads import Head, MapHead
from heads.decoders.base import DecoderHead
from heads.grid_head import GridHead
from heads.statistics import pool
from lightning_modules.features import map_statistic, shared_features
from lightning_modules.pair_module import PairModule, build_loss, check_loss, named, score_figures
from registry import HEADS, LIGHTNING_MODULES
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
    """Trains a decoder, and the trunk where its tuning says so, on difference maps.

    Unknown pixels of a target (NaN) count nothing; a pair without a map trains the score only. ``val_mse`` is that of the
    maps, ``val_score_mse`` and ``val_srcc`` are of the scores; under ``learn: scores`` both are of the scores.

    Args:
        trunk: a `backbones.Backbone`.
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
        trunk: Backbone,
        head: dict[str, Any] | str,
        loss: dict[str, Any] | str = "mse",
        score_loss: dict[str, Any] | str = "mse",
        optimizer: dict[str, Any] | None = None,
        learn: Learn = "maps",
    ) -> None:
        super().__init__(trunk, head, loss, optimizer)
        _check_head(type(self.head))
        self.score_loss = build_loss(score_loss, "model.score_loss", "scores")
        self.learn = learn
        self.needs_maps = learn != "scores"
        self.multiple = max(trunk.strides) if isinstance(self.head, DecoderHead) else 1

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
        statistic = self._statistic(reference, candidate, first)
        if isinstance(self.head, GridHead):
            with torch.autocast(reference.device.type, enabled=False):
                evidence = self.head.evidence([grid.float() for grid in self.head.grids(statistic[1:])])  # (B, 1, h, w)
                maps = upsampled(self.head.finish(evidence), reference.shape[-2:])
                return maps, self.head.score_of(evidence)
        maps = difference_maps(self.head, statistic, reference.shape[-2:])  # type: ignore[arg-type]
        with torch.autocast(maps.device.type, enabled=False):  # bf16 scores would tie by the dozen
            if isinstance(self.head, DecoderHead):
                # under learn: maps, a score that learns must not bend the map
                alone = self.learn == "maps" and self.head.score.learns
                return maps, self.head.score(maps.detach() if alone else maps)
            return maps, self.head(pool(statistic[1:], self.head.poolings))

    def reached(self, reference: Tensor, candidate: Tensor) -> Tensor:
        maps, scores = self(reference, candidate)
        return maps.sum() + scores.sum()

    def training_loss(self, batch: PairBatch) -> Tensor:
        maps, scores = self(batch.reference, batch.candidate, batch.first)
        losses = [self.loss(maps, self._target(batch), batch.weight)] if self.needs_maps else []
        if self.learn != "maps" or (isinstance(self.head, DecoderHead) and self.head.score.learns):
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
        parts = [self._statistic(batch.reference, batch.candidate, None) for batch in batches(CALIBRATION_PAIRS)]
        statistic = [torch.cat(taps).float() for taps in zip(*parts, strict=True)]
        if isinstance(self.head, GridHead):
            self.head.calibrate(self.head.grids(statistic[1:]))
            return
        whole = isinstance(self.head, DecoderHead)
        self.head.calibrate(statistic if whole else pool(statistic[1:], self.head.poolings))  # type: ignore[arg-type]

    def _statistic(self, reference: Tensor, candidate: Tensor, first: Tensor | None) -> list[Tensor]:
        x, y = shared_features(self.trunk, reference, candidate, first, self.multiple, self.head.taps)
        return map_statistic(reference, candidate, x, y, self.head, self.multiple, self.head.normalize)

    def _target(self, batch: PairBatch) -> Tensor:
        if batch.map is None:
            raise UserError("model: local_map trains on difference maps and this data has none; add the column map")
        return batch.map


def _check_head(kind: type) -> None:
    if not (issubclass(kind, Head) and kind.gives_maps):
        raise UserError(
            "model.head: local_map needs a head that gives maps; use unet, unet_pixel, fpn, ..., local_evidence or lpips_linear"
        )


def difference_maps(head: DecoderHead | MapHead, statistic: list[Tensor], size: torch.Size) -> Tensor:
    """(B, 1, H, W) difference maps at the size of the images, in float32, from a decoder or from a linear head.

    Args:
        statistic: as `lightning_modules.features.map_statistic` gives it.
        size: H and W; what the images were padded by is cut off.
    """
    height, width = size
    # training takes the precision that the trainer set; figures and linear heads are always of float32
    device = statistic[0].device.type
    leave = not torch.is_autocast_enabled(device) or (head.training and isinstance(head, DecoderHead))
    with contextlib.nullcontext() if leave else torch.autocast(device, enabled=False):
        if isinstance(head, DecoderHead):
            maps = head.difference_map(statistic)
        else:
            maps = linear_map(head, statistic[1:])
            maps = F.interpolate(maps, size=statistic[0].shape[-2:], mode="bilinear", align_corners=False)
    return maps[..., :height, :width].float()


def linear_map(head: MapHead, differences: list[Tensor]) -> Tensor:
    """(B, 1, h, w) differences of a linear head, on the grid of the finest stage that it uses."""
    taps = head.difference_maps([tap.float() for tap in differences])  # one (B, 1, h_l, w_l) per used stage
    size = taps[0].shape[-2:]
    same = [F.interpolate(tap, size=size, mode="bilinear", align_corners=False) for tap in taps]
    return head.finish(torch.stack(same).mean(dim=0))
