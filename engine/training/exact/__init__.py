"""Convex fits of linear heads on cached statistics: pure functions of numpy arrays, float64, no randomness.

Every problem is

    J(b, c) = sum_i w_i loss(x_i . b + c, y_i) / sum_i w_i  +  penalty * s * |b|^2

over inputs x_i that the caller has divided by their sizes, s their mean squared length, with or without the constant c, which is
not penalised.
s makes penalties comparable between heads of 100 and of 8,000 inputs.
"""

from engine.training.exact.choose import Choice, choose_and_solve
from engine.training.exact.losses import Huber, Logistic, PointLoss, Squared
from engine.training.exact.newton import solve
from engine.training.exact.problem import Problem, Solution

__all__ = [
    "Choice",
    "Huber",
    "Logistic",
    "PointLoss",
    "Problem",
    "Solution",
    "Squared",
    "choose_and_solve",
    "solve",
]
