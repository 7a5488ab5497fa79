"""Linear aggregators of squared feature differences, after LPIPS (arXiv 1801.03924).

    score = output( sum_p mean_l ( w_pl . c( pool_p(d_l) ) ) + b ),   d_l = (f_l(x) - f_l(y))^2

over poolings p (`heads.statistics.parse_poolings`) and taps l, with the compression c (`heads.statistics.compressed`). Channels
are pooled before they are weighed, so that the heads consume at most P times 3,904 numbers a pair for a ResNet-50.

The map has the same weights at every position: sum_p w_pl . c(d_l), mean over taps. With mean pooling and no compression the 1x1
convolution w_l and the spatial mean commute, mean_hw(w . d) = w . mean_hw(d): the score is the mean of the map. A maximum and a
compression do not commute. For one pooling and nonnegative weights the score then bounds the map: ``max``: no position of a
tap's map exceeds that tap's term of the score; ``mean`` with ``sqrt`` or ``log``: the mean of the map does not exceed the score.

``scale: train`` divides each input by its root mean square over the training pairs plus the tap's mean of these, and by
the number of channels:

    score = output( sum_p mean_l mean_c ( w_plc v_plc / (rms_plc + mean_c rms_plc) ) + b ),   v = c( pool_p(d_l) )

The family of functions is the same, but taps whose activations differ by orders of magnitude then learn at one rate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from heads.contract import BackboneShape, Compress, LinearForm, MapHead, Normalize, Scale
from heads.output import Output, apply_output
from heads.statistics import (
    channel_rms,
    compressed,
    is_sided,
    last_taps,
    of_last_taps,
    one_side,
    parse_poolings,
    split_side,
)
from registry import HEADS
from semfid.errors import UserError

Weights = Literal["free", "nonnegative"]


@dataclass(frozen=True)
class LinearOptions:
    """Keywords of every linear head.

    Attributes:
        normalize: ``none`` (source project) or ``unit`` (LPIPS).
        weights: ``nonnegative`` clamps after each step, as LPIPS does.
        bias: a constant; off, identical images score exactly 0.
        output: see `heads.output`.
        scale: ``train`` puts all channels on one scale, see above.
        pooling: ``mean``, ``max``, ``top:0.05``, or a list of them; a mean hides what is small. ``gained:mean`` and
            ``lost:mean`` look in one direction alone: reference and candidate are then not exchangeable.
        compress: ``none``, ``sqrt`` or ``log`` of the pooled values, which are heavy-tailed.
    """

    normalize: Normalize = "none"
    weights: Weights = "free"
    bias: bool = False
    output: Output = "identity"
    scale: Scale = "none"
    pooling: str | list[str] = "mean"
    compress: Compress = "none"


class _LinearHead(MapHead):
    """Common part: weights per pooling and used tap, optional bias, output function."""

    input_kind = "pooled_squared_differences"

    scale: Tensor

    def __init__(self, channels: Sequence[int], depth: int, options: LinearOptions, shared: bool = False) -> None:
        super().__init__()
        self.used = last_taps(channels, depth)
        self.poolings, self.compress = parse_poolings(options.pooling), options.compress
        self.symmetric = not is_sided(self.poolings)
        self.normalize, self.output, self.shared = options.normalize, options.output, shared
        self._start = sum(channels) - sum(self.used)
        if shared and len(set(self.used)) > 1:
            raise UserError(f"head: lpips_linear_shared needs taps of one width, not {self.used}; use lpips_linear")
        widths = (self.used[:1] if shared else self.used) * len(self.poolings)
        if options.scale == "train":  # channels are of size 1 then, and their weights of the size of a difference
            initial = torch.rand(sum(widths))
        else:  # the initial scale of a 1x1 convolution; non-negative weights start from its absolute value
            initial = torch.cat([nn.init.uniform_(torch.empty(width), -(width**-0.5), width**-0.5) for width in widths])
        self.weight = nn.Parameter(initial.abs() if options.weights == "nonnegative" else initial)
        self.bias = nn.Parameter(torch.zeros(())) if options.bias else None
        self.needs_calibration = options.scale == "train"
        self.register_buffer("scale", torch.ones(len(self.poolings) * sum(self.used)))
        self.zero_at_identity = not options.bias
        self.nonnegative = ("weight",) if options.weights == "nonnegative" else ()

    def calibrate(self, features: Tensor) -> None:
        if not self.needs_calibration:
            return
        widths = self.used * len(self.poolings)
        sizes = _sizes_by_tap(self._inputs(features), widths).split(widths)
        self.scale.copy_(torch.cat([own * len(own) if own.any() else torch.ones_like(own) for own in sizes]))

    @classmethod
    def linear_form(cls, keywords: Mapping[str, Any]) -> LinearForm | None:
        return LinearForm(keywords["output"], keywords["weights"] == "nonnegative", keywords["bias"])

    def linear_inputs(self, features: Tensor) -> Tensor:
        inputs = self._inputs(features) / (self.scale * len(self.used))  # (n, P * sum of used C_l)
        if not self.shared:
            return inputs
        return inputs.unflatten(1, (len(self.poolings), len(self.used), -1)).sum(dim=2).flatten(1)  # (n, P * C)

    def linear_sizes(self, inputs: Tensor) -> Tensor:
        # root mean squares alone let a channel that the training pairs hardly move explode on others: on LIVE's 57 pairs, one
        # photo left out at a time, ridge regressions then reach an SRCC of 0.71 in place of 0.96
        if self.shared:
            sizes = _sizes_by_tap(inputs, self.used[:1] * len(self.poolings))
        else:
            factor = self.scale.double() * len(self.used)  # taps are compared as they were before it
            sizes = _sizes_by_tap(inputs.double() * factor, self.used * len(self.poolings)) / factor
        return torch.where(sizes > 0, sizes, 1.0)

    def set_linear(self, weights: Tensor, bias: float) -> None:
        self.weight.data.copy_(weights)
        if self.bias is not None:
            self.bias.data.fill_(bias)

    def forward(self, features: Tensor) -> Tensor:
        # the scale joins the weight, not the features: many heads then read the same features by one matrix product
        return self.finish(self._inputs(features) @ (self._weight() / self.scale) / len(self.used))  # (B,)

    def finish(self, raw: Tensor) -> Tensor:
        return apply_output(raw if self.bias is None else raw + self.bias, self.output)

    def _inputs(self, features: Tensor) -> Tensor:
        """(B, P * sum of used C_l): the used taps of each pooling, compressed."""
        return compressed(of_last_taps(features, len(self.poolings), self._start), self.compress)

    def _weight(self) -> Tensor:
        """(P * sum of used C_l,)."""
        if not self.shared:
            return self.weight
        return self.weight.unflatten(0, (len(self.poolings), -1)).repeat(1, len(self.used)).flatten()

    def difference_maps(self, squared_differences: Sequence[Tensor]) -> list[Tensor]:
        by_pooling = (self._weight() / self.scale).unflatten(0, (len(self.poolings), -1))  # (P, sum of used C_l)
        # poolings of one direction see the same value at a position: their weights add up
        weights: dict[str, Tensor] = {}
        for (side, _), own in zip(map(split_side, self.poolings), by_pooling, strict=True):
            weights[side] = weights[side] + own if side in weights else own
        apart = {side: weight.split(self.used) for side, weight in weights.items()}
        taps = list(squared_differences)[-len(self.used) :]
        return [
            torch.stack([self._map_of(tap, side, own[number]) for side, own in apart.items()]).sum(dim=0)
            for number, tap in enumerate(taps)
        ]

    def _map_of(self, tap: Tensor, side: str, weight: Tensor) -> Tensor:
        """(B, 1, H, W) of one tap (B, C, H, W) and direction; weight is (C,)."""
        seen = tap if self.symmetric else one_side(tap, side)
        return torch.einsum("bchw,c->bhw", compressed(seen, self.compress), weight).unsqueeze(1)


def _sizes_by_tap(inputs: Tensor, widths: Sequence[int]) -> Tensor:
    """(D,) sizes of the inputs (n, D), tap by tap; 0 in a tap where nothing moves."""
    return torch.cat([channel_rms(tap) for tap in inputs.split(tuple(widths), dim=1)])


@HEADS.register(
    "lpips_linear",
    summary="one weight per channel and stage; depth d uses the last d+1 stages",
    source="LPIPS, arXiv 1801.03924",
    shared=LinearOptions,
)
class LpipsLinear(_LinearHead):
    """Squared differences of the last `depth` + 1 stages, pooled over positions, one weight per channel, mean over stages."""

    def __init__(self, backbone: BackboneShape, depth: int = 3, *, options: LinearOptions) -> None:
        super().__init__(backbone.channels, depth, options)


@HEADS.register(
    "lpips_linear_blocks",
    summary="as lpips_linear, one weight per channel and residual block",
    source="source project's ablation",
    shared=LinearOptions,
)
class LpipsLinearBlocks(_LinearHead):
    """The same over residual blocks: the last `depth` + 1 of a ResNet-50's 16."""

    taps = "blocks"

    def __init__(self, backbone: BackboneShape, depth: int = 12, *, options: LinearOptions) -> None:
        if not backbone.block_channels:
            raise UserError("head: lpips_linear_blocks needs a backbone with residual blocks; use lpips_linear")
        super().__init__(backbone.block_channels, depth, options)


@HEADS.register(
    "lpips_linear_shared",
    summary="one weight vector for all taps (ViT backbones: taps of one width)",
    source="source project's ablation",
    shared=LinearOptions,
)
class LpipsLinearShared(_LinearHead):
    """One weight vector shared by the last `depth` + 1 taps, which must have the same width."""

    def __init__(self, backbone: BackboneShape, depth: int = 3, *, options: LinearOptions) -> None:
        super().__init__(backbone.channels, depth, options, shared=True)
