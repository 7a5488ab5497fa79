"""What all decoders of difference maps share: scales, the anchor, the output function, the score of the map."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from heads.contract import BackboneShape, Head, Normalize, Scale
from heads.decoders.map_score import MapScore, ScoreOfMap
from heads.features import padded
from heads.output import Output, apply_output, full_precision
from heads.statistics import channel_rms
from semfid.errors import UserError

Norm = Literal["batch", "group"]


@dataclass(frozen=True)
class MapOptions:
    """Keywords of every decoder.

    Attributes:
        normalize: ``none`` (source project) or ``unit`` (LPIPS).
        scale: ``train`` divides each channel by its root mean square over training pairs plus the stage's mean of these,
            so that stages whose activations differ by orders of magnitude enter alike.
        anchored: off, the source project's way; see `DecoderHead`.
        output: ``sigmoid`` keeps maps below 1; see `heads.output`.
        score: how one difference per pair comes from the map.
        top: share of the positions that ``score: topk`` averages.
    """

    normalize: Normalize = "none"
    scale: Scale = "train"
    anchored: bool = True
    output: Output = "sigmoid"
    score: ScoreOfMap = "mean"
    top: float = 0.05


class DecoderHead(Head):
    """From squared differences at every position to a difference map at the size of the images, and its score.

    A subclass implements `decode`. Its features are a list: first the images' own squared difference, mean over the colour
    channels, (B, 1, H, W), then (B, C_l, H_l, W_l) per stage, shallow to deep, of images padded to multiples of every stride.
    The map has the size of the images as they were.

    The map is ``output(decode(d) - decode(0))``: a decoder has biases and statistics of its own, and without this *anchor*
    identical images would not score 0. In training the zeros are one more item of the batch. Rounding depends on the size of
    a batch, so images that are equal in every pixel are set to 0 besides.

    Args:
        pixel: whether `decode` wants the images' own difference.
    """

    input_kind = "squared_difference_maps"
    gives_maps = True
    trains_mixed = True

    def __init__(self, backbone: BackboneShape, options: MapOptions, pixel: bool = False) -> None:
        super().__init__()
        if len(backbone.channels) != len(backbone.strides) or not backbone.channels:
            raise UserError(
                "head: this backbone does not say the channels and strides of its stages; a decoder needs both"
            )
        self.channels, self.strides = (1, *backbone.channels), (1, *backbone.strides)
        self.pixel, self.normalize = pixel, options.normalize
        self.anchored, self.output = options.anchored, options.output
        self.needs_calibration = options.scale == "train"
        self.register_buffer("scale", torch.ones(sum(self.channels)))
        self.zero_at_identity = options.anchored
        self.score = MapScore(options.score, options.top)
        self.score_learns = self.score.learns
        self.nonnegative = ("score.weight",) if self.score.learns else ()

    scale: Tensor

    def decode(self, pixel: Tensor, differences: list[Tensor]) -> Tensor:
        """Raw map (B, 1, H, W).

        Args:
            pixel: (B, 1, H, W) squared difference of the images themselves; H and W are multiples of every stride.
            differences: (B, C_l, H_l, W_l) per stage.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement decode")

    def difference_map(self, features: Sequence[Tensor]) -> Tensor:
        """(B, 1, H, W) at the size of the images."""
        height, width = features[0].shape[-2:]
        return self._map_of_padded(self._padded(features))[..., :height, :width]

    def score_and_map(self, positions: list[Tensor], detach_map: bool = False) -> tuple[Tensor, Tensor]:
        maps = self.difference_map(positions).float()
        with full_precision(maps.device.type):
            return self.score(maps.detach() if detach_map and self.score_learns else maps), maps

    def _padded(self, features: Sequence[Tensor]) -> list[Tensor]:
        return [padded(features[0], max(self.strides)), *features[1:]]

    def _map_of_padded(self, features: Sequence[Tensor]) -> Tensor:
        scales = self.scale.split(self.channels)
        scaled = [tap / scale.view(1, -1, 1, 1) for tap, scale in zip(features, scales, strict=True)]
        if not self.anchored:
            return apply_output(self._decode(scaled), self.output)
        if self.training:  # BatchNorm shall see the zeros among the others
            raw = self._decode([torch.cat([tap, torch.zeros_like(tap[:1])]) for tap in scaled])  # (B + 1, 1, H, W)
            raw, zero = raw[:-1], raw[-1:]
        else:
            raw, zero = self._decode(scaled), self._decode([torch.zeros_like(tap[:1]) for tap in scaled])
        identical = (features[0] == 0).flatten(1).all(dim=1).view(-1, 1, 1, 1)  # (B, 1, 1, 1)
        return torch.where(identical, 0.0, apply_output(raw - zero, self.output))

    def _decode(self, scaled: list[Tensor]) -> Tensor:
        return self.decode(scaled[0], scaled[1:])

    def forward(self, features: Sequence[Tensor]) -> Tensor:  # type: ignore[override]
        return self.score(self.difference_map(features))

    def calibrate(self, features: Sequence[Tensor]) -> None:  # type: ignore[override]
        if not self.needs_calibration:
            return
        scales = []
        for tap in self._padded(features):
            sizes = channel_rms(tap.double().mean(dim=(2, 3)))  # (C_l,)
            scales.append(sizes if sizes.any() else torch.ones_like(sizes))
        self.scale.copy_(torch.cat(scales))


def conv_block(before: int, after: int, norm: Norm) -> nn.Sequential:
    """Two 3x3 convolutions, each with a normalisation and ReLU."""
    layers: list[nn.Module] = []
    for width in (before, after):
        normalisation = nn.BatchNorm2d(after) if norm == "batch" else nn.GroupNorm(math.gcd(after, 16), after)
        layers += [nn.Conv2d(width, after, 3, padding=1, bias=False), normalisation, nn.ReLU(inplace=True)]
    block = nn.Sequential(*layers)
    for module in block:
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return block


def one_channel(width: int) -> nn.Conv2d:
    """The last layer: a 1x1 convolution to the raw map, near 0 at first so that training starts inside the output's range."""
    layer = nn.Conv2d(width, 1, 1)
    nn.init.normal_(layer.weight, std=0.1 * width**-0.5)
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return layer
