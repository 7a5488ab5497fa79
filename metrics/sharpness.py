"""Plain no-reference quality: sharpness, and sharpness less visible blocks. No model, no weights."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metrics import QualityMetric
from metrics.memo import pictures
from registry import QUALITY_METRICS
from semfid.errors import deprecated

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]
BLOCK = 32  # pixels: JPEG's 8, four times larger


@QUALITY_METRICS.register(
    "deblocked_sharpness", summary="sharpness less visible blocks; no model", source="blur effect, Crete et al. 2007"
)
class DeblockedSharpness(QualityMetric):
    """In [0, 1]; noise counts as sharpness. Blocks are those of JPEG, four times enlarged."""

    def forward(self, images: Tensor) -> Tensor:
        return _each(images, deblocked_sharpness)


@QUALITY_METRICS.register("clearness", summary="the old name of deblocked_sharpness")
def clearness() -> DeblockedSharpness:
    """`DeblockedSharpness` under the name that it had before version 0.2."""
    deprecated("the quality metric 'clearness' is now 'deblocked_sharpness'")
    return DeblockedSharpness()


@QUALITY_METRICS.register(
    "blur_effect", summary="1 - the blur effect: sharpness alone; no model", source="Crete et al. 2007"
)
class BlurEffect(QualityMetric):
    """In [0, 1]: how little of the differences between neighbours a further blur takes away; noise counts as sharpness."""

    def forward(self, images: Tensor) -> Tensor:
        return _each(images, lambda image: sharpness(_luma(image)))


def _each(images: Tensor, measure: Callable[[Bytes], float]) -> Tensor:
    return torch.tensor([measure(np.asarray(picture)) for picture in pictures(images)], dtype=torch.float32)


def _luma(image: Bytes) -> Floats:
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), dtype=np.float32)


def deblocked_sharpness(image: Bytes) -> float:
    """A plain no-reference quality in [0, 1]: sharpness less visible blocks. It knows nothing of what is shown, and noise
    counts as sharpness; a learned metric is better.
    """
    luma = _luma(image)
    return sharpness(luma) / (1.0 + blockiness(luma))


def sharpness(luma: Floats) -> float:
    """1 - the blur effect after Crete et al. 2007: how much of the differences between neighbours a further blur takes away.

    Args:
        luma: (H, W), 0 .. 255.
    """
    worst = 1.0
    for size in ((1, 11), (11, 1)):  # width, height of a mean filter: across, then down
        soft = np.asarray(cv2.blur(luma, size, borderType=cv2.BORDER_REFLECT), dtype=np.float32)
        axis = 0 if size == (1, 11) else 1
        before, after = np.abs(np.diff(luma, axis=axis)), np.abs(np.diff(soft, axis=axis))
        lost = float(np.maximum(0.0, before - after).sum(dtype=np.float64))
        all_of_it = float(before.sum(dtype=np.float64))
        worst = min(worst, lost / all_of_it if all_of_it > 0 else 0.0)
    return worst


def blockiness(luma: Floats, block: int = BLOCK) -> float:
    """How much larger differences of neighbours are at the borders of blocks than elsewhere: 0 not at all, 1 twice as large."""
    found = []
    for axis in (0, 1):
        steps = np.abs(np.diff(luma, axis=axis)).mean(axis=1 - axis, dtype=np.float64)  # one mean per line
        at = np.arange(1, len(steps) + 1) % block == 0
        if at.any() and (~at).any() and steps[~at].mean() > 0:
            found.append(max(0.0, float(steps[at].mean() / steps[~at].mean()) - 1.0))
    return float(np.mean(found)) if found else 0.0
