"""Linear aggregators of squared feature differences, after LPIPS (arXiv 1801.03924).

    score = output( mean_l  mean_hw( w_l . d_l ) + b ),   d_l = (f_l(x) - f_l(y))^2

The 1x1 convolution w_l and the spatial mean commute, mean_hw(w . d) = w . mean_hw(d): so the heads consume channel means,
at most 3,904 numbers a pair for a ResNet-50, and still give a spatial map.

``scale: train`` divides each channel by its root mean square over the training pairs plus the stage's mean of these, and by
the number of channels:

    score = output( mean_l mean_c ( w_lc mean_hw(d_lc) / (rms_lc + mean_c rms_lc) ) + b )

The family of functions is the same, but stages whose activations differ by orders of magnitude then learn at one rate.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from heads.contract import MapHead, Normalize, Scale, TrunkShape
from heads.output import Output, apply_output
from heads.statistics import channel_sizes
from registry import HEADS, UserError

Weights = Literal["free", "nonnegative"]


class _LinearHead(MapHead):
    """Common part: weights per used tap, optional bias, output function."""

    consumes = "pooled_squared_differences"

    scale: Tensor

    def __init__(
        self,
        channels: Sequence[int],
        depth: int,
        shared: bool,
        normalize: Normalize,
        weights: Weights,
        bias: bool,
        output: Output,
        scale: Scale,
    ) -> None:
        super().__init__()
        if not channels:
            raise UserError("head: this trunk gives no feature maps; use a head on embeddings (concept_linear, cosine)")
        if not 0 <= depth < len(channels):
            raise UserError(
                f"head: depth={depth} uses the last {depth + 1} taps but this trunk has {len(channels)}; "
                f"choose 0 to {len(channels) - 1}"
            )
        self.normalize, self.output, self.shared = normalize, output, shared
        self.used = tuple(channels[-(depth + 1) :])
        self._start = sum(channels) - sum(self.used)
        if shared and len(set(self.used)) > 1:
            raise UserError(f"head: lpips_linear_shared needs taps of one width, not {self.used}; use lpips_linear")
        widths = self.used[:1] if shared else self.used
        if scale == "train":  # channels are of size 1 then, and their weights of the size of a difference
            initial = torch.rand(sum(widths))
        else:  # the initial scale of a 1x1 convolution; non-negative weights start from its absolute value
            initial = torch.cat([nn.init.uniform_(torch.empty(width), -(width**-0.5), width**-0.5) for width in widths])
        self.weight = nn.Parameter(initial.abs() if weights == "nonnegative" else initial)
        self.bias = nn.Parameter(torch.zeros(())) if bias else None
        self.needs_calibration = scale == "train"
        self.register_buffer("scale", torch.ones(sum(self.used)))
        self.zero_at_identity = not bias
        self.nonnegative = ("weight",) if weights == "nonnegative" else ()

    def calibrate(self, statistic: Tensor) -> None:
        if not self.needs_calibration:
            return
        scales = []
        for stage in statistic[:, self._start :].split(self.used, dim=1):  # (n, C_l)
            sizes = channel_sizes(stage)
            scales.append(sizes * len(sizes) if sizes.any() else torch.ones_like(sizes))
        self.scale.copy_(torch.cat(scales))

    def forward(self, statistic: Tensor) -> Tensor:
        used = statistic[:, self._start :]  # (B, sum of used C_l)
        # the scale joins the weight, not the statistic: many heads then read one statistic by one matrix product
        return self.finish(used @ (self._weight() / self.scale) / len(self.used))  # (B,)

    def finish(self, raw: Tensor) -> Tensor:
        return apply_output(raw if self.bias is None else raw + self.bias, self.output)

    def _weight(self) -> Tensor:
        return self.weight.repeat(len(self.used)) if self.shared else self.weight  # (sum of used C_l,)

    def difference_maps(self, squared_differences: Sequence[Tensor]) -> list[Tensor]:
        taps = list(squared_differences)[-len(self.used) :]
        pieces = (self._weight() / self.scale).split(self.used)
        return [torch.einsum("bchw,c->bhw", tap, w).unsqueeze(1) for tap, w in zip(taps, pieces, strict=True)]


@HEADS.register(
    "lpips_linear",
    summary="one weight per channel and stage; depth d uses the last d+1 stages",
    source="LPIPS, arXiv 1801.03924",
)
class LpipsLinear(_LinearHead):
    """Squared differences of the last `depth` + 1 stages, a 1x1 convolution each, mean over positions and stages.

    Args:
        normalize: ``none`` (source project) or ``unit`` (LPIPS).
        weights: ``nonnegative`` clamps after each step, as LPIPS does.
        bias: a constant; off, identical images score exactly 0.
        scale: ``train`` puts all channels on one scale, see above.
    """

    def __init__(
        self,
        trunk: TrunkShape,
        depth: int = 3,
        normalize: Normalize = "none",
        weights: Weights = "free",
        bias: bool = False,
        output: Output = "identity",
        scale: Scale = "none",
    ) -> None:
        super().__init__(trunk.channels, depth, False, normalize, weights, bias, output, scale)


@HEADS.register(
    "lpips_linear_blocks",
    summary="as lpips_linear, one weight per channel and residual block",
    source="source project's ablation",
)
class LpipsLinearBlocks(_LinearHead):
    """The same over residual blocks: the last `depth` + 1 of a ResNet-50's 16."""

    taps = "blocks"

    def __init__(
        self,
        trunk: TrunkShape,
        depth: int = 12,
        normalize: Normalize = "none",
        weights: Weights = "free",
        bias: bool = False,
        output: Output = "identity",
        scale: Scale = "none",
    ) -> None:
        if not trunk.block_channels:
            raise UserError("head: lpips_linear_blocks needs a trunk with residual blocks; use lpips_linear")
        super().__init__(trunk.block_channels, depth, False, normalize, weights, bias, output, scale)


@HEADS.register(
    "lpips_linear_shared",
    summary="one weight vector for all taps (ViT trunks: taps of one width)",
    source="source project's ablation",
)
class LpipsLinearShared(_LinearHead):
    """One weight vector shared by the last `depth` + 1 taps, which must have the same width."""

    def __init__(
        self,
        trunk: TrunkShape,
        depth: int = 3,
        normalize: Normalize = "none",
        weights: Weights = "free",
        bias: bool = False,
        output: Output = "identity",
        scale: Scale = "none",
    ) -> None:
        super().__init__(trunk.channels, depth, True, normalize, weights, bias, output, scale)
