"""The baseline that every learned head must beat."""

from __future__ import annotations

import torch
from torch import Tensor

from heads.contract import BackboneShape, Head
from heads.statistics import EPS
from registry import HEADS
from semfid.cosine import unit_difference


@HEADS.register(
    "cosine", summary="1 - cosine of the two embeddings; nothing to train", source="CLIP score, arXiv 2104.08718"
)
class Cosine(Head):
    """1 - cos(e_x, e_y), clipped to [0, 1]."""

    input_kind = "embeddings"

    def __init__(self, backbone: BackboneShape) -> None:
        super().__init__()

    def forward(self, features: Tensor) -> Tensor:
        unit = features * torch.rsqrt(features.square().sum(dim=-1, keepdim=True) + EPS)  # (B, 2, D)
        return unit_difference(unit[:, 0], unit[:, 1])  # (B,)
