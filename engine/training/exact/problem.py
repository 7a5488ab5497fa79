"""What is fitted, and what comes of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from engine.training.exact.losses import Array, PointLoss


@dataclass(frozen=True)
class Problem:
    """See `engine.training.exact`.

    Attributes:
        inputs: (n, D), of comparable sizes, not centred.
        target: (n,) labels in [0, 1].
        weight: (n,) of the pairs in the loss, at least 0; scaled to a sum of 1 by `of`.
        loss: of a raw score.
        nonnegative: whether weights below 0 are excluded.
        intercept: whether there is a constant.
    """

    inputs: Array
    target: Array
    weight: Array
    loss: PointLoss
    nonnegative: bool
    intercept: bool

    @classmethod
    def of(
        cls, inputs: Array, target: Array, weight: Array, loss: PointLoss, nonnegative: bool, intercept: bool
    ) -> Problem:
        """A problem with pair weights of any scale."""
        return cls(inputs, target, weight / weight.sum(), loss, nonnegative, intercept)

    @cached_property
    def size(self) -> float:
        """s: weighted mean squared length of the inputs."""
        return float(self.weight @ np.einsum("nd,nd->n", self.inputs, self.inputs))

    def ridge(self, penalty: float) -> float:
        """What is multiplied with |b|^2, penalty * s."""
        return penalty * self.size

    def objective(self, solution: Solution, ridge: float) -> float:
        """J."""
        z = self.inputs @ solution.weights + solution.intercept
        return float(self.weight @ self.loss.value(z, self.target)) + ridge * float(solution.weights @ solution.weights)


@dataclass(frozen=True)
class Solution:
    """The minimum of J: `weights` (D,) of the inputs, and the constant (0 without one)."""

    weights: Array
    intercept: float

    def predict(self, inputs: Array) -> Array:
        """(n,) raw scores of (n, D) inputs."""
        return inputs @ self.weights + self.intercept
