"""From a difference map to one difference per pair, so that local and global variants are compared in one table."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from heads.statistics import STEPS, top_means
from semfid.errors import UserError

ScoreOfMap = Literal["mean", "topk", "learned"]
SHARES = (0.01, 0.05, 0.25, 1.0)  # of the positions, largest first; what a learned score weighs


class MapScore(nn.Module):
    """Score of a difference map; 0 for a map of zeros.

    * ``mean``: mean over all positions.
    * ``topk``: mean over the share `top` of the positions with the largest differences: a small object that changed is then
      not diluted by what stayed.
    * ``learned``: non-negative weights on the means over the largest 1 %, 5 %, 25 % and 100 % of the positions.

    Attributes:
        learns: whether there are weights to train.
    """

    def __init__(self, kind: ScoreOfMap, top: float) -> None:
        super().__init__()
        if not 1 / STEPS <= top <= 1:
            raise UserError(
                f"head: top={top:g} is the share of the positions that topk averages; choose {1 / STEPS:g} to 1"
            )
        self.kind = kind
        self.shares = {"mean": (1.0,), "topk": (top,), "learned": SHARES}[kind]
        self.learns = kind == "learned"
        self.weight = nn.Parameter(torch.full((len(SHARES),), 1.0 / len(SHARES))) if self.learns else None

    def forward(self, maps: Tensor) -> Tensor:
        """(B,) of (B, 1, H, W)."""
        if self.kind == "mean":
            return maps.mean(dim=(1, 2, 3))
        flat = maps.flatten(1)  # (B, HW)
        means = top_means(flat, self.shares)  # (B, shares)
        return means[:, 0] if self.weight is None else means @ self.weight
