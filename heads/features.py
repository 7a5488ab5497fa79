"""What inputs of heads ask of a backbone, and what it gives."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

Taps = Literal["stages", "blocks"]
Need = Literal["stages", "blocks", "embedding", "images"]
Features = dict[Need, list[Tensor]]
"""Of B images, by name: maps (B, C_l, H_l, W_l) shallow to deep, or one tensor (B, ...)."""


class FeatureExtractor(Protocol):
    """Every `backbones.Backbone` is one."""

    @property
    def batch_matters(self) -> bool: ...

    def __call__(self, images: Tensor, taps: Taps = ...) -> list[Tensor]: ...

    def embed(self, images: Tensor) -> Tensor: ...

    def features_and_embedding(self, images: Tensor, taps: Taps = ...) -> tuple[list[Tensor], Tensor]: ...


def backbone_features(backbone: FeatureExtractor, images: Tensor, needs: Collection[Need]) -> Features:
    """What is needed of a backbone, in as few passes as it allows."""
    found: Features = {}
    taps: Taps
    for taps in ("blocks", "stages"):
        if taps not in needs:
            continue
        if "embedding" in needs and "embedding" not in found:
            found[taps], embedding = backbone.features_and_embedding(images, taps)
            found["embedding"] = [embedding]
        else:
            found[taps] = backbone(images, taps)  # the module's call, which torch.compile knows
    if "embedding" in needs and "embedding" not in found:
        found["embedding"] = [backbone.embed(images)]
    return found


def rows_of(features: Features, rows: slice) -> Features:
    """The same of some of the images."""
    return {need: [tap[rows] for tap in taps] for need, taps in features.items()}


def padded(images: Tensor, multiple: int) -> Tensor:
    """(B, C, H, W) continued to the right and below by its last column and row, up to multiples of `multiple`."""
    height, width = images.shape[-2:]
    right, below = -width % multiple, -height % multiple
    # an exported program knows no size yet: it pads, if by nothing
    needed = torch.compiler.is_exporting() or right or below
    return F.pad(images, (0, right, 0, below), mode="replicate") if needed else images
