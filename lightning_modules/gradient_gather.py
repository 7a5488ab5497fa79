"""Rows of all processes, with gradients: a loss over pairs of a batch then sees the whole batch."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def gather_with_gradient(values: Tensor) -> tuple[Tensor, slice]:
    """The rows of all processes, in the order of their ranks, and which of them are this process's.

    The gradient of a row is the sum over all processes of what each process's loss asks of it. Processes may hold
    different numbers of rows. With one process: the values themselves.

    Args:
        values: (n, ...) of this process.

    Returns:
        (N, ...) values, and the slice of this process's rows.
    """
    if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
        return values, slice(0, len(values))
    counts = _counts(len(values), values.device)
    start = sum(counts[: dist.get_rank()])
    return _Gather.apply(values, counts), slice(start, start + len(values))


def _counts(count: int, device: torch.device) -> list[int]:
    mine = torch.tensor([count], device=device)
    found = [torch.zeros_like(mine) for _ in range(dist.get_world_size())]
    dist.all_gather(found, mine)
    return [int(one) for one in found]


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, values: Tensor, counts: list[int]) -> Tensor:
        context.counts = counts
        padded = values.new_zeros(max(counts), *values.shape[1:])  # processes exchange tensors of one shape only
        padded[: len(values)] = values
        found = [torch.empty_like(padded) for _ in counts]
        dist.all_gather(found, padded)
        return torch.cat([piece[:count] for piece, count in zip(found, counts, strict=True)])

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        whole = gradients[0].contiguous().clone()
        dist.all_reduce(whole)
        start = sum(context.counts[: dist.get_rank()])
        return whole[start : start + context.counts[dist.get_rank()]], None
