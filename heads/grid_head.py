"""What heads that look at grids of squared differences share: the grids, their flat form in the cache, score and map."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from heads.contract import Head
from semfid.errors import UserError

LARGEST_SIDE = 4096  # of a grid, in positions


class GridHead(Head):
    """From squared differences on a few grids to evidence at every position, and from it both a map and a score.

    A subclass implements `evidence`, `score_of` and `finish`. It takes its features in two forms:

    * a list of grids, (B, K_l, h_l, w_l) per tap, of images of any size;
    * (B, D), the same side by side, of square images: what the cache keeps, in float16.

    Args:
        channels: of the taps.
        strides: of the taps.
        stride: of the finest grid, in pixels; finer taps are pooled to it, by means and maxima.
    """

    input_kind = "difference_grids"
    gives_maps = True
    calibration_pairs = 128  # with hundreds of positions each

    def __init__(self, channels: Sequence[int], strides: Sequence[int], stride: int) -> None:
        super().__init__()
        if len(channels) != len(strides) or not channels:
            raise UserError("head: this backbone does not say the channels and strides of its stages; use lpips_linear")
        if stride < 1:
            raise UserError(f"head: stride={stride} must be at least 1 pixel; 8 suits images of 224 pixels")
        self.tap_strides, self.stride = tuple(strides), stride
        self.factors = tuple(max(1, round(stride / own)) for own in strides)
        self.widths = tuple(own * (2 if factor > 1 else 1) for own, factor in zip(channels, self.factors, strict=True))

    def calibrate(self, features: Tensor | Sequence[Tensor]) -> None:
        """See `Head.calibrate`; of either form."""

    def evidence(self, grids: Sequence[Tensor]) -> Tensor:
        """Raw evidence of a change at every position of the first grid, (B, 1, h, w); exactly 0 where nothing differs."""
        raise NotImplementedError(f"{type(self).__name__} must implement evidence")

    def score_of(self, evidence: Tensor) -> Tensor:
        """Difference of each pair, (B,) of (B, 1, h, w)."""
        raise NotImplementedError(f"{type(self).__name__} must implement score_of")

    def finish(self, evidence: Tensor) -> Tensor:
        """From evidence to differences, element by element."""
        raise NotImplementedError(f"{type(self).__name__} must implement finish")

    def difference_map(self, features: Tensor | Sequence[Tensor]) -> Tensor:
        """(B, 1, h, w) differences, on the first grid."""
        return self.finish(self.evidence(self.listed(features)))

    def score_and_map(self, positions: list[Tensor], detach_map: bool = False) -> tuple[Tensor, Tensor]:
        evidence = self.evidence(self.listed(positions))  # (B, 1, h, w)
        return self.score_of(evidence), self.finish(evidence)

    def forward(self, features: Tensor | Sequence[Tensor]) -> Tensor:  # type: ignore[override]
        return self.score_of(self.evidence(self.listed(features)))

    def listed(self, features: Tensor | Sequence[Tensor]) -> list[Tensor]:
        """Grids in at least float32, from either form."""
        if not isinstance(features, Tensor):
            return [_full(grid) for grid in features]
        sides = self._sides(features.shape[1])
        pieces = features.split([width * side**2 for width, side in zip(self.widths, sides, strict=True)], dim=1)
        return [
            _full(piece.unflatten(1, (width, side, side)))
            for piece, width, side in zip(pieces, self.widths, sides, strict=True)
        ]

    def _sides(self, numbers: int) -> list[int]:
        """Positions along a side of each grid, of the only square images whose grids hold so many numbers."""
        reach = [max(own, self.stride) for own in self.tap_strides]
        for side in range(1, LARGEST_SIDE):
            sides = [-(-side * reach[0] // own) for own in reach]
            found = sum(width * own**2 for width, own in zip(self.widths, sides, strict=True))
            if found >= numbers:
                break
        if found != numbers:
            raise UserError(
                "head: cached grids are of square images of a size that the backbone's strides divide; set data.resize to squash "
                f"and data.image_size to a multiple of {max(self.tap_strides)}"
            )
        return sides


def _full(grid: Tensor) -> Tensor:
    return grid.float() if grid.dtype in (torch.float16, torch.bfloat16) else grid
