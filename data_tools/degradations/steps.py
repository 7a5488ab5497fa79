"""A degradation of one image as a record, and the record carried out.

A record is a flat mapping that JSON can hold. ``order`` names the steps, apart by blanks; the settings of a step stand under
``<step>_<setting>``. A record and an image give the same result wherever they meet: noise has its own seed in the record.

| step | settings |
|---|---|
| blur1, blur2 | kernel (anisotropic: size, theta, first, second; isotropic: size, sigma) |
| pre | by (linear, cubic, area, bicubic): halves the image |
| shrink | by (linear, cubic, area: ratio; kernel: sigma, step) |
| fit | by, to, which is the size it ends at: 1 / to of the image before `shrink` |
| resize1, resize2 | by, ratio |
| noise1, noise2, speckle1, speckle2 | kind (color, grey: level; correlated: covariance, 9 numbers), seed |
| poisson1, poisson2 | photons, grey, seed |
| jpeg1, jpeg2 | quality |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from data_tools.degradations import operations
from data_tools.degradations.kernels import anisotropic_kernel, gaussian_profile, shifted_profile
from data_tools.degradations.operations import Image
from semfid.errors import UserError

Record = dict[str, Any]
Settings = Callable[[str], Any]
KERNEL = 25  # pixels, of the blur before plain decimation


def carry_out(image: Image, record: Mapping[str, Any]) -> Image:
    """Do the steps of a record.

    Args:
        image: (H, W, 3) float32 in [0, 1], H and W multiples of the record's factor.

    Returns:
        (H / factor, W / factor, 3).

    Raises:
        UserError: a record without a setting that its steps need.
    """
    before = image.shape[:2]  # what `fit` measures from: the size before `shrink`
    for name in str(record.get("order", "")).split():
        kind = name.rstrip("0123456789")

        def setting(key: str, name: str = name) -> Any:
            if f"{name}_{key}" not in record:
                raise UserError(f"degradation record: the step {name} lacks {name}_{key}; write the record again")
            return record[f"{name}_{key}"]

        if kind == "shrink":
            before = image.shape[:2]
        if kind == "fit":
            to = int(setting("to"))
            image = operations.resize(image, before[1] // to, before[0] // to, setting("by"))
        elif kind in _STEPS:
            image = _STEPS[kind](image, setting)
        else:
            raise UserError(f"degradation record: no step '{name}'; there are {', '.join(_STEPS)}, fit")
    return image


def _blur(image: Image, setting: Settings) -> Image:
    if setting("kernel") == "isotropic":
        return operations.blur_separable(image, gaussian_profile(setting("size"), setting("sigma")))
    return operations.blur(
        image, anisotropic_kernel(setting("size"), setting("theta"), setting("first"), setting("second"))
    )


def _pre(image: Image, setting: Settings) -> Image:
    by = setting("by")
    if by == "bicubic":
        return operations.shrink_bicubic(image, 2)
    return operations.resize(image, image.shape[1] // 2, image.shape[0] // 2, by)


def _shrink(image: Image, setting: Settings) -> Image:
    by = setting("by")
    if by != "kernel":
        ratio = setting("ratio")
        return operations.resize(image, int(image.shape[1] / ratio), int(image.shape[0] / ratio), by)
    step = int(setting("step"))
    return operations.decimate(image, shifted_profile(KERNEL, setting("sigma"), (step - 1) / 2), step)


def _resize(image: Image, setting: Settings) -> Image:
    ratio = setting("ratio")
    return operations.resize(image, int(image.shape[1] * ratio), int(image.shape[0] * ratio), setting("by"))


def _noise(image: Image, setting: Settings) -> Image:
    if setting("kind") == "correlated":
        return operations.correlated_noise(image, np.reshape(setting("covariance"), (3, 3)), setting("seed"))
    return operations.gaussian_noise(image, setting("level"), setting("kind") == "grey", setting("seed"))


def _speckle(image: Image, setting: Settings) -> Image:
    if setting("kind") == "correlated":
        return operations.correlated_speckle(image, np.reshape(setting("covariance"), (3, 3)), setting("seed"))
    return operations.speckle_noise(image, setting("level"), setting("kind") == "grey", setting("seed"))


def _poisson(image: Image, setting: Settings) -> Image:
    return operations.poisson_noise(image, setting("photons"), setting("grey"), setting("seed"))


def _jpeg(image: Image, setting: Settings) -> Image:
    return operations.jpeg(image, setting("quality"))


_STEPS: dict[str, Callable[[Image, Settings], Image]] = {
    "blur": _blur,
    "pre": _pre,
    "shrink": _shrink,
    "resize": _resize,
    "noise": _noise,
    "speckle": _speckle,
    "poisson": _poisson,
    "jpeg": _jpeg,
}
