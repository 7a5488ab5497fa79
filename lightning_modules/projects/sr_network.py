"""A small super-resolution network, to try losses with, not a contender; and the small images that it enlarges."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from semfid.errors import UserError


class _Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut; no BatchNorm, which harms super-resolution (EDSR, section 3.1)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)  # type: ignore[no-any-return]


class SmallEdsr(nn.Module):
    """EDSR (arXiv 1707.02921) with few channels; adds to the bicubic enlargement, so that it starts from that.

    Args:
        scale: 2 or 4.
        channels: of the residual blocks.
        blocks: how many.
    """

    def __init__(self, scale: int = 4, channels: int = 32, blocks: int = 6) -> None:
        super().__init__()
        if scale not in (2, 4):
            raise UserError(f"model.scale is {scale}; it must be 2 or 4")
        self.scale = scale
        self.head = nn.Conv2d(3, channels, 3, padding=1)
        self.body = nn.Sequential(
            *(_Block(channels) for _ in range(blocks)), nn.Conv2d(channels, channels, 3, padding=1)
        )
        grow: list[nn.Module] = []
        for _ in range(scale.bit_length() - 1):
            grow += [nn.Conv2d(channels, 4 * channels, 3, padding=1), nn.PixelShuffle(2)]
        self.grow = nn.Sequential(*grow)
        self.tail = nn.Conv2d(channels, 3, 3, padding=1)
        nn.init.zeros_(self.tail.weight)
        nn.init.zeros_(self.tail.bias)  # type: ignore[arg-type]

    def forward(self, low: Tensor) -> Tensor:
        """(B, 3, h, w) in [0, 1] to (B, 3, s h, s w), values a little outside [0, 1] possible."""
        features = self.head(low)  # (B, C, h, w)
        features = features + self.body(features)
        detail = self.tail(self.grow(features))  # (B, 3, s h, s w)
        return F.interpolate(low, scale_factor=self.scale, mode="bicubic", align_corners=False) + detail


def shrunk(images: Tensor, scale: int, noise: float, rows: Tensor | None) -> Tensor:
    """Small images (bicubic, antialiased) with Gaussian noise, (B, 3, H / s, W / s), of images (B, 3, H, W) in [0, 1].

    Args:
        scale: s, which divides both sides.
        noise: its standard deviation, of [0, 1].
        rows: (B,) seeds of the noise, so that figures repeat; None: torch's random state.
    """
    size = (images.shape[-2] // scale, images.shape[-1] // scale)
    low = F.interpolate(images, size=size, mode="bicubic", align_corners=False, antialias=True)
    if rows is None:
        return (low + noise * torch.randn_like(low)).clamp(0.0, 1.0)
    drawn = [torch.randn(low.shape[1:], generator=torch.Generator().manual_seed(int(row))) for row in rows]
    return (low + noise * torch.stack(drawn).to(low)).clamp(0.0, 1.0)
