"""1 - cosine: how far the directions of two vectors are apart."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def cosine_difference(x: Tensor, y: Tensor) -> Tensor:
    """1 - cosine along the last dimension, in [0, 1]: exactly 0 for equal vectors, 1 where one of the two is all zeros.

    Args:
        x, y: (..., D), broadcast against each other.

    Returns:
        (...) float64; NaN where a vector holds one.
    """
    x, y = (F.normalize(side.double(), dim=-1) for side in (x, y))
    return unit_difference(x, y).masked_fill(x.any(dim=-1) != y.any(dim=-1), 1.0)


def unit_difference(x: Tensor, y: Tensor) -> Tensor:
    """The same of vectors of length 1, in their own precision; differentiable everywhere.

    Half the squared distance of unit vectors is 1 - cosine. 1 - x @ y would round near-copies to 0.
    """
    return (0.5 * (x - y).square().sum(dim=-1)).clamp(0.0, 1.0)
