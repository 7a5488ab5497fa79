"""Blur kernels, whole arrays at once: (size, size) float64, odd size, sum 1."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Kernel = NDArray[np.float64]

_LEAST = 1e-6  # variances below blur nothing; the published covariance becomes singular there and raises


def anisotropic_kernel(size: int, theta: float, first: float, second: float) -> Kernel:
    """Gaussian with two widths.

    Args:
        theta: direction of the first axis in radians, from x towards y (down).
        first, second: variances along and across it, in pixels squared.
    """
    along = np.arange(size) - (size - 1) / 2
    x, y = along[None, :], along[:, None]
    u = x * np.cos(theta) + y * np.sin(theta)  # (size, size)
    v = x * np.sin(theta) - y * np.cos(theta)
    kernel = np.exp(-0.5 * (u**2 / max(first, _LEAST) + v**2 / max(second, _LEAST)))
    return kernel / kernel.sum()


def gaussian_profile(size: int, sigma: float) -> NDArray[np.float64]:
    """(size,) one axis of an isotropic Gaussian, sum 1."""
    along = np.arange(size) - (size - 1) / 2
    profile = np.exp(-0.5 * along**2 / max(sigma**2, _LEAST))
    return profile / profile.sum()


def shifted_profile(size: int, sigma: float, shift: float) -> NDArray[np.float64]:
    """`gaussian_profile` moved by `shift` pixels towards the start, linearly between samples; sum 1.

    Decimation from pixel 0 keeps the corner of every block; the shift moves the average back to the block's middle.
    """
    along = np.arange(size, dtype=np.float64)
    moved = np.interp(np.minimum(along + shift, size - 1), along, gaussian_profile(size, sigma))
    return moved / moved.sum()
