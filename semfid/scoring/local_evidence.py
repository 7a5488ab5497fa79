"""Evidence of a change at every position, and its soft maximum: pure functions, for heads and for the wheel."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from semfid.scoring.fused import each_image, image_by_image, squared_difference, wants_gradient
from semfid.scoring.statistics import Compress, compressed

SLOPE = 0.1  # of the leaky ReLU below 0: a unit that is never active would not learn again


class EvidenceWeights(NamedTuple):
    """The network of `evidence`.

    Attributes:
        first: (V, K), all grids side by side: their channels to V numbers a position.
        first_bias: (V,)
        second: (U, V)
        second_bias: (U,)
        last: (U,)
    """

    first: Tensor
    first_bias: Tensor
    second: Tensor
    second_bias: Tensor
    last: Tensor


def difference_grids(differences: Iterable[Tensor], strides: Sequence[int], stride: int) -> list[Tensor]:
    """Squared differences of all taps, none finer than `stride`.

    A tap whose positions lie closer is pooled: a mean says how much changed in a cell, a maximum that something did.

    Args:
        differences: (B, C_l, H_l, W_l) per tap; taken one after the other.
        strides: of each tap, in pixels.
        stride: of the finest grid, in pixels.

    Returns:
        per tap (B, 2 C_l, h, w), means before maxima, where its stride is smaller than `stride`; else the tap as it is.
    """
    return [_coarsened(tap, max(1, round(stride / own))) for tap, own in zip(differences, strides, strict=True)]


def grids_of(x: Sequence[Tensor], y: Sequence[Tensor], strides: Sequence[int], stride: int) -> list[Tensor]:
    """`difference_grids` of the squared differences of two (B, C_l, H_l, W_l) per tap, without whole maps of what is pooled."""
    grids = []
    for a, b, own in zip(x, y, strides, strict=True):
        factor = max(1, round(stride / own))
        if factor > 1 and image_by_image(a) and not wants_gradient(a, b):
            grids.append(each_image(partial(_coarsened_difference, factor), a, b))
        else:
            grids.append(_coarsened_difference(factor, a, b))
    return grids


def _coarsened_difference(factor: int, a: Tensor, b: Tensor) -> Tensor:
    return _coarsened(squared_difference(a, b), factor)


def _coarsened(tap: Tensor, factor: int) -> Tensor:
    if factor == 1:
        return tap
    # the last cells may be smaller: sides are rounded up, as those of a backbone's stages are
    means = F.avg_pool2d(tap, factor, ceil_mode=True)
    return torch.cat([means, F.max_pool2d(tap, factor, ceil_mode=True)], dim=1)


def evidence(grids: Sequence[Tensor], weights: EvidenceWeights, compress: Compress) -> Tensor:
    """Evidence of a change at every position of the first grid, (B, 1, h, w); exactly 0 where nothing differs.

    Two hidden layers a position, each less what it gives for a position without any difference, so that no rounding is left
    there: ``a(W v + b) - a(b)``, a the leaky ReLU. A coarser grid is brought to the finest after its own projection: both
    are linear, so the order does not matter, and this one multiplies fewer numbers.

    Args:
        grids: (B, K_l, h_l, w_l) squared differences, the finest first; K is the sum of K_l.
    """
    size = grids[0].shape[-2:]
    hidden: Tensor | None = None
    for grid, first in zip(grids, weights.first.split([grid.shape[1] for grid in grids], dim=1), strict=True):
        own = torch.einsum("vk,bkhw->bvhw", first, compressed(grid, compress))  # (B, V, h_l, w_l)
        own = own if own.shape[-2:] == size else F.interpolate(own, size=size, mode="bilinear", align_corners=False)
        hidden = own if hidden is None else hidden + own
    assert hidden is not None
    hidden = _layer(hidden, weights.first_bias)  # (B, V, h, w)
    hidden = _layer(torch.einsum("uv,bvhw->buhw", weights.second, hidden), weights.second_bias)  # (B, U, h, w)
    return torch.einsum("u,buhw->bhw", weights.last, hidden).unsqueeze(1)


def _layer(values: Tensor, bias: Tensor) -> Tensor:
    """a(v + b) - a(b) of (B, V, h, w); exactly 0 at 0, where both terms are the same arithmetic on the same number."""
    return F.leaky_relu(values + bias.view(1, -1, 1, 1), SLOPE) - F.leaky_relu(bias, SLOPE).view(1, -1, 1, 1)


def soft_maximum(maps: Tensor, temperature: float) -> Tensor:
    """T log mean exp(e / T) over the positions, (B,) of (B, 1, h, w); exactly 0 where all are 0.

    Between the mean (T large) and the maximum (T small) of the positions. A change that fills a share p of the image with
    evidence e counts e + T log p, whatever the number of positions: the score does not depend on the images' size.
    """
    flat = maps.flatten(1)  # (B, N)
    largest = flat.detach().amax(dim=1, keepdim=True)  # (B, 1)
    return largest[:, 0] + temperature * ((flat - largest) / temperature).exp().mean(dim=1).log()
