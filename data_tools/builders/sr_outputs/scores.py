"""How far an output is from its photo, and how good it looks on its own."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from data_tools.builders.core.encoding import to_tensor
from registry import METRICS, QUALITY_METRICS, named
from semfid.errors import UserError, did_you_mean

Bytes = NDArray[np.uint8]
Quality = Callable[[Bytes], float]
PLAIN = ("deblocked_sharpness", "clearness", "blur_effect")
"""Quality measures that are a few filters: a GPU would wait for them."""


def ssim(x: Bytes, y: Bytes) -> float:
    """SSIM of two (H, W, 3) images: 1 - the metric `ssim`, so a negative SSIM counts as 0.

    It is the mean over channels and over the windows of 11 pixels that are whole, as scikit-image has it with Gaussian weights.

    Raises:
        UserError: a side below 11.
    """
    return 1.0 - float(METRICS.build("ssim")(to_tensor(x, "cpu"), to_tensor(y, "cpu")))


class Lpips:
    """The metric `lpips`.

    Args:
        net: ``alex`` or ``vgg``.
        weights: torchvision's ImageNet checkpoint of that net on disk; None: torchvision's own cache or download. The linear
            layers come with torchmetrics.

    Raises:
        UserError: no such file, or no weights can be loaded.
    """

    def __init__(self, net: Literal["alex", "vgg"], weights: str | None, device: str) -> None:
        self.device = device
        try:
            self._metric: Any = METRICS.build("lpips", net=net, pretrained=weights or "hub").to(device)
        except UserError as error:
            key = "scores.lpips_weights" if weights else "scores.lpips"
            raise UserError(f"{key}: {error} (scores.lpips: null leaves it out)") from error

    def __call__(self, x: Bytes, y: Bytes) -> float:
        """Of two (H, W, 3) images of one size; 0 for the same image."""
        with torch.inference_mode():
            return float(self._metric.distance(to_tensor(x, self.device), to_tensor(y, self.device)))


def quality_of(given: str | Mapping[str, Any] | None, device: str = "cpu") -> Quality | None:
    """The no-reference measure of a setting: a registered one (``deblocked_sharpness``, ``{name: pyiqa, metric: musiq}``; see
    `semfid list quality_metrics`), or ``module:function`` of your own.

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
        with torch.inference_mode():
            return float(metric(to_tensor(image, device)))

    return quality


def has_network(given: str | Mapping[str, Any] | None) -> bool:
    """Whether a quality measure is worth a GPU, or may use one by itself: all but those of no model."""
    return given is not None and named(given, "scores.quality")[0] not in PLAIN


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
