"""Did the inpainter do what was asked? Each check gives a figure, and a reason to reject."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field

from data_tools.builders.core.encoding import to_tensor
from data_tools.builders.core.masks import box_of
from data_tools.builders.core.settings import Number
from models.dual_encoders import DualEncoder
from models.hub import device_of
from registry import DUAL_ENCODERS, METRICS
from semfid.errors import UserError
from semfid.settings import Settings

Compare = Callable[[NDArray[np.uint8], NDArray[np.uint8]], float]
LEAST = 64  # pixels a side of an image that LPIPS sees
Agree = Callable[[NDArray[np.uint8], list[str]], list[float]]


class Checks(Settings):
    """null switches a check off.

    Attributes:
        changed_inside: least mean absolute difference (0 .. 1) inside what was painted.
        lpips_inside: least LPIPS (AlexNet) of the box around what was painted. Its weights come from the net.
        unchanged_outside: every pixel outside the paste mask is the photo's to the bit.
        clip_margin: least similarity of the box to the new category's text less that to the old one's. For same_class, where
            there is no other: unchecked.
        clip_model, clip_pretrained: for clip_margin, names of open_clip or the path of a checkpoint.
        context: how far the box is widened for CLIP, as a share of its sides.
    """

    changed_inside: Number | None = Field(default=0.02, ge=0)
    lpips_inside: Number | None = Field(default=None, ge=0)
    unchanged_outside: bool = True
    clip_margin: Number | None = None
    clip_model: str = "ViT-B-32"
    clip_pretrained: str = "laion2b_s34b_b79k"
    context: float = 0.1


@dataclass
class QualityChecker:
    """The checks with their models, which are loaded at the first picture."""

    checks: Checks
    device: str = "auto"
    lpips: Compare | None = None
    clip: Agree | None = None

    def check(
        self,
        source: NDArray[np.uint8],
        result: NDArray[np.uint8],
        painted: NDArray[np.bool_],
        alpha: NDArray[np.uint8],
        texts: tuple[str, str],
    ) -> tuple[dict[str, float], str]:
        """Figures by column, and the first reason to reject or an empty text.

        Args:
            source, result: (H, W, 3) uint8.
            painted: (H, W) mask of what was painted anew; not empty.
            alpha: (H, W) paste mask.
            texts: what the old and the new object is called; equal for the same class.
        """
        figures: dict[str, float] = {}
        reasons: list[str] = []
        apart = np.abs(source.astype(np.int16) - result)
        figures["changed_inside"] = float(apart[painted].mean() / 255)
        least = self.checks.changed_inside
        if least is not None and figures["changed_inside"] < least:
            reasons.append(f"changed_inside {figures['changed_inside']:.4f} is below {least:g}")
        figures["changed_outside"] = float(apart[alpha == 0].max(initial=0) / 255)
        if self.checks.unchanged_outside and figures["changed_outside"] > 0:
            reasons.append(f"{int((apart[alpha == 0] > 0).any(-1).sum())} pixels outside the mask have changed")
        x0, y0, x1, y1 = widened(box_of(painted), self.checks.context, source.shape)
        if self.checks.lpips_inside is not None:
            self.lpips = self.lpips or load_lpips(device_of("build", self.device))
            figures["lpips_inside"] = self.lpips(source[y0:y1, x0:x1], result[y0:y1, x0:x1])
            if figures["lpips_inside"] < self.checks.lpips_inside:
                reasons.append(f"lpips_inside {figures['lpips_inside']:.4f} is below {self.checks.lpips_inside:g}")
        if self.checks.clip_margin is not None:
            names = self.checks.clip_model, self.checks.clip_pretrained
            self.clip = self.clip or load_clip(*names, device_of("build", self.device))
            old, new = self.clip(result[y0:y1, x0:x1], list(texts))
            figures["clip_target"] = new
            if texts[0] != texts[1]:
                figures["clip_margin"] = new - old
                if new - old < self.checks.clip_margin:
                    reasons.append(f"clip_margin {new - old:.4f} is below {self.checks.clip_margin:g}")
        return {name: round(value, 6) for name, value in figures.items()}, "; ".join(reasons)


def widened(box: tuple[int, int, int, int], share: float, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """A box widened on every side by a share of its width and height, within the image."""
    x0, y0, x1, y1 = box
    wide, high = round((x1 - x0) * share), round((y1 - y0) * share)
    return max(0, x0 - wide), max(0, y0 - high), min(shape[1], x1 + wide), min(shape[0], y1 + high)


def load_lpips(device: str) -> Compare:
    """The metric `lpips` of two (H, W, 3) uint8 images; images below 64 pixels a side are enlarged.

    Raises:
        UserError: its weights cannot be loaded.
    """
    try:
        metric: Any = METRICS.build("lpips").to(device)
    except UserError as error:
        raise UserError(f"checks.lpips_inside: {error} (checks.lpips_inside: null leaves it out)") from error

    def compare(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
        with torch.inference_mode():
            return float(metric.distance(*(_enlarged(to_tensor(one, device)) for one in (a, b))))

    return compare


def load_clip(model: str, pretrained: str, device: str) -> Agree:
    """Cosines of a (H, W, 3) uint8 image, squashed to a square, with texts: the tower `open_clip`.

    Raises:
        UserError: its weights cannot be loaded.
    """
    try:
        tower: DualEncoder = DUAL_ENCODERS.build(
            "open_clip", model=model, pretrained=pretrained, device=device, precision="float32"
        )
        tower.embed_texts(["a photo"])  # loads the weights
    except UserError as error:
        raise UserError(f"checks.clip_margin: {error} (checks.clip_margin: null leaves it out)") from error

    def agree(picture: NDArray[np.uint8], texts: list[str]) -> list[float]:
        image = tower.embed_images([Image.fromarray(picture)])[0]  # (D,)
        return [float(row @ image) for row in tower.embed_texts(texts)]

    return agree


def _enlarged(image: torch.Tensor) -> torch.Tensor:
    if min(image.shape[2:]) >= LEAST:
        return image
    size = [max(LEAST, side) for side in image.shape[2:]]
    return torch.nn.functional.interpolate(image, size=size, mode="bilinear", align_corners=False)


def columns(checks: Checks) -> Mapping[str, bool]:
    """The figures that `QualityChecker.check` gives under these checks, in the order of the table."""
    return {
        "changed_inside": True,
        "changed_outside": True,
        "lpips_inside": checks.lpips_inside is not None,
        "clip_target": checks.clip_margin is not None,
        "clip_margin": checks.clip_margin is not None,
    }
