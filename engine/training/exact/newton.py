"""Any of the convex losses at one penalty, by steps that are least squares: Newton's method, or iterative reweighting."""

from __future__ import annotations

import numpy as np

from engine.training.exact.least_squares import centred, nonnegative_ridge, ridge
from engine.training.exact.losses import Array
from engine.training.exact.problem import Problem, Solution

STEPS = 300
CLOSE = 1e-12  # of the objective, by which a step must improve it
SHORTEST = 0.1  # share of a step; of one that is good for less, the next parabola is tried


def solve(problem: Problem, ridge_size: float, start: Solution | None = None) -> Solution:
    """The minimum of J at one penalty.

    Args:
        ridge_size: as `Problem.ridge` gives it, above 0.
        start: of a nearby penalty.
    """
    if start is None:
        start = Solution(np.zeros(problem.inputs.shape[1]), 0.0)
    if problem.loss.quadratic:
        return _step(problem, ridge_size, start, problem.loss.curvatures(problem.target, problem.target)[0])
    here, best = start, problem.objective(start, ridge_size)
    for _ in range(STEPS):
        moved, value = here, best
        for bend in problem.loss.curvatures(here.predict(problem.inputs), problem.target):
            aim = _step(problem, ridge_size, here, bend)
            tried, found = _line_search(problem, ridge_size, here, aim, best)
            if found < value:
                moved, value = tried, found
            if best - value > CLOSE * abs(best):
                break  # the bolder step was good enough
        if best - value <= CLOSE * abs(best):
            return moved
        here, best = moved, value
    return here


def _step(problem: Problem, ridge_size: float, here: Solution, bend: Array) -> Solution:
    """Minimum of J with the loss replaced by its parabolas at `here`: all of it for a quadratic loss."""
    z = here.predict(problem.inputs)
    aim = z - problem.loss.slope(z, problem.target) / bend  # (n,) working labels
    inputs, target, middle, mean = centred(problem.inputs, aim, problem.weight * bend, problem.intercept)
    if problem.nonnegative:
        weights = nonnegative_ridge(inputs, target, 2 * ridge_size, here.weights if here.weights.any() else None)
    else:
        weights = ridge(inputs, target, 2 * ridge_size)
    return Solution(weights, mean - float(middle @ weights))


def _line_search(
    problem: Problem, ridge_size: float, here: Solution, aim: Solution, best: float
) -> tuple[Solution, float]:
    """The longest of the steps 1, 1/2, 1/4, 1/8 towards `aim` that improves J; `here` where none does."""
    share = 1.0
    z, towards = here.predict(problem.inputs), aim.predict(problem.inputs)
    across = np.array([here.weights @ here.weights, here.weights @ aim.weights, aim.weights @ aim.weights])
    while share > SHORTEST:
        parts = np.array([(1 - share) ** 2, 2 * share * (1 - share), share**2])
        loss = problem.loss.value((1 - share) * z + share * towards, problem.target)
        value = float(problem.weight @ loss) + ridge_size * float(parts @ across)
        if value < best:
            return _between(here, aim, share), value
        share /= 2
    return here, best


def _between(here: Solution, aim: Solution, share: float) -> Solution:
    def mixed(a: Array, b: Array) -> Array:
        return (1 - share) * a + share * b

    return Solution(mixed(here.weights, aim.weights), (1 - share) * here.intercept + share * aim.intercept)
