"""Penalised weighted least squares, the step that every other fit is made of.

    min over b, c:  sum_i a_i (x_i . b + c - t_i)^2 + k |b|^2,   k > 0

Solved in the D weights, or in the n pairs where these are fewer.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from engine.training.exact.losses import Array

ROUNDS = 1000  # of projected steps, at most; some ten are usual
ROUNDING = 1e-12  # what is 0 beside 1
SHORTEST = 1e-12  # step


def centred(inputs: Array, target: Array, weight: Array, intercept: bool) -> tuple[Array, Array, Array, float]:
    """Rows times the square root of their weight, less the weighted mean where there is a constant to fit.

    Returns:
        inputs (n, D), target (n,), means of the inputs (D,) and of the target; means are 0 without a constant.
    """
    root = np.sqrt(weight)
    if not intercept:
        return inputs * root[:, None], target * root, np.zeros(inputs.shape[1]), 0.0
    share = weight / weight.sum()
    middle, mean = share @ inputs, float(share @ target)
    return (inputs - middle) * root[:, None], (target - mean) * root, middle, mean


def ridge(inputs: Array, target: Array, penalty: float) -> Array:
    """(D,) weights that minimise |X b - t|^2 + penalty |b|^2."""
    pairs, width = inputs.shape
    if width <= pairs:
        gram = inputs.T @ inputs
        gram.flat[:: width + 1] += penalty
        return _solve(gram, inputs.T @ target)
    kernel = inputs @ inputs.T
    kernel.flat[:: pairs + 1] += penalty
    return inputs.T @ _solve(kernel, target)


def _solve(matrix: Array, right: Array) -> Array:
    factor = scipy.linalg.cho_factor(matrix, overwrite_a=True, check_finite=False)
    return scipy.linalg.cho_solve(factor, right, check_finite=False)


def nonnegative_ridge(inputs: Array, target: Array, penalty: float, start: Array | None = None) -> Array:
    """The same over weights >= 0, exactly: Newton steps over the weights that are free, projected (Bertsekas, SIAM J. Control
    Optim. 20, 1982). Once the set of zeros is right, one step is the solution.

    Args:
        start: (D,) weights >= 0 of a nearby problem.
    """
    weights = np.zeros(inputs.shape[1]) if start is None else start
    rest = target - inputs @ weights  # (n,)
    value = float(rest @ rest) + penalty * float(weights @ weights)
    correlation = _largest(inputs.T @ target)
    for _ in range(ROUNDS):
        pull = inputs.T @ rest - penalty * weights  # (D,) minus half the gradient
        free = (weights > 0) | (pull > ROUNDING * correlation)
        if not free.any() or _largest(pull[free]) <= ROUNDING * correlation:
            return weights
        aim = ridge(inputs[:, free], target, penalty)
        moved, left, better = _projected(inputs, target, penalty, weights, free, aim, value)
        if better >= value:  # rounding
            return weights
        weights, rest, value = moved, left, better
    return weights


def _projected(
    inputs: Array, target: Array, penalty: float, weights: Array, free: NDArray[np.bool_], aim: Array, value: float
) -> tuple[Array, Array, float]:
    """The first of the steps 1, 1/2, 1/4, ... towards `aim`, cut off at 0, that improves the objective; what is left of the
    target, and the objective.
    """
    share = 1.0
    while True:
        moved = np.zeros_like(weights)
        moved[free] = np.maximum(weights[free] + share * (aim - weights[free]), 0.0)
        support = moved > 0
        rest = target - inputs[:, support] @ moved[support]
        better = float(rest @ rest) + penalty * float(moved @ moved)
        if better < value or share < SHORTEST:
            return moved, rest, better
        share /= 2


def _largest(values: Array) -> float:
    return float(np.abs(values).max(initial=0.0))
