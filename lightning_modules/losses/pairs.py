"""Losses. Each returns the weighted SUM over items, so that callers divide by the size of the whole batch and a step is the
same on one process and on many.

A loss says what it `takes`: scores (B,), maps (B, 1, H, W), or both. Of a map, an item's loss is the mean over the pixels
whose target is known (not NaN).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from registry import LOSSES, named
from semfid.errors import UserError

Target = Literal["scores", "maps"]


class PairLoss(nn.Module):
    """Contract: ``forward(predicted, difference, weight) -> scalar``; a weight of 0 excludes an item.

    Attributes:
        takes: ``scores``: predicted and difference are (B,). ``maps``: they are (B, 1, H, W), and the difference is NaN where
            it is unknown. The weight is (B,) always.
    """

    takes: ClassVar[tuple[Target, ...]] = ("scores",)

    def __init__(self) -> None:  # without it, every loss's signature would have nn.Module's *args
        super().__init__()

    def forward(self, predicted: Tensor, difference: Tensor, weight: Tensor) -> Tensor:
        """Weighted sum over the items."""
        raise NotImplementedError(f"{type(self).__name__} must implement forward")


def per_item(error: Tensor, difference: Tensor) -> Tensor:
    """(B,) means over the pixels of each item's known part; 0 for an item without any. Scores pass as they are.

    Args:
        error: finite where `difference` is known.
        difference: NaN where unknown.
    """
    if error.dim() == 1:
        return error
    known = ~difference.isnan()
    return torch.where(known, error, 0.0).flatten(1).sum(dim=1) / known.flatten(1).sum(dim=1).clamp(min=1)


def filled(difference: Tensor) -> Tensor:
    """Unknown pixels as 0: a NaN would reach gradients even where its loss is left out."""
    return difference if difference.dim() == 1 else difference.nan_to_num(0.0)


@LOSSES.register("mse", summary="squared error, of scores or maps")
class SquaredError(PairLoss):
    """Sum of w (p - d)^2."""

    takes = ("scores", "maps")

    def forward(self, predicted: Tensor, difference: Tensor, weight: Tensor) -> Tensor:
        return (weight * per_item((predicted - filled(difference)).square(), difference)).sum()


@LOSSES.register("l1", summary="absolute error, of scores or maps")
class AbsoluteError(PairLoss):
    """Sum of w |p - d|."""

    takes = ("scores", "maps")

    def forward(self, predicted: Tensor, difference: Tensor, weight: Tensor) -> Tensor:
        return (weight * per_item((predicted - filled(difference)).abs(), difference)).sum()


@LOSSES.register("huber", summary="squared error near 0, absolute error beyond delta", source="Huber 1964")
class Huber(PairLoss):
    """Sum of w huber(p - d), in units of the difference."""

    def __init__(self, delta: float = 0.1) -> None:
        super().__init__()
        if delta <= 0:
            raise UserError(f"loss: huber needs delta > 0, not {delta:g}")
        self.delta = float(delta)

    def forward(self, predicted: Tensor, difference: Tensor, weight: Tensor) -> Tensor:
        return (weight * F.huber_loss(predicted, difference, reduction="none", delta=self.delta)).sum()


@LOSSES.register("binomial", summary="negative log likelihood of the votes; use with data.weights: votes")
class Binomial(PairLoss):
    """Sum of -w (d log p + (1 - d) log(1 - p)), d = yes / votes.

    With w proportional to the votes (``data.weights: votes``) this is the binomial likelihood up to constants.
    Predictions are kept within [eps, 1 - eps]; outside, the gradient is that of the nearest bound's squared error, so
    that a prediction that starts below 0 is pulled back.
    """

    def __init__(self, eps: float = 1e-3) -> None:
        super().__init__()
        if not 0 < eps < 0.5:
            raise UserError(f"loss: binomial needs 0 < eps < 0.5, not {eps:g}")
        self.eps = float(eps)

    def forward(self, predicted: Tensor, difference: Tensor, weight: Tensor) -> Tensor:
        inside = predicted.clamp(self.eps, 1 - self.eps)
        likelihood = -(difference * inside.log() + (1 - difference) * torch.log1p(-inside))
        return (weight * (likelihood + (predicted - inside).square() / self.eps)).sum()


@LOSSES.register(
    "ranking", summary="logistic loss over pairs of pairs of the batch", source="RankNet, Burges et al. 2005"
)
class Ranking(PairLoss):
    """For each item, the mean over the others of log(1 + exp(-s (p_i - p_j) / scale)), s = sign(d_i - d_j); summed.

    Compares the items that one process holds: with several processes, each compares its own share.
    """

    def __init__(self, scale: float = 0.1) -> None:
        super().__init__()
        if scale <= 0:
            raise UserError(f"loss: ranking needs scale > 0, not {scale:g}")
        self.scale = float(scale)

    def forward(self, predicted: Tensor, difference: Tensor, weight: Tensor) -> Tensor:
        sign = torch.sign(difference[:, None] - difference[None, :])  # (B, B)
        margin = (predicted[:, None] - predicted[None, :]) / self.scale
        counted = weight[:, None] * weight[None, :] * sign.square()
        partners = (weight[None, :] * sign.square()).sum(dim=1).clamp(min=1e-6)  # (B,)
        return ((F.softplus(-sign * margin) * counted).sum(dim=1) / partners).sum()


def build_loss(loss: Mapping[str, Any] | str, where: str, target: Target) -> PairLoss:
    """A registered loss that takes what a module compares.

    Raises:
        UserError: unknown name or keyword, a loss of scores for maps or the reverse.
    """
    name, keywords = named(loss, where)
    check_loss(name, where, target)
    built: PairLoss = LOSSES.build(name, **keywords)  # type: ignore[assignment]
    return built


def check_loss(name: str, where: str, target: Target) -> None:
    """Refuse a loss that does not take what a module compares."""
    takes = getattr(LOSSES.get(name).factory, "takes", ("scores",))
    if target not in takes:
        fitting = [
            other for other in LOSSES.names() if target in getattr(LOSSES.get(other).factory, "takes", ("scores",))
        ]
        raise UserError(f"{where}: '{name}' takes {' and '.join(takes)}, not {target}; use one of {', '.join(fitting)}")
