"""Stages of any backbone as a pyramid of strides 2, 4, 8, 16, 32, which decoders of segmentation models expect."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

LEVELS = (2, 4, 8, 16, 32)


def levels_of(strides: Sequence[int]) -> list[int]:
    """For each level the stage it is taken from, by number.

    The stage of the level's own stride where there is one, else of the nearest. Levels that share a stride (a ViT's token
    maps have but one) are spread over its stages, the deepest level on the deepest stage.
    """
    nearest = [min(sorted(set(strides)), key=lambda stride: abs(math.log2(stride / level))) for level in LEVELS]
    chosen = []
    for place, stride in enumerate(nearest):
        stages = [number for number, own in enumerate(strides) if own == stride]
        sharers = [number for number, own in enumerate(nearest) if own == stride]
        rank = sharers.index(place)  # 0 is the shallowest level of this stride
        steps = len(sharers) - 1 - rank
        chosen.append(stages[max(0, len(stages) - 1 - round(steps * len(stages) / len(sharers)))])
    return chosen


def resampled(tap: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, C, h, w) at another size."""
    return tap if tuple(tap.shape[-2:]) == size else F.interpolate(tap, size=size, mode="bilinear", align_corners=False)
