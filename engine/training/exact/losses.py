"""Convex losses of one prediction and one label, with their first and second derivatives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
STRAIGHT = 1e-6  # curvature where a loss has none: beside 1 nothing, and still a parabola


class PointLoss(ABC):
    """A convex, differentiable loss of a raw score z (before the head's output function) against a label y in [0, 1]."""

    quadratic = False

    @abstractmethod
    def value(self, z: Array, y: Array) -> Array:
        """loss(z, y), element by element."""

    @abstractmethod
    def slope(self, z: Array, y: Array) -> Array:
        """Its derivative by z."""

    @abstractmethod
    def curvatures(self, z: Array, y: Array) -> tuple[Array, ...]:
        """Second derivatives of parabolas that may stand in for the loss near z, the boldest first; above 0."""


class Squared(PointLoss):
    """(z - y)^2, what the loss ``mse`` means over pairs."""

    quadratic = True

    def value(self, z: Array, y: Array) -> Array:
        return np.square(z - y)

    def slope(self, z: Array, y: Array) -> Array:
        return 2 * (z - y)

    def curvatures(self, z: Array, y: Array) -> tuple[Array, ...]:
        return (np.full_like(z, 2.0),)


@dataclass(frozen=True)
class Huber(PointLoss):
    """(z - y)^2 / 2 up to a distance of delta, delta (|z - y| - delta / 2) beyond, as the loss ``huber``."""

    delta: float

    def value(self, z: Array, y: Array) -> Array:
        away = np.abs(z - y)
        return np.where(away <= self.delta, away**2 / 2, self.delta * (away - self.delta / 2))

    def slope(self, z: Array, y: Array) -> Array:
        return np.clip(z - y, -self.delta, self.delta)

    def curvatures(self, z: Array, y: Array) -> tuple[Array, ...]:
        away = np.abs(z - y)
        # its own second derivative, which is 0 far out, where a step could go anywhere (so nearly); then that of the parabola
        # through z that lies nowhere below the loss, whose minimum always improves it (iteratively reweighted least squares)
        return np.where(away <= self.delta, 1.0, STRAIGHT), self.delta / np.maximum(away, self.delta)


class Logistic(PointLoss):
    """Negative log likelihood of votes for a head with the output ``sigmoid``, whose difference is p = 2 sigma(z) - 1.

    A share of y yes votes is held against sigma(z) = (1 + p) / 2 as if every rater had also tossed a coin:
    -(1 + y) / 2 log sigma(z) - (1 - y) / 2 log(1 - sigma(z)). In this form the model is an ordinary logistic regression on
    labels (1 + y) / 2: convex for weights of any sign, free of clipping, and exactly 0 at z = 0, that is for identical images
    of a head without a constant. Its slope is (p - y) / 2: like the binomial likelihood of p itself it is least, in
    expectation, where p is the share of yes votes.
    """

    def value(self, z: Array, y: Array) -> Array:
        return np.logaddexp(0.0, z) - (1 + y) / 2 * z

    def slope(self, z: Array, y: Array) -> Array:
        return (np.tanh(z / 2) - y) / 2

    def curvatures(self, z: Array, y: Array) -> tuple[Array, ...]:
        own = (1 - np.tanh(z / 2) ** 2) / 4
        # far out it vanishes; the second parabola lies nowhere below the loss (Bohning 1992)
        return np.maximum(own, STRAIGHT), np.full_like(z, 0.25)
