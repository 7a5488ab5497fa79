"""Training-free metrics: a reference and a candidate in, a difference out; nothing is learned."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn


class TrainingFreeMetric(nn.Module):
    """Contract: ``forward(reference, candidate) -> (B,)`` differences in [0, 1], exactly 0 for identical images.

    Images are (B, 3, H, W) RGB in [0, 1].

    Attributes:
        symmetric: whether exchanging the two leaves the score (and the map) as it is.
        gives_maps: whether `maps` is to be had.
    """

    symmetric: ClassVar[bool] = True
    gives_maps: ClassVar[bool] = False

    def __init__(self) -> None:  # without it, nn.Module's *args would stand in every metric's signature
        super().__init__()

    def forward(self, reference: Tensor, candidate: Tensor) -> Tensor:
        """Difference of each pair, (B,)."""
        raise NotImplementedError(f"{type(self).__name__} must implement forward")

    def maps(self, reference: Tensor, candidate: Tensor) -> Tensor:
        """Difference at every pixel, (B, 1, H, W) in [0, 1], exactly 0 for identical images."""
        raise NotImplementedError(f"{type(self).__name__} gives no maps")
