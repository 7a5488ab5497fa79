"""Pure functions from feature maps to what heads consume."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from heads.contract import Normalize

# eps stands under the root: x / (|x| + eps) has no finite gradient at 0
EPS = 1e-10


def unit_channels(features: Tensor) -> Tensor:
    """Scale each position's channel vector of (B, C, H, W) to length 1 (LPIPS, arXiv 1801.03924, eq. 1)."""
    return features * torch.rsqrt(features.square().sum(dim=1, keepdim=True) + EPS)


def squared_differences(x: Sequence[Tensor], y: Sequence[Tensor], normalize: Normalize) -> list[Tensor]:
    """d_l = (f_l(x) - f_l(y))^2, one (B, C_l, H_l, W_l) per tap."""
    if normalize == "unit":
        x, y = [unit_channels(tap) for tap in x], [unit_channels(tap) for tap in y]
    return [_squared_difference(a, b) for a, b in zip(x, y, strict=True)]


def _squared_difference(a: Tensor, b: Tensor) -> Tensor:
    if a.shape != b.shape:  # one reference against many
        return (a - b).square()
    return F.mse_loss(a, b, reduction="none")  # the same, in one pass forward and one backward


def channel_sizes(pooled: Tensor) -> Tensor:
    """(C,) float64 root mean squares over items of one stage's pooled statistic, (n, C), plus their mean.

    The mean keeps a channel that these items hardly move from exploding on others; all 0 where nothing moves.
    """
    rms = pooled.double().square().mean(dim=0).sqrt()
    return rms + rms.mean()


def pool(maps: Sequence[Tensor]) -> Tensor:
    """Spatial means of every tap side by side, in float32: (B, sum of C_l)."""
    return torch.cat([tap.mean(dim=(2, 3), dtype=torch.float32) for tap in maps], dim=1)
