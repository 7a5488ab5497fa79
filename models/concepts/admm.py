"""The non-negative lasso by ADMM (Boyd et al. 2011), for many embeddings at once: matrix products only, made for GPUs.

    w <- (2 C C' + rho)^-1 (2 C z + rho (v - u))     by a d x d Cholesky factor (Woodbury)
    v <- max(w + u - l1 / rho, 0)
    u <- u + w - v

Float32 brings the iteration close, not to the end: as soon as few words are active, their weights are solved for exactly, and
the duality gap says whether that is the solution of the whole.
"""

from __future__ import annotations

import torch
from torch import Tensor

from models.concepts.lasso import check_problem, residual, solved_on
from semfid.errors import UserError

RELAXATION = 1.8
EVERY = 20  # iterations between looks at the gap
GAP_FLOOR = 2e-6  # what float32 can tell


def admm(
    dictionary: Tensor,
    targets: Tensor,
    l1: float,
    rho: float = 5.0,
    tolerance: float = 1e-5,
    max_iterations: int = 2000,
) -> Tensor:
    """Weights of the words for each embedding, (B, K) float32.

    Args:
        dictionary: C, (K, d) float32, rows of length 1.
        targets: z, (B, d) float32, on the same device.
        l1: positive.
        rho: penalty to begin with; it is adapted to the residuals.
        tolerance: of the duality gap, relative to |z|^2: the objective is at most so far from its minimum.
        max_iterations: most of them.

    Raises:
        UserError: a bad setting, numbers that are not finite, embeddings whose gap is still above the tolerance.
    """
    check_problem(dictionary, targets)
    for name, value, least in (("l1", l1, 0.0), ("rho", rho, 0.0), ("tolerance", tolerance, GAP_FLOOR)):
        if not value > least or value == float("inf"):
            raise UserError(f"splice: {name}={value:g} must be above {least:g}")
    size = targets.square().sum(dim=1)
    pull = 2.0 * targets @ dictionary.T  # (B, K)
    found = torch.zeros_like(pull)
    rows = torch.arange(len(targets), device=targets.device)
    if not len(rows):
        return found
    sparse, dual = torch.zeros_like(pull), torch.zeros_like(pull)
    factor = _factor(dictionary, rho)
    for step in range(1, max_iterations + 1):
        before = sparse
        right = pull[rows] + rho * (sparse - dual)
        weights = (right - torch.cholesky_solve((right @ dictionary).T, factor).T @ dictionary.T) / rho
        relaxed = RELAXATION * weights + (1.0 - RELAXATION) * sparse
        sparse = (relaxed + dual - l1 / rho).clamp(min=0.0)
        dual = dual + relaxed - sparse
        if step % EVERY:
            continue
        best = _polished(dictionary, targets[rows], sparse, l1)
        gap = duality_gap(dictionary, targets[rows], best, l1)
        open_rows = gap > tolerance * size[rows]
        found[rows[~open_rows]] = best[~open_rows]
        if not bool(open_rows.any()):
            return found
        primal, change = (weights - sparse)[open_rows].norm(), rho * (sparse - before)[open_rows].norm()
        rows, sparse, dual = rows[open_rows], sparse[open_rows], dual[open_rows]
        scale = 2.0 if primal > 10.0 * change else 0.5 if change > 10.0 * primal else 1.0
        if scale != 1.0:
            rho, dual = rho * scale, dual / scale
            factor = _factor(dictionary, rho)
    raise UserError(
        f"splice: admm: {len(rows)} of {len(targets)} embeddings are not within tolerance={tolerance:g} after "
        f"{max_iterations} iterations; raise one of them, or use solver=lasso"
    )


def duality_gap(dictionary: Tensor, targets: Tensor, weights: Tensor, l1: float) -> Tensor:
    """How far |C'w - z|^2 + l1 sum(w) is from its minimum, at most: (B,).

    The dual point is the residual, scaled until no word's correlation with it exceeds l1 / 2.
    """
    left = residual(dictionary, targets, weights)  # (B, d)
    highest = (left @ dictionary.T).max(dim=1).values
    scale = (l1 / 2.0 / highest.clamp(min=1e-30)).clamp(max=1.0).unsqueeze(1)
    objective = left.square().sum(dim=1) + l1 * weights.sum(dim=1)
    point = scale * left
    return objective - (targets.square().sum(dim=1) - (targets - point).square().sum(dim=1))


def _polished(dictionary: Tensor, targets: Tensor, sparse: Tensor, l1: float) -> Tensor:
    """Solved on the words of `sparse` (B, K), where these are few enough."""
    if int((sparse > 0).sum(dim=1).max()) > dictionary.shape[1]:
        return sparse
    return solved_on(dictionary, targets, sparse.double(), torch.zeros_like(sparse), l1 / 2.0).to(sparse.dtype)


def _factor(dictionary: Tensor, rho: float) -> Tensor:
    """Cholesky factor of rho / 2 + C'C, (d, d)."""
    eye = torch.eye(dictionary.shape[1], dtype=dictionary.dtype, device=dictionary.device)
    return torch.linalg.cholesky(dictionary.T @ dictionary + rho / 2.0 * eye)
