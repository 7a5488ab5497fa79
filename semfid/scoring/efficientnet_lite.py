"""EfficientNet-Lite0 in plain torch, for features: no classifier, no dropout, BatchNorm folded into the convolutions.

Sources: EfficientNet (Tan and Le 2019, arXiv 1905.11946), its Lite variant (TensorFlow's efficientnet/lite: no
squeeze-excitation, ReLU6, stem of fixed width), inverted residuals (MobileNetV2, arXiv 1801.04381). Weights have the names of
timm's `tf_efficientnet_lite0`; values equal timm's to rounding.

Convolutions of stride 2 pad as TensorFlow's "SAME" does: the output has ceil(n / 2) positions, and an odd pixel of padding goes
to the right and to the bottom, so that the sampled positions depend on whether n is even.

A large image passes in tiles (`tiles.py`), run after run of layers: memory besides the features themselves does not grow with it,
and the values are those of the whole image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from semfid.scoring.tiles import in_tiles

BN_EPS = 1e-3  # of TensorFlow's EfficientNets
STEM = 32  # channels


@dataclass(frozen=True)
class Stage:
    """`repeats` inverted residual blocks; the first one has the stride and changes the number of channels."""

    kernel: int
    stride: int
    expansion: int
    channels: int
    repeats: int


STAGES = (
    Stage(3, 1, 1, 16, 1),
    Stage(3, 2, 6, 24, 2),
    Stage(5, 2, 6, 40, 2),
    Stage(3, 2, 6, 80, 3),
    Stage(5, 1, 6, 112, 3),
    Stage(5, 2, 6, 192, 4),
    Stage(3, 1, 6, 320, 1),
)
TAPS = ("stem", *(f"blocks.{number}" for number in range(len(STAGES))))
"""Names of what `features` can give, shallow to deep."""
CHANNELS = dict(zip(TAPS, (STEM, *(stage.channels for stage in STAGES)), strict=True))
STRIDES = dict(zip(TAPS, (2, 2, 4, 8, 16, 16, 32, 32), strict=True))


@dataclass(frozen=True)
class Run:
    """Layers that are tiled together: the first `count` of those that are left.

    Attributes:
        reach: positions of the run's input to each side that one of its outputs sees.
        tile: positions of a side.
    """

    count: int
    reach: int
    tile: int


RUNS = (
    Run(4, 40, 512),  # stem to blocks.2: 2 + 2 + 4 + 4 + 12 + 16 pixels
    Run(1, 6, 192),  # blocks.3, at stride 8: 2 + 2 + 2
    Run(1, 6, 128),  # blocks.4, at stride 16: 3 times 2
    Run(1, 14, 128),  # blocks.5, at stride 16: 2 + 3 times 4
    Run(1, 1, 128),  # blocks.6, at stride 32
)


class Conv(nn.Conv2d):
    """A convolution with TensorFlow's SAME padding, bias from its BatchNorm, and ReLU6 where asked for."""

    def __init__(
        self, inside: int, outside: int, kernel: int, stride: int = 1, groups: int = 1, act: bool = True
    ) -> None:
        super().__init__(
            inside, outside, kernel, stride, padding=(kernel - 1) // 2 if stride == 1 else 0, groups=groups
        )
        self.act = act

    def reset_parameters(self) -> None:
        """Nothing: all weights come from a file, and random ones take longer than reading it."""

    def forward(self, x: Tensor) -> Tensor:
        if self.stride[0] > 1:
            bottom, right = (_same(size, self.kernel_size[0], self.stride[0]) for size in x.shape[-2:])
            x = F.pad(x, (right // 2, right - right // 2, bottom // 2, bottom - bottom // 2))
        x = super().forward(x)
        return F.relu6(x, inplace=True) if self.act else x


def _same(size: int, kernel: int, stride: int) -> int:
    """Padding of both sides together."""
    return max((-(-size // stride) - 1) * stride + kernel - size, 0)


class Block(nn.Module):
    """Expand by 1x1, filter each channel, project by 1x1; the input is added where shapes allow (MobileNetV2)."""

    def __init__(self, inside: int, stage: Stage, stride: int) -> None:
        super().__init__()
        width = inside * stage.expansion
        expand = [Conv(inside, width, 1)] if stage.expansion > 1 else []
        self.convs = nn.Sequential(
            *expand,
            Conv(width, width, stage.kernel, stride, groups=width),
            Conv(width, stage.channels, 1, act=False),
        )
        self.residual = stride == 1 and inside == stage.channels

    def forward(self, x: Tensor) -> Tensor:
        return x + self.convs(x) if self.residual else self.convs(x)


class EfficientNetLite0(nn.Module):
    """Features of images; frozen.

    Args:
        state: weights by timm's names, of any precision; computed with in float32.
        taps: which outputs are wanted, from `TAPS`, shallow to deep. Layers behind the last one are not built.
    """

    def __init__(self, state: Mapping[str, Tensor], taps: Sequence[str]) -> None:
        super().__init__()
        self.taps = tuple(taps)
        deepest = TAPS.index(self.taps[-1])
        self.layers = nn.ModuleList([Conv(3, STEM, 3, 2)])
        inside = STEM
        for stage in STAGES[:deepest]:
            blocks = [Block(inside, stage, stage.stride)]
            blocks += [Block(stage.channels, stage, 1) for _ in range(stage.repeats - 1)]
            self.layers.append(nn.Sequential(*blocks))
            inside = stage.channels
        self._load(state)
        # float32 convolutions on channels-last memory are faster on CPUs, and faster in bf16 on GPUs
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.requires_grad_(False)
        self.eval()

    def forward(self, images: Tensor, taps: Sequence[str] | None = None) -> list[Tensor]:
        """(B, C, ceil(H / stride), ceil(W / stride)) of each tap, of (B, 3, H, W) RGB in [0, 1].

        Args:
            taps: of `self.taps`, shallow to deep; all where it is None. Layers behind the last one are not computed.
        """
        taps = self.taps if taps is None else taps
        last = TAPS.index(taps[-1]) + 1
        outputs: dict[str, Tensor] = {}
        x, first = images, 0
        for run in RUNS:
            names = TAPS[first : min(first + run.count, last)]
            if not names:
                break
            kept = [name for name in names if name in taps or name == names[-1]]
            before = STRIDES[TAPS[first - 1]] if first else 1
            strides = [STRIDES[name] // before for name in kept]
            found = in_tiles(partial(self._pass, first=first, names=names, kept=kept), x, strides, run.reach, run.tile)
            outputs |= zip(kept, found, strict=True)
            x, first = found[-1], first + run.count
        return [outputs[name] for name in taps]

    def _pass(self, x: Tensor, first: int, names: Sequence[str], kept: Sequence[str]) -> list[Tensor]:
        """Outputs `kept` of the layers `names`, the first of which is number `first`."""
        if first == 0:
            x = (x * 2 - 1).contiguous(memory_format=torch.channels_last)  # mean and standard deviation 0.5
        found = []
        for number, name in enumerate(names, start=first):
            x = self.layers[number](x)
            if name in kept:
                found.append(x)
        return found

    @torch.no_grad()
    def _load(self, state: Mapping[str, Tensor]) -> None:
        """Convolution and BatchNorm become one convolution."""
        for conv, (weights, norm) in zip(_convs(self.layers), timm_names(TAPS[len(self.layers) - 1]), strict=True):
            gain, shift, mean, variance = (
                state[f"{norm}.{key}"].double() for key in ("weight", "bias", "running_mean", "running_var")
            )
            scale = gain / (variance + BN_EPS).sqrt()  # (C,)
            conv.weight.copy_(state[weights].double() * scale[:, None, None, None])
            assert conv.bias is not None
            conv.bias.copy_(shift - mean * scale)


def _convs(layers: nn.Module) -> list[Conv]:
    return [module for module in layers.modules() if isinstance(module, Conv)]


def timm_names(deepest: str) -> list[tuple[str, str]]:
    """Timm's names of each convolution's weight and of its BatchNorm, in the order of the layers, up to a tap."""
    names = [("conv_stem.weight", "bn1")]
    for number, stage in enumerate(STAGES[: TAPS.index(deepest)]):
        kinds = ("conv_pw", "conv_dw", "conv_pwl") if stage.expansion > 1 else ("conv_dw", "conv_pw")
        for repeat in range(stage.repeats):
            place = f"blocks.{number}.{repeat}"
            names += [(f"{place}.{kind}.weight", f"{place}.bn{order}") for order, kind in enumerate(kinds, start=1)]
    return names
