"""How heads name and scale what they pool; the functions themselves are in `semfid.scoring.statistics`, for the wheel too."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from semfid.errors import UserError
from semfid.scoring.fused import EPS
from semfid.scoring.statistics import (
    LOG_UNIT,
    SIDES,
    STEPS,
    compressed,
    differences_for,
    is_sided,
    one_side,
    pool,
    split_side,
    squared_differences,
    top_means,
    unit_channels,
)

__all__ = [
    "EPS",
    "LOG_UNIT",
    "SIDES",
    "STEPS",
    "channel_rms",
    "compressed",
    "differences_for",
    "is_sided",
    "last_taps",
    "of_last_taps",
    "one_side",
    "parse_poolings",
    "pool",
    "split_side",
    "squared_differences",
    "top_means",
    "unit_channels",
]


def channel_rms(pooled: Tensor) -> Tensor:
    """(C,) float64 root mean squares over items of one stage's pooled features, (n, C), plus their mean.

    The mean keeps a channel that these items hardly move from exploding on others; all 0 where nothing moves.
    """
    rms = pooled.double().square().mean(dim=0).sqrt()
    return rms + rms.mean()


def last_taps(channels: Sequence[int], depth: int) -> tuple[int, ...]:
    """Channels of the last `depth` + 1 taps.

    Raises:
        UserError: no feature maps, or not so many taps.
    """
    if not channels:
        raise UserError("head: this backbone gives no feature maps; use a head on embeddings (concept_linear, cosine)")
    if not 0 <= depth < len(channels):
        raise UserError(
            f"head: depth={depth} uses the last {depth + 1} taps but this backbone has {len(channels)}; "
            f"choose 0 to {len(channels) - 1}"
        )
    return tuple(channels[-(depth + 1) :])


def of_last_taps(features: Tensor, poolings: int, start: int) -> Tensor:
    """(B, P * sum of used C_l) of (B, P * sum of C_l): of each of P poolings the channels from `start` on."""
    return features.unflatten(1, (poolings, -1))[:, :, start:].flatten(1)


def parse_poolings(pooling: str | Sequence[str]) -> tuple[str, ...]:
    """The poolings that a head's keyword names: ``mean``, ``max``, ``top:<share>``, or a list of them.

    * ``mean``: over all positions.
    * ``max``: the largest value.
    * ``top:0.05``: mean over the largest 5 % of the positions, at least one; the share is above 0 and below 1.
    * ``gained:mean``, ``lost:max``, ...: the same of one direction alone: only where the candidate's activation is larger
      than the reference's (what a restoration invented), or smaller (what it lost).

    Raises:
        UserError: an unknown word, a share out of range, nothing, or one pooling twice.
    """
    names = (pooling,) if isinstance(pooling, str) else tuple(pooling)
    parsed = tuple(_parse_pooling(name) for name in names)
    if not parsed or len(set(parsed)) < len(parsed):
        raise UserError(
            f"head: pooling={list(names)} must name at least one pooling, and each once: mean, max, top:0.05, "
            "gained:mean, lost:max"
        )
    return parsed


def _parse_pooling(name: str) -> str:
    """One pooling by its canonical name, so that ``top:.05`` and ``top:0.050`` share what is cached."""
    side, bare = split_side(name)
    if side:
        return f"{side}:{_parse_pooling(bare)}"
    if name in ("mean", "max"):
        return name
    word, _, share = name.partition(":")
    try:
        value = float(share)
    except ValueError:
        value = 0.0
    if word != "top" or not 1 / STEPS <= value < 1:
        raise UserError(
            f"head: pooling={name!r} is unknown; choose mean, max, or top:<share of the positions, {1 / STEPS:g} to 1>, "
            "such as top:0.05; with gained: or lost: in front, of one direction alone"
        )
    return f"top:{value:g}"
