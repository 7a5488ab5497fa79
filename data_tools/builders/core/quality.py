"""Did the inpainter do what was asked? Each check gives a figure, and a reason to reject."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_tools.builders.core.masks import box_of
from data_tools.builders.core.settings import require
from data_tools.builders.core.weights import obtaining
from models.hub import device_of

Compare = Callable[[NDArray[np.uint8], NDArray[np.uint8]], float]
Agree = Callable[[NDArray[np.uint8], list[str]], list[float]]


@dataclass(frozen=True)
class Checks:
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

    changed_inside: float | None = 0.02
    lpips_inside: float | None = None
    unchanged_outside: bool = True
    clip_margin: float | None = None
    clip_model: str = "ViT-B-32"
    clip_pretrained: str = "laion2b_s34b_b79k"
    context: float = 0.1

    def check(self, prefix: str) -> None:
        """Raise a UserError for a value that cannot be."""
        for name in ("changed_inside", "lpips_inside"):
            value = getattr(self, name)
            require(value is None or value >= 0, f"{prefix}.{name}", value, "must be null, or 0 or more")


@dataclass
class Judge:
    """The checks with their models, which are loaded at the first picture."""

    checks: Checks
    device: str = "auto"
    lpips: Compare | None = None
    clip: Agree | None = None

    def judge(
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
    """LPIPS of two (H, W, 3) uint8 pictures.

    Raises:
        UserError: its weights cannot be had.
    """
    with obtaining("checks.lpips_inside", "AlexNet of torchvision"):
        import torch
        from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

        metric = LearnedPerceptualImagePatchSimilarity(net_type="alex", normalize=True).eval().to(device)

    def compare(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
        with torch.inference_mode():
            planes = [_planes(one, device, 64) for one in (a, b)]
            return float(metric(*planes))

    return compare


def load_clip(model: str, pretrained: str, device: str) -> Agree:
    """Cosines of a (H, W, 3) uint8 picture with texts.

    Raises:
        UserError: its weights cannot be had.
    """
    with obtaining("checks.clip_margin", f"{model} {pretrained}"):
        import open_clip
        import torch

        net, _, transform = open_clip.create_model_and_transforms(model, pretrained=pretrained)
        tokenizer = open_clip.get_tokenizer(model)
    net = net.eval().to(device)
    known: dict[str, Any] = {}

    def agree(picture: NDArray[np.uint8], texts: list[str]) -> list[float]:
        from PIL import Image

        with torch.inference_mode():
            for text in texts:
                if text not in known:
                    known[text] = net.encode_text(tokenizer([text]).to(device), normalize=True)[0]
            # squashed to a square, for CLIP's own transform cuts the ends of a long box off
            side = max(picture.shape[:2])
            square = Image.fromarray(picture).resize((side, side), Image.Resampling.BICUBIC)
            image = net.encode_image(transform(square)[None].to(device), normalize=True)[0]
            return [float(image @ known[text]) for text in texts]

    return agree


def _planes(picture: NDArray[np.uint8], device: str, least: int) -> Any:
    import torch

    planes = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None].float().to(device) / 255
    if min(planes.shape[2:]) < least:  # AlexNet needs as much
        size = [max(least, side) for side in planes.shape[2:]]
        planes = torch.nn.functional.interpolate(planes, size=size, mode="bilinear", align_corners=False)
    return planes


def columns(checks: Checks) -> Mapping[str, bool]:
    """The figures that `Judge.judge` gives under these checks, in the order of the table."""
    return {
        "changed_inside": True,
        "changed_outside": True,
        "lpips_inside": checks.lpips_inside is not None,
        "clip_target": checks.clip_margin is not None,
        "clip_margin": checks.clip_margin is not None,
    }
