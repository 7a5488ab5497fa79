"""How far an output is from its photo, and how good it looks on its own."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from registry import METRICS, QUALITY_METRICS, named
from semfid.errors import UserError, did_you_mean

if TYPE_CHECKING:  # imported where it is used: a build without LPIPS does not wait for it
    import torch

Bytes = NDArray[np.uint8]
Quality = Callable[[Bytes], float]
Floats = NDArray[np.float32]


def ssim(x: Bytes, y: Bytes) -> float:
    """SSIM of two (H, W, 3) images, the mean over channels and pixels.

    Gaussian windows of 11 pixels, sigma 1.5 (Wang et al. 2004), mirrored at the edges: torchmetrics' figure, some ten times
    sooner. (Other programs leave the edges out, and differ in the second decimal on small images.)

    Raises:
        ValueError: a side below 11.
    """
    if min(x.shape[:2]) < 11 or x.shape != y.shape:
        raise ValueError(f"SSIM needs two images of one size, 11 pixels a side or more, not {x.shape} and {y.shape}")
    a, b = x / np.float32(255), y / np.float32(255)
    mean_a, mean_b = _window(a), _window(b)
    var_a, var_b = _window(a * a) - mean_a**2, _window(b * b) - mean_b**2
    both = _window(a * b) - mean_a * mean_b
    c1, c2 = 0.01**2, 0.03**2
    values = (2 * mean_a * mean_b + c1) * (2 * both + c2) / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
    return float(values.mean(dtype=np.float64))


def _window(image: NDArray[np.floating]) -> Floats:
    return np.asarray(cv2.GaussianBlur(image, (11, 11), 1.5), dtype=np.float32)


class Lpips:
    """LPIPS, as the metric of that name has it.

    Args:
        net: ``alex`` or ``vgg``.
        weights: torchvision's ImageNet checkpoint of that net on disk; None: torchvision's own cache or download. The linear
            layers come with torchmetrics.

    Raises:
        UserError: no such file, or no weights can be had.
    """

    def __init__(self, net: Literal["alex", "vgg"], weights: str | None, device: str) -> None:
        self.device = device
        try:
            self._model: Any = METRICS.build("lpips", net=net, pretrained=weights or "hub").to(device).eval()
        except UserError as error:
            key = "scores.lpips_weights" if weights else "scores.lpips"
            raise UserError(f"{key}: {error} (scores.lpips: null leaves it out)") from error

    def __call__(self, x: Bytes, y: Bytes) -> float:
        """Of two (H, W, 3) images of one size; 0 for the same image."""
        import torch

        with torch.inference_mode():
            return float(self._model.distance(self._planes(x), self._planes(y)))

    def _planes(self, image: Bytes) -> torch.Tensor:
        import torch

        planes = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None]  # (1, 3, H, W)
        return planes.to(self.device, torch.float32) / 255


def quality_of(given: str | Mapping[str, Any] | None, device: str = "cpu") -> Quality | None:
    """The no-reference measure of a setting: a registered one (``clearness``, ``{name: pyiqa, metric: musiq}``; see `semfid list
    quality_metrics`), or ``module:function`` of your own.

    The function takes (H, W, 3) uint8 RGB and returns a number, larger for better. That is the place for KonIQ++ with weights
    of your own.

    Raises:
        UserError: no such measure, module or function.
    """
    if given is None:
        return None
    if isinstance(given, str) and given not in QUALITY_METRICS.names():
        return _own_function(given)
    name, keywords = named(given, "scores.quality")
    try:
        metric = QUALITY_METRICS.build(name, **keywords).to(device).eval()
    except UserError as error:
        raise UserError(f"scores.quality: {error}") from error

    def quality(image: Bytes) -> float:
        import torch

        with torch.inference_mode():
            planes = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None]  # (1, 3, H, W)
            return float(metric(planes.to(device, torch.float32) / 255))

    return quality


def _own_function(name: str) -> Quality:
    module, colon, function = name.partition(":")
    if not colon:
        known = QUALITY_METRICS.names()
        raise UserError(
            f"scores.quality: '{name}' is neither one of {', '.join(known)} nor module:function{did_you_mean(name, known)}; set "
            "null for none"
        )
    try:
        found: Quality = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, UserError) as error:
        raise UserError(
            f"scores.quality: no {name} ({error}); check the name and that the module can be imported"
        ) from error
    return found
