"""Pure functions from feature maps to what heads consume."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Literal

import torch
from torch import Tensor

from semfid.scoring.fused import (
    EPS,
    each_image,
    image_by_image,
    mean_squares,
    squared_difference,
    unit_vectors,
    wants_gradient,
)

Normalize = Literal["none", "unit"]
Compress = Literal["none", "sqrt", "log"]

# of ``compress: log``: a squared difference far below it counts in proportion, far above it by its logarithm
LOG_UNIT = 1e-4
EXACT = (torch.float32, torch.float64)  # types that are computed with as they are
STEPS = 10_000  # to which a share is exact
SIDES = (
    "gained",
    "lost",
)  # in front of a pooling: only where the second image's activation is the larger, or the smaller one


def unit_channels(features: Tensor) -> Tensor:
    """Scale each position's channel vector of (B, C, H, W) to length 1 (LPIPS, arXiv 1801.03924, eq. 1)."""
    if image_by_image(features) and features.dtype in EXACT:
        return unit_vectors(features)
    return features * torch.rsqrt(features.square().sum(dim=1, keepdim=True) + EPS)


def squared_differences(x: Sequence[Tensor], y: Sequence[Tensor], normalize: Normalize) -> list[Tensor]:
    """d_l = (f_l(x) - f_l(y))^2, one (B, C_l, H_l, W_l) per tap."""
    if normalize == "unit":
        x, y = [unit_channels(tap) for tap in x], [unit_channels(tap) for tap in y]
    return [squared_difference(a, b) for a, b in zip(x, y, strict=True)]


def signed_squares(x: Sequence[Tensor], y: Sequence[Tensor]) -> list[Tensor]:
    """(f_l(y) - f_l(x)) |f_l(y) - f_l(x)|, one (B, C_l, H_l, W_l) per tap: squared differences that know their direction."""
    return [(b - a) * (b - a).abs() for a, b in zip(x, y, strict=True)]


def one_side(signed: Tensor, side: str) -> Tensor:
    """Squared differences in one direction, 0 elsewhere, from `signed_squares`; of both where `side` is neither of `SIDES`."""
    if side == "gained":
        return signed.clamp(min=0.0)
    return (-signed).clamp(min=0.0) if side == "lost" else signed.abs()


def split_side(pooling: str) -> tuple[str, str]:
    """``gained:top:0.05`` as (``gained``, ``top:0.05``); a pooling of both directions as (``""``, itself)."""
    side, _, rest = pooling.partition(":")
    return (side, rest) if side in SIDES else ("", pooling)


def is_sided(poolings: Sequence[str]) -> bool:
    """Whether any of them looks in one direction alone; all of them then take `signed_squares`."""
    return any(split_side(pooling)[0] for pooling in poolings)


def differences_for(
    poolings: Sequence[str], x: Sequence[Tensor], y: Sequence[Tensor], normalize: Normalize
) -> list[Tensor]:
    """What `pool` takes for some poolings: squared differences, or `signed_squares` where any is one-sided."""
    if not is_sided(poolings):
        return squared_differences(x, y, normalize)
    if normalize == "unit":
        x, y = [unit_channels(tap) for tap in x], [unit_channels(tap) for tap in y]
    return signed_squares(x, y)


def pool(maps: Iterable[Tensor], poolings: Sequence[str] = ("mean",)) -> Tensor:
    """Every tap by every pooling, in float32: (B, P * sum of C_l), poolings side by side, each of all taps side by side.

    Args:
        maps: (B, C_l, H_l, W_l) per tap, shallow to deep, see `differences_for`; taken one after the other, so that they may be
            made on demand.
        poolings: ``mean``, ``max``, or ``top:<share>``: mean over that share of the positions, at least one, largest values
            first; each also as ``gained:mean`` or ``lost:mean``, of one direction alone.
    """
    sided = is_sided(poolings)
    taps = []
    for tap in maps:
        # each direction is made once, whatever the number of its poolings
        sides = {side: one_side(tap, side) if sided else tap for side in {split_side(name)[0] for name in poolings}}
        pooled = [_pooled(sides[side], name) for side, name in map(split_side, poolings)]
        taps.append(torch.stack(pooled, dim=1))  # (B, P, C_l)
    return torch.cat(taps, dim=2).flatten(1)


def pooled_differences(x: Sequence[Tensor], y: Sequence[Tensor], poolings: Sequence[str] = ("mean",)) -> Tensor:
    """`pool` of `differences_for` the poolings, (B, P * sum of C_l), without maps of a whole batch where that is possible.

    Args:
        x, y: (B, C_l, H_l, W_l) per tap, as they are or of unit length; one side may hold a single image.
    """
    taps = [_pooled_difference(a, b, poolings).unflatten(1, (len(poolings), -1)) for a, b in zip(x, y, strict=True)]
    return torch.cat(taps, dim=2).flatten(1)


def _pooled_difference(a: Tensor, b: Tensor, poolings: Sequence[str]) -> Tensor:
    """(B, P * C) of two (B, C, H, W)."""

    def plain(own: Tensor, other: Tensor) -> Tensor:
        return pool(differences_for(poolings, [own], [other], "none"), poolings)

    if not image_by_image(a):
        return plain(a, b)
    if not wants_gradient(a, b):
        return each_image(plain, a, b)
    if tuple(poolings) == ("mean",) and a.shape == b.shape and a.dtype == b.dtype and a.dtype in EXACT:
        return mean_squares(a, b).float()
    return plain(a, b)


def _pooled(tap: Tensor, pooling: str) -> Tensor:
    """(B, C) of (B, C, H, W), float32."""
    if pooling == "mean":
        return tap.mean(dim=(2, 3), dtype=torch.float32)
    if pooling == "max":
        return tap.amax(dim=(2, 3)).float()
    share = float(pooling.removeprefix("top:"))
    return top_means(tap.float().flatten(2), (share,))[..., 0]


def top_means(values: Tensor, shares: tuple[float, ...]) -> Tensor:
    """Means over the largest values along the last dimension, one column per share of them: (..., shares) of (..., N).

    Args:
        shares: above 0 and at most 1, largest values first; ceil(share * N) values count.
    """
    if torch.compiler.is_exporting():
        return _top_means_of_any_size(values, shares)
    counts = [(values.shape[-1] * round(share * STEPS) + STEPS - 1) // STEPS for share in shares]
    partial = max((share for share in shares if share < 1), default=0.0)
    top = values.topk(counts[shares.index(partial)], dim=-1).values if partial else values  # (..., largest), descending
    means = [
        (top[..., :count] if share < 1 else values).mean(dim=-1) for share, count in zip(shares, counts, strict=True)
    ]
    return torch.stack(means, dim=-1)


def _top_means_of_any_size(values: Tensor, shares: tuple[float, ...]) -> Tensor:
    """`top_means` as an exported program has it, slower: a count that is a number would tie it to the size of an input that the
    program's part `compare` does not see.
    """
    ordered = values.sort(dim=-1, descending=True).values
    rank = torch.ones_like(ordered, dtype=torch.int64).cumsum(dim=-1)  # (..., N), from 1
    means = []
    for share in shares:
        count = (rank[..., -1:] * round(share * STEPS) + STEPS - 1) // STEPS  # (..., 1)
        means.append(torch.where(rank <= count, ordered, 0.0).sum(dim=-1) / count[..., 0])
    return torch.stack(means, dim=-1)


def compressed(values: Tensor, compress: Compress) -> Tensor:
    """Squared differences with their heavy tail shortened, element by element; exactly 0 at 0, gradient finite there.

    * ``none``: as they are.
    * ``sqrt``: sqrt(v + EPS) - sqrt(EPS).
    * ``log``: log(1 + v / LOG_UNIT) / log(1 + 1 / LOG_UNIT), so that 1 stays 1.

    Args:
        values: at least 0.
    """
    if compress == "sqrt":  # the difference of two roots, written so that rounding leaves nothing at 0
        return values / ((values + EPS).sqrt() + EPS**0.5)
    if compress == "log":
        return torch.log1p(values / LOG_UNIT) / math.log1p(1 / LOG_UNIT)
    return values
