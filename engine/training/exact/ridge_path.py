"""Ridge regression for a whole path of penalties from one eigendecomposition, and what each group's labels would have been
without it.

With rows times the root of their weight, and centred where there is a constant, the fit is y_hat = H y. Leaving out a group g
of rows changes its residuals to (I - H)_gg^-1 (y - y_hat)_g, exactly, for every quadratic penalty (Stone 1974 for one row). I - H
for any penalty k follows from the eigenvectors of the n x n kernel X X', whose eigenvalue s becomes k / (s + k), or, where there
are fewer inputs than pairs, from those of the Gram matrix X' X.

The decomposition is of float32 where it is large: it chooses the penalty. The weights of the chosen one are solved in float64, by
conjugate gradients that take the decomposition as their preconditioner.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from engine.training.exact.least_squares import centred
from engine.training.exact.losses import Array
from engine.training.exact.problem import Problem, Solution

SMALL = 400  # rows of a matrix that is decomposed in float64: it costs nothing
EXACT = 1e-13  # relative residual at which a solution is done
ROUNDS = 500  # of conjugate gradients, at most; a few are usual
SMALL_GROUP = 12  # pairs, up to which the products of a group's rows serve all penalties at once
PRODUCTS = 16_000_000  # numbers, of such products that are held at a time
LEFT_OUT = 5000  # pairs, beyond which every other group, or fewer, is left out where there are more pairs than inputs

Codes = NDArray[np.int64]
Floats = NDArray[Any]  # float64, or float32 where a matrix is large


class RidgePath:
    """All ridge fits of a problem with a squared loss and free weights.

    Args:
        problem: with a quadratic loss.
        group: (n,) codes of the groups that are left out together.
    """

    def __init__(self, problem: Problem, group: Codes) -> None:
        self.intercept = problem.intercept
        self.inputs, self.target, self.middle, self.mean = centred(
            problem.inputs, problem.target, problem.weight, problem.intercept
        )
        pairs, width = self.inputs.shape
        self.by_pairs = pairs <= width
        dtype = np.float64 if min(pairs, width) <= SMALL else np.float32
        rows: Floats = self.inputs.astype(dtype)
        matrix: Floats = rows @ rows.T if self.by_pairs else rows.T @ rows
        self.vectors: Floats
        values, self.vectors = scipy.linalg.eigh(matrix, driver="evd", overwrite_a=True, check_finite=False)
        self.values = np.maximum(values.astype(np.float64), 0.0)  # (m,), m the smaller of pairs and inputs
        seen = np.arange(pairs)
        if not self.by_pairs and pairs > LEFT_OUT:  # the penalty is known well enough from a part of so many
            _, place = np.unique(group, return_inverse=True)
            seen = np.flatnonzero(place % -(-pairs // LEFT_OUT) == 0)
        self.basis = self.vectors if self.by_pairs else rows[seen] @ self.vectors  # (n', m)
        self.seen = self.target[seen]  # (n',) labels of the pairs that are left out in their turn
        self.share = float(problem.weight[seen].sum())
        self.constant = (
            np.sqrt(problem.weight[seen]) if problem.intercept else None
        )  # (n,), of length 1 if all are seen
        order = np.argsort(group[seen], kind="stable")
        self.groups = np.split(order, np.flatnonzero(np.diff(group[seen][order])) + 1)
        self.correlation = self.vectors.T @ self._typed(self.target if self.by_pairs else self.inputs.T @ self.target)

    def left_out_loss(self, ridges: Sequence[float]) -> Array:
        """(L,) weighted mean squared error of each penalty, every group predicted by the fit without it.

        Args:
            ridges: as `Problem.ridge` gives them.
        """
        size = np.array(ridges)[:, None]  # (L, 1)
        # (L, m): I - H is V diag(kept) V', or I + (X V) diag(kept) (X V)'
        kept = (size if self.by_pairs else -1.0) / (self.values + size)
        residual = (self._typed(kept * self.correlation) @ self.basis.T).astype(np.float64)  # (L, n')
        if not self.by_pairs:
            residual += self.seen
        loss = np.zeros(len(ridges))
        for rows in self._alike():
            block = self._blocks(rows, self._typed(kept))  # (L, G, g, g)
            loss += np.square(np.linalg.solve(block, residual[:, rows, None])).sum(axis=(1, 2, 3))
        return loss / self.share

    def _alike(self) -> Iterator[Codes]:
        """(G, g) rows of G groups of one size g, as many at a time as memory allows."""
        sizes = np.array([len(rows) for rows in self.groups])
        for size in np.unique(sizes):
            rows = np.stack([self.groups[at] for at in np.flatnonzero(sizes == size)])
            number = max(1, PRODUCTS // (size * (size + 1) // 2 * self.basis.shape[1]))
            yield from np.split(rows, range(number, len(rows), number))

    def _blocks(self, rows: Codes, kept: Floats) -> Array:
        """(L, G, g, g): (I - H) of G groups of g pairs, for every penalty."""
        own, size = self.basis[rows], rows.shape[1]  # (G, g, m)
        if size <= SMALL_GROUP:
            one, other = np.triu_indices(size)
            products = (own[:, one] * own[:, other]).reshape(-1, own.shape[2])
            block = np.empty((len(kept), len(rows), size, size))
            entries = (kept @ products.T).reshape(len(kept), len(rows), -1)  # (L, G, g (g + 1) / 2)
            block[:, :, one, other] = block[:, :, other, one] = entries
        else:
            block = np.stack([(own * single) @ own.swapaxes(1, 2) for single in kept]).astype(np.float64)
        if not self.by_pairs:
            block += np.eye(size)
        if self.constant is not None:
            own_constant = self.constant[rows]
            block -= own_constant[:, :, None] * own_constant[:, None, :]
        return block

    def solution(self, ridge: float) -> Solution:
        """The fit at one penalty."""
        if self.by_pairs:
            weights = self.inputs.T @ self._solve(self.target, ridge)
        else:
            weights = self._solve(self.inputs.T @ self.target, ridge)
        return Solution(weights, self.mean - float(self.middle @ weights))

    def _solve(self, right: Array, ridge: float) -> Array:
        """(K + ridge I)^-1 right, K the decomposed matrix, by preconditioned conjugate gradients in float64."""
        first, second = (self.inputs.T, self.inputs) if self.by_pairs else (self.inputs, self.inputs.T)
        scale = float(np.linalg.norm(right))
        found = np.zeros_like(right)
        if scale == 0:
            return found
        residual = right / scale  # near 1, so that float32 holds what the preconditioner sees
        towards, agreed = np.zeros_like(right), 1.0
        for _ in range(ROUNDS):
            aim = self._approximate(residual, ridge)
            before, agreed = agreed, float(residual @ aim)
            towards = aim + agreed / before * towards
            image = second @ (first @ towards) + ridge * towards
            step = agreed / float(towards @ image)
            found += step * towards
            residual -= step * image
            if float(np.linalg.norm(residual)) <= EXACT:
                break
        return found * scale

    def _approximate(self, right: Array, ridge: float) -> Array:
        size = max(float(np.linalg.norm(right)), np.finfo(float).tiny)
        turned = (self.vectors.T @ self._typed(right / size)).astype(np.float64) / (self.values + ridge)
        return (self.vectors @ self._typed(turned * ridge)).astype(np.float64) * (size / ridge)

    def _typed(self, values: Array) -> Floats:
        return values.astype(self.vectors.dtype)
