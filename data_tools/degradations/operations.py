"""The single operations. Images are (H, W, 3) float32 RGB in [0, 1], and so is what comes back; nothing is changed in place."""

from __future__ import annotations

from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from data_tools.degradations.kernels import Kernel

Image = NDArray[np.float32]
Interpolation = Literal["linear", "cubic", "area"]
_INTERPOLATIONS: dict[str, int] = {"linear": cv2.INTER_LINEAR, "cubic": cv2.INTER_CUBIC, "area": cv2.INTER_AREA}


def blur(image: Image, kernel: Kernel) -> Image:
    """Convolution, edges mirrored about the outermost pixel (scipy's ``mirror``)."""
    turned = np.ascontiguousarray(kernel[::-1, ::-1])  # OpenCV correlates
    return _same(cv2.filter2D(image, cv2.CV_32F, turned, borderType=cv2.BORDER_REFLECT_101))


def blur_separable(image: Image, profile: NDArray[np.float64]) -> Image:
    """`blur` by the outer product of a profile with itself."""
    turned = np.ascontiguousarray(profile[::-1])
    return _same(cv2.sepFilter2D(image, cv2.CV_32F, turned, turned, borderType=cv2.BORDER_REFLECT_101))


def resize(image: Image, width: int, height: int, how: Interpolation) -> Image:
    """OpenCV's resize, without antialiasing but for ``area``; cut to [0, 1], at least one pixel a side."""
    size = (max(1, width), max(1, height))
    return _unit(cv2.resize(image, size, interpolation=_INTERPOLATIONS[how]))


def decimate(image: Image, profile: NDArray[np.float64], step: int) -> Image:
    """Blur by a profile and keep every `step`-th pixel, from the first."""
    return _unit(blur_separable(image, profile)[::step, ::step])


def shrink_bicubic(image: Image, factor: int) -> Image:
    """Bicubic with antialiasing, as MATLAB's imresize(image, 1 / factor); cut to [0, 1].

    (H, W, 3) becomes (ceil(H / factor), ceil(W / factor), 3). Borders are mirrored with the outermost pixel repeated.
    """
    rows, columns = (_bicubic_weights(length, factor) for length in image.shape[:2])
    flat = image.reshape(len(image), -1).astype(np.float32)
    narrow = (rows @ flat).reshape(len(rows), *image.shape[1:])  # (h, W, 3)
    small = np.einsum("vw,hwc->hvc", columns, narrow, optimize=True)  # (h, w, 3)
    return _unit(np.ascontiguousarray(small))


def _bicubic_weights(length: int, factor: int) -> Image:
    """(ceil(length / factor), length): what each output takes of each input."""
    count = -(-length // factor)
    taps = 4 * factor + 2
    centre = (np.arange(count) + 0.5) * factor - 0.5  # of every output, in input pixels
    first = np.floor(centre - 2 * factor).astype(int)
    places = first[:, None] + np.arange(taps + 1)  # (count, taps + 1)
    weights = _keys((centre[:, None] - places) / factor)
    weights /= weights.sum(axis=1, keepdims=True)
    inside = places % (2 * length)  # mirrored: 1 0 | 0 1 2 ... n-1 | n-1 n-2
    inside = np.where(inside >= length, 2 * length - 1 - inside, inside)
    matrix = np.zeros((count, length))
    np.add.at(matrix, (np.arange(count)[:, None], inside), weights)
    return matrix.astype(np.float32)


def _keys(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keys' cubic with a = -0.5."""
    x = np.abs(x)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x <= 2, far, 0.0))


def enlarge_bicubic(image: Image, width: int, height: int) -> Image:
    """Bicubic up, with OpenCV's kernel (a = -0.75); cut to [0, 1]."""
    return resize(image, width, height, "cubic")


def gaussian_noise(image: Image, level: float, grey: bool, seed: int) -> Image:
    """Additive noise of standard deviation `level` (1 = full range), the same in the three channels where `grey`."""
    field = np.random.default_rng(seed).standard_normal((*image.shape[:2], 1 if grey else 3), dtype=np.float32)
    return _unit(image + np.float32(level) * field)


def correlated_noise(image: Image, covariance: NDArray[np.float64], seed: int) -> Image:
    """Additive noise whose channels have a covariance (3, 3); a negative eigenvalue counts by its size, as in numpy."""
    field = np.random.default_rng(seed).standard_normal(image.shape, dtype=np.float32)
    return _unit(image + field @ noise_mixing(covariance))


def noise_mixing(covariance: NDArray[np.float64]) -> Image:
    """(3, 3) that turns independent unit noise into noise of a covariance."""
    _, sizes, axes = np.linalg.svd(covariance)
    return (np.sqrt(sizes)[:, None] * axes).astype(np.float32)


def speckle_noise(image: Image, level: float, grey: bool, seed: int) -> Image:
    """Noise that grows with the brightness of the pixel: image * (1 + level * noise)."""
    field = np.random.default_rng(seed).standard_normal((*image.shape[:2], 1 if grey else 3), dtype=np.float32)
    return _unit(image * (1 + np.float32(level) * field))


def correlated_speckle(image: Image, covariance: NDArray[np.float64], seed: int) -> Image:
    """`speckle_noise` with a covariance between channels."""
    field = np.random.default_rng(seed).standard_normal(image.shape, dtype=np.float32)
    return _unit(image * (1 + field @ noise_mixing(covariance)))


def poisson_noise(image: Image, photons: float, grey: bool, seed: int) -> Image:
    """Shot noise of an 8-bit image; full range stands for `photons` counts. `grey`: that of the luma, in all channels."""
    draw = np.random.default_rng(seed)
    bytes_ = np.rint(image * 255) / 255
    if not grey:
        return _unit(draw.poisson(bytes_ * photons) / photons)
    luma = np.rint(bytes_ @ np.asarray([0.299, 0.587, 0.114]) * 255) / 255  # (H, W)
    return _unit(bytes_ + (draw.poisson(luma * photons) / photons - luma)[:, :, None])


def jpeg(image: Image, quality: int) -> Image:
    """Through an 8-bit JPEG (chroma halved)."""
    flags = [cv2.IMWRITE_JPEG_QUALITY, quality]
    _, encoded = cv2.imencode(".jpg", cv2.cvtColor(to_bytes(image), cv2.COLOR_RGB2BGR), flags)
    decoded = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), dtype=np.uint8)
    return from_bytes(np.asarray(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB), dtype=np.uint8))


def to_bytes(image: Image) -> NDArray[np.uint8]:
    """Rounded to (H, W, 3) uint8."""
    return np.rint(np.clip(image, 0.0, 1.0) * 255).astype(np.uint8)


def from_bytes(image: NDArray[np.uint8]) -> Image:
    """(H, W, 3) uint8 to float32 in [0, 1]."""
    return image.astype(np.float32) / np.float32(255)


def _unit(image: NDArray[Any]) -> Image:
    return np.clip(image, 0.0, 1.0).astype(np.float32, copy=False)


def _same(image: NDArray[Any]) -> Image:
    return np.asarray(image, dtype=np.float32)
