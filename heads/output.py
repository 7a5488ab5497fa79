"""Output functions of scalar heads, each of which maps 0 to 0, so that identical images score exactly 0; their precision."""

from __future__ import annotations

import contextlib
import math
from contextlib import AbstractContextManager
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Output = Literal["identity", "softplus", "sigmoid", "clamp"]


def apply_output(raw: Tensor, output: Output) -> Tensor:
    """Turn raw scores into differences.

    * ``identity``: raw.
    * ``softplus``: log(1 + e^raw) - log 2, smooth, unbounded above.
    * ``sigmoid``: 2 / (1 + e^-raw) - 1, within (-1, 1), and within [0, 1) for raw >= 0 (nonnegative weights).
    * ``clamp``: raw cut to [0, 1]; no gradient outside.
    """
    if output == "softplus":
        return F.softplus(raw) - math.log(2.0)
    if output == "sigmoid":
        return torch.tanh(raw / 2)  # = 2 sigmoid(raw) - 1, exact at 0
    if output == "clamp":
        return raw.clamp(0.0, 1.0)
    return raw


def full_precision(device: str) -> AbstractContextManager[object]:
    """Leave the caller's autocast, if there is one: bf16 scores would tie by the dozen."""
    if torch.is_autocast_enabled(device):
        return torch.autocast(device, enabled=False)
    return contextlib.nullcontext()
