"""UNet decoders over squared feature differences: CLU, "CLIP LPIPS UNet".

From the deepest stage up: join the stage's differences with what comes from below, two 3x3 convolutions with BatchNorm and
ReLU, bilinear growth to the next stage's size; at the top one channel, grown to the size of the images.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from heads.contract import BackboneShape
from heads.decoders.base import DecoderHead, MapOptions, Norm, conv_block, one_channel
from registry import HEADS
from semfid.errors import UserError
from semfid.keywords import Fixed


@HEADS.register(
    "unet",
    summary="CLU: UNet over squared differences of all stages; a difference map and its score",
    source="source project (CLU); UNet, arXiv 1505.04597",
    shared=MapOptions,
)
class UNet(DecoderHead):
    """UNet decoder. A stage's width is its number of channels, at most `max_width`.

    Args:
        max_width: the source project's decoder has 2048; 256 trains much faster and seldom worse.
        norm: ``batch`` (source project), or ``group``, whose training does not depend on the batch: 1 and N processes then
            take the same steps.
        pixel: whether it sees where the pixels differ.
    """

    def __init__(
        self,
        backbone: BackboneShape,
        max_width: int = 2048,
        norm: Norm = "batch",
        *,
        options: MapOptions,
        pixel: Fixed[bool] = False,
    ) -> None:
        super().__init__(backbone, options, pixel)
        if max_width < 1:
            raise UserError(f"head: max_width={max_width} must be at least 1")
        widths = [min(channels, max_width) for channels in backbone.channels]
        extra = 1 if pixel else 0
        below = [*widths[1:], 0]  # what comes up from the next deeper stage
        inputs = [c + extra + b for c, b in zip(backbone.channels, below, strict=True)]
        self.blocks = nn.ModuleList(
            [conv_block(before, after, norm) for before, after in zip(inputs, widths, strict=True)]
        )
        self.last = one_channel(widths[0])

    def decode(self, pixel: Tensor, differences: list[Tensor]) -> Tensor:
        if self.pixel:
            strides = self.strides[1:]
            differences = [
                torch.cat([tap, shrunk(pixel, stride, tap)], dim=1)
                for tap, stride in zip(differences, strides, strict=True)
            ]
        below = None
        for tap, block in zip(reversed(differences), reversed(self.blocks), strict=True):
            below = block(tap if below is None else torch.cat([tap, grown(below, tap)], dim=1))  # (B, w_l, H_l, W_l)
        return grown(self.last(below), pixel)  # (B, 1, H, W)


HEADS.preset(
    "unet_pixel",
    of="unet",
    summary="as unet, with the images' own squared difference as one more channel at every stage",
    source="source project (CLU, second version)",
    pixel=True,
)


def shrunk(pixel: Tensor, stride: int, like: Tensor) -> Tensor:
    """(B, 1, H, W) at a stage's positions: means over the pixels of each."""
    small = F.avg_pool2d(pixel, stride) if stride > 1 else pixel
    return small if small.shape[-2:] == like.shape[-2:] else grown(small, like)


def grown(maps: Tensor, like: Tensor) -> Tensor:
    """(B, C, h, w) at the positions of `like`, bilinear."""
    return F.interpolate(maps, size=like.shape[-2:], mode="bilinear", align_corners=False)
