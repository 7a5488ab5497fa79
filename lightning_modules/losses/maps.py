"""Losses of difference maps alone; `mse` and `l1` of `lightning_modules.losses.pairs` take maps too.

Predictions are differences, and a map's output function may leave [0, 1] by a little: these losses see them cut to
[eps, 1 - eps], and add the squared distance to the cut over eps, so that a prediction outside is pulled back in.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_modules.losses.pairs import PairLoss, filled, per_item
from registry import LOSSES
from semfid.errors import UserError

EPS = 1e-3


def _inside(predicted: Tensor) -> tuple[Tensor, Tensor]:
    inside = predicted.clamp(EPS, 1 - EPS)
    return inside, (predicted - inside).square() / EPS


@LOSSES.register("bce", summary="binary cross-entropy of maps; soft targets count as probabilities")
class CrossEntropy(PairLoss):
    """Mean over known pixels of -(t log p + (1 - t) log(1 - p)).

    Args:
        positive: weight of the changed part, for maps that hardly change.
    """

    takes = ("maps",)

    def __init__(self, positive: float = 1.0) -> None:
        super().__init__()
        if positive <= 0:
            raise UserError(f"loss: bce needs positive > 0, not {positive:g}")
        self.positive = float(positive)

    def forward(self, predicted: Tensor, difference: Tensor, weight: Tensor) -> Tensor:
        inside, outside = _inside(predicted)
        target = filled(difference)
        entropy = -(self.positive * target * inside.log() + (1 - target) * torch.log1p(-inside))
        return (weight * per_item(entropy + outside, difference)).sum()


@LOSSES.register("focal", summary="focal loss of maps that are 0 or 1", source="arXiv 1708.02002")
class Focal(PairLoss):
    """Mean over known pixels of -a_t (1 - p_t)^gamma log p_t (eq. 5); of a soft target, weighted by it.

    Args:
        gamma: 0 is cross-entropy; larger, easy pixels count less.
        alpha: weight of the changed part; 1 - alpha is that of the rest.
    """

    takes = ("maps",)

    def __init__(self, gamma: float = 2.0, alpha: float = 0.25) -> None:
        super().__init__()
        if gamma < 0 or not 0 < alpha < 1:
            raise UserError(f"loss: focal needs gamma >= 0 and alpha within (0, 1), not {gamma:g} and {alpha:g}")
        self.gamma, self.alpha = float(gamma), float(alpha)

    def forward(self, predicted: Tensor, difference: Tensor, weight: Tensor) -> Tensor:
        inside, outside = _inside(predicted)
        target = filled(difference)
        changed = -self.alpha * (1 - inside).pow(self.gamma) * inside.log()
        same = -(1 - self.alpha) * inside.pow(self.gamma) * torch.log1p(-inside)
        return (weight * per_item(target * changed + (1 - target) * same + outside, difference)).sum()


@LOSSES.register("dice", summary="1 - Dice overlap of maps that are 0 or 1", source="V-Net, arXiv 1606.04797")
class Dice(PairLoss):
    """1 - (2 sum p t + s) / (sum p^2 + sum t^2 + s) over the known pixels of each item.

    Args:
        smooth: s, in pixels: a map without any change then has a loss that goes to 0 with its predictions.
    """

    takes = ("maps",)

    def __init__(self, smooth: float = 1.0) -> None:
        super().__init__()
        if smooth <= 0:
            raise UserError(f"loss: dice needs smooth > 0, not {smooth:g}")
        self.smooth = float(smooth)

    def forward(self, predicted: Tensor, difference: Tensor, weight: Tensor) -> Tensor:
        known = (~difference.isnan()).flatten(1)  # (B, HW)
        p = torch.where(known, predicted.flatten(1), 0.0)
        t = torch.where(known, filled(difference).flatten(1), 0.0)
        overlap = 2 * (p * t).sum(dim=1) + self.smooth
        both = p.square().sum(dim=1) + t.square().sum(dim=1) + self.smooth
        return (weight * known.any(dim=1) * (1 - overlap / both)).sum()
