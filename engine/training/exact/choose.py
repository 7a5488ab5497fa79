"""The penalty, chosen on photos that a fit has not seen."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from engine.training.exact.losses import Array
from engine.training.exact.newton import solve
from engine.training.exact.problem import Problem, Solution
from engine.training.exact.ridge_path import Codes, RidgePath

LARGEST, SMALLEST = 1e1, 1e-6  # penalties, see `engine.training.exact`
STEPS_OF_TEN = {True: 4, False: 2}  # penalties per power of ten; of a ridge regression they cost nothing
FOLDS = 5  # inner ones, where each penalty needs fits of its own


@dataclass(frozen=True)
class Choice:
    """A fit with the penalty that predicts left-out photos best.

    Attributes:
        solution: of all pairs.
        penalty: see `engine.training.exact`.
        penalties: (L,) tried, largest first; one where it was given.
        left_out_loss: (L,) weighted mean loss on pairs whose photo was left out; empty where the penalty was given.
        border: ``smallest`` or ``largest`` where the best penalty is the last on its side, else empty.
    """

    solution: Solution
    penalty: float
    penalties: Array
    left_out_loss: Array
    border: str


def path(steps: int) -> Array:
    """Penalties from the largest to the smallest, so many to a power of ten."""
    count = round(np.log10(LARGEST / SMALLEST) * steps) + 1
    return np.geomspace(LARGEST, SMALLEST, count)


def choose_and_solve(problem: Problem, group: Codes, penalty: float | None = None) -> Choice:
    """Choose a penalty by inner cross-validation over groups, then fit all pairs with it.

    Ridge regressions leave out every group in its turn (see `ridge_path`), other fits `FOLDS` folds of groups.

    Args:
        group: (n,) code of the photo of each pair; at least 2 different ones unless `penalty` is given.
        penalty: given, nothing is chosen.
    """
    if penalty is not None:
        return Choice(solve(problem, problem.ridge(penalty)), penalty, np.array([penalty]), np.zeros(0), "")
    ridge_regression = problem.loss.quadratic and not problem.nonnegative
    penalties = path(STEPS_OF_TEN[ridge_regression])
    ridges = [problem.ridge(one) for one in penalties]
    if ridge_regression:
        fits = RidgePath(problem, group)
        loss = fits.left_out_loss(ridges)
        best = int(np.argmin(loss))
        solution = fits.solution(ridges[best])
    else:
        small, turn = _reduced(problem)
        loss = _fold_loss(small, group, ridges)
        best = int(np.argmin(loss))
        found: Solution | None = None
        for ridge in ridges[: best + 1]:  # each penalty starts from the one before
            found = solve(small, ridge, found)
        assert found is not None
        solution = found if turn is None else Solution(turn @ found.weights, found.intercept)
    border = {0: "largest", len(penalties) - 1: "smallest"}.get(best, "")
    return Choice(solution, float(penalties[best]), penalties, loss, border)


def _reduced(problem: Problem) -> tuple[Problem, Array | None]:
    """The problem in as many weights as there are pairs, where these are fewer and weights are free: |b|^2 does not change when
    inputs are turned, and a fit has no part across all of them. With it the (D, n) matrix that turns weights back.
    """
    pairs, width = problem.inputs.shape
    if problem.nonnegative or width <= pairs:
        return problem, None
    turn, lower = np.linalg.qr(problem.inputs.T)  # (D, n), (n, n)
    return replace(problem, inputs=np.ascontiguousarray(lower.T)), np.asarray(turn, dtype=np.float64)


def _fold_loss(problem: Problem, group: Codes, ridges: list[float]) -> Array:
    """(L,) weighted mean loss on the left-out folds."""
    fold = deal(group, FOLDS)
    loss = np.zeros(len(ridges))
    for index in range(int(fold.max()) + 1):
        out = fold == index
        share = float(problem.weight[~out].sum())
        rest = Problem.of(
            problem.inputs[~out],
            problem.target[~out],
            problem.weight[~out],
            problem.loss,
            problem.nonnegative,
            problem.intercept,
        )
        solution: Solution | None = None
        for place, ridge in enumerate(ridges):
            solution = solve(rest, ridge / share, solution)  # as much against a pair as in the fit of all
            z = solution.predict(problem.inputs[out])
            loss[place] += float(problem.weight[out] @ problem.loss.value(z, problem.target[out]))
    return loss


def deal(group: Codes, folds: int) -> Codes:
    """Deal groups into folds of nearly equal numbers of pairs, the largest groups first; at most one fold per group."""
    codes, place, sizes = np.unique(group, return_inverse=True, return_counts=True)
    load = np.zeros(min(folds, len(codes)))
    side = np.zeros(len(codes), dtype=np.int64)
    for code in np.argsort(-sizes, kind="stable"):
        side[code] = int(np.argmin(load))
        load[side[code]] += sizes[code]
    return side[place]
