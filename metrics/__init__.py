"""Training-free metrics: a reference and a candidate in, a difference out; nothing is learned."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

__all__ = ["QualityMetric", "TrainingFreeMetric", "zero_where_equal"]


class TrainingFreeMetric(nn.Module):
    """Contract: ``forward(reference, candidate) -> (B,)`` differences in [0, 1], exactly 0 for identical images.

    Images are (B, 3, H, W) RGB in [0, 1]. A pair's score does not depend on the pairs beside it, but for rounding. Keywords
    called backbone, tower, captioner or embedder name plugins: a name, or a mapping with a name and keywords.

    Attributes:
        symmetric: whether exchanging the two leaves the score (and the map) as it is.
        gives_maps: whether `maps` is to be had.
        coarse: whether images that differ may score 0, as those with one caption do.
        identity: of the models that it asks, for a run's provenance; empty where it asks none.
    """

    symmetric: ClassVar[bool] = True
    gives_maps: ClassVar[bool] = False
    coarse: ClassVar[bool] = False
    identity: str = ""

    def __init__(self) -> None:  # without it, nn.Module's *args would stand in every metric's signature
        super().__init__()

    def forward(self, reference: Tensor, candidate: Tensor) -> Tensor:
        """Difference of each pair, (B,)."""
        raise NotImplementedError(f"{type(self).__name__} must implement forward")

    def maps(self, reference: Tensor, candidate: Tensor) -> Tensor:
        """Difference at every pixel, (B, 1, H, W) in [0, 1], exactly 0 for identical images."""
        raise NotImplementedError(f"{type(self).__name__} gives no maps")


def zero_where_equal(difference: Tensor, reference: Tensor, candidate: Tensor) -> Tensor:
    """Differences (B,) or (B, 1, H, W) clipped to [0, 1], and exactly 0 where the images of a pair are equal.

    Rounding leaves a little of 1 - similarity for equal images, and some measures compare an image with its own caption.
    """
    equal = (reference == candidate).flatten(1).all(dim=1).view(-1, *[1] * (difference.dim() - 1))
    return torch.where(equal.to(difference.device), torch.zeros_like(difference), difference).clamp(0.0, 1.0)


class QualityMetric(nn.Module):
    """Contract: ``forward(images) -> (B,)``, how good each image looks by itself; larger is better, on a scale of its own.

    Images are (B, 3, H, W) RGB in [0, 1]. An image's quality does not depend on the images beside it, but for rounding.
    """

    def __init__(self) -> None:
        super().__init__()

    def forward(self, images: Tensor) -> Tensor:
        """Quality of each image, (B,)."""
        raise NotImplementedError(f"{type(self).__name__} must implement forward")
