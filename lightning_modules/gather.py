"""Predictions of all processes, once each, in order."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor


def gather_rows(rows: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Gather (row, value) from all processes, drop repeated rows, sort by row; the same result on every process.

    Args:
        rows: (n,) int64 on each process, n may differ.
        values: (n, K) float64.

    Returns:
        (N,) rows and (N, K) values on the CPU.
    """
    pieces = [(rows.cpu(), values.cpu())]
    if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
        gathered: list[tuple[Tensor, Tensor]] = [pieces[0]] * dist.get_world_size()
        dist.all_gather_object(gathered, pieces[0])
        pieces = gathered
    all_rows = torch.cat([piece[0] for piece in pieces])
    all_values = torch.cat([piece[1] for piece in pieces])
    order = torch.argsort(all_rows, stable=True)
    all_rows, all_values = all_rows[order], all_values[order]
    first = torch.ones_like(all_rows, dtype=torch.bool)
    first[1:] = all_rows[1:] != all_rows[:-1]
    return all_rows[first], all_values[first]
