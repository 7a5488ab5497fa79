"""Many small non-negative quadratic programmes at once, solved exactly by block principal pivoting (Kim & Park 2011)."""

from __future__ import annotations

import torch
from torch import Tensor

from semfid.errors import UserError

RIDGE = 1e-10  # two words of one embedding share their weight instead of making the system singular
SLACK = 1e-11  # values within rounding of 0 do not change sides
PATIENCE = 3  # full exchanges that may fail to help before one at a time is exchanged, which always ends


def nonnegative_quadratic(gram: Tensor, linear: Tensor, allowed: Tensor, support: Tensor | None = None) -> Tensor:
    """Argmin over w >= 0 of w'Gw / 2 - b'w, for B programmes of m variables.

    Args:
        gram: (B, m, m) float64, positive semi-definite.
        linear: (B, m) float64, b.
        allowed: (B, m) bool; variables that are not stay 0.
        support: (B, m) bool, where to begin: the support of a like solution.

    Returns:
        (B, m) float64; exactly 0 outside the support.

    Raises:
        UserError: a programme that does not end, which takes numbers that are not finite.
    """
    count, size = linear.shape
    solution = torch.zeros_like(linear)
    if not count or not size:
        return solution
    gram = gram + RIDGE * torch.eye(size, dtype=gram.dtype, device=gram.device)
    positive = allowed.clone() if support is None else support & allowed
    fewest = torch.full((count,), size + 1, device=linear.device)
    patience = torch.full((count,), PATIENCE, device=linear.device)
    open_rows = torch.arange(count, device=linear.device)
    for _ in range(20 * (size + 10)):
        free = positive[open_rows]
        weights = _on_support(gram[open_rows], linear[open_rows], free)  # (o, m)
        slope = torch.einsum("oij,oj->oi", gram[open_rows], weights) - linear[open_rows]
        wrong = torch.where(free, weights < -SLACK, (slope < -SLACK) & allowed[open_rows])
        number = wrong.sum(dim=1)
        solution[open_rows] = weights.clamp(min=0.0)
        going = number > 0
        open_rows, wrong, number = open_rows[going], wrong[going], number[going]
        if not len(open_rows):
            break
        better = number < fewest[open_rows]
        patience[open_rows] = torch.where(better, PATIENCE, patience[open_rows] - 1)
        fewest[open_rows] = torch.minimum(number, fewest[open_rows])
        last = wrong & (wrong.flip(1).cumsum(dim=1).flip(1) == 1)  # of each row only the last variable
        positive[open_rows] ^= torch.where((patience[open_rows] >= 0).unsqueeze(1), wrong, last)
    if not len(open_rows) and bool(torch.isfinite(solution).all()):
        return solution
    raise UserError("splice: the weights of an embedding cannot be solved for; are all embeddings finite?")


def _on_support(gram: Tensor, linear: Tensor, free: Tensor) -> Tensor:
    """Unconstrained minimum over the free variables, (o, m)."""
    both = free.unsqueeze(2) & free.unsqueeze(1)
    eye = torch.eye(gram.shape[1], dtype=torch.bool, device=gram.device)
    system = torch.where(both, gram, 0.0) + (eye & ~both).to(gram.dtype)
    factor, _ = torch.linalg.cholesky_ex(system)
    return torch.cholesky_solve(torch.where(free, linear, 0.0).unsqueeze(2), factor).squeeze(2)
