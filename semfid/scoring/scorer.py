"""The contract of a metric that is ready to score, and what needs nothing but it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from semfid.errors import UserError
from semfid.io.images import Resize

SMALLEST = 32  # pixels; the deepest stage of a stride-32 backbone would be empty

Description = tuple[Tensor, ...]
"""What a backbone makes of B images, ready to be compared: tensors whose first dimension is B."""


@dataclass(frozen=True)
class Facts:
    """What a scorer is; stands in every file of scores.

    Attributes:
        run: ``<experiment>/<run folder>``.
        weights_hash: of backbone and head.
        image_size: side of the images that it was trained on.
        resize: how those became square.
        fixed_size: whether the backbone takes images of `image_size` only.
        gives_maps: whether `Scorer.maps` is to be had.
        figures: of the run's test part, such as ``{"srcc": 0.8, "mse": 0.03}``.
    """

    run: str
    weights_hash: str
    image_size: int
    resize: Resize
    fixed_size: bool
    gives_maps: bool
    figures: dict[str, Any]


class Scorer(nn.Module):
    """A trained metric. Images are (B, 3, H, W) RGB in [0, 1]; differences are (B,), 0 = same meaning.

    `describe` costs nearly everything, so that a reference is described once for all its candidates.

    Attributes:
        facts: see `Facts`.
        concurrent: whether several threads may use it at once; backbones that are tapped by hooks may not.
    """

    facts: Facts
    concurrent: bool = False

    def describe(self, images: Tensor) -> Description:
        """Features of each image."""
        raise NotImplementedError(f"{type(self).__name__} must implement describe")

    def compare(self, reference: Description, candidate: Description) -> Tensor:
        """Difference of each pair, (B,) float32."""
        raise NotImplementedError(f"{type(self).__name__} must implement compare")

    def maps(self, reference: Description, candidate: Description) -> Tensor:
        """Difference per position, (B, 1, h, w), on the grid of the finest stage that a linear head uses, or at the size of
        the images.
        """
        raise NotImplementedError(f"{self.facts.run} gives no maps")

    def compare_with_maps(self, reference: Description, candidate: Description) -> tuple[Tensor, Tensor]:
        """`compare` and `maps` of the same pairs; a scorer whose score comes of its map does it in one go."""
        return self.compare(reference, candidate), self.maps(reference, candidate)

    def word(self, difference: float) -> str:
        """A word for a difference; empty where the scorer has none."""
        return ""

    def forward(self, reference: Tensor, candidate: Tensor) -> Tensor:
        """Difference of each pair, (B,)."""
        return self.compare(self.describe(reference), self.describe(candidate))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Scorer:
        """Weights follow a host module to its device, but stay float32 where it goes to another precision."""
        before = next(self.parameters(), torch.empty(0))
        after = fn(before.detach()[:0] if before.dim() else before.detach())
        if after.dtype != before.dtype:
            return super()._apply(lambda tensor: tensor.to(after.device), recurse)  # type: ignore[return-value]
        return super()._apply(fn, recurse)  # type: ignore[return-value]

    def score_and_map(self, reference: Tensor, candidate: Tensor) -> tuple[Tensor, Tensor | None]:
        """Differences (B,) and maps (B, 1, H, W) at the size of the images; None where the head gives none."""
        x, y = self.describe(reference), self.describe(candidate)
        if not self.facts.gives_maps:
            return self.compare(x, y), None
        score, maps = self.compare_with_maps(x, y)
        return score, upsampled(maps, reference.shape[-2:])


def upsampled(maps: Tensor, size: Sequence[int]) -> Tensor:
    """(B, 1, h, w) maps at the size of the images, (B, 1, H, W)."""
    return F.interpolate(maps, size=(int(size[0]), int(size[1])), mode="bilinear", align_corners=False)


def expanded(description: Description, pairs: int) -> Description:
    """One image's description for each of `pairs` candidates, without copying it."""
    return tuple(tensor.expand(pairs, *tensor.shape[1:]) for tensor in description)


def check_images(images: Tensor, name: str) -> None:
    """Refuse what cannot be RGB images in [0, 1].

    Raises:
        UserError: not (B, 3, H, W), not floating point, not finite, outside [0, 1] by more than rounding, too small.
    """
    if images.dim() != 4 or images.shape[1] != 3:
        raise UserError(f"{name} has the shape {tuple(images.shape)}; give (B, 3, H, W)")
    if not images.is_floating_point():
        raise UserError(f"{name} is {images.dtype}; give floating point RGB in [0, 1] (uint8 images / 255)")
    if min(images.shape[-2:]) < SMALLEST:
        raise UserError(f"{name} has {images.shape[-1]}x{images.shape[-2]} pixels; at least {SMALLEST}x{SMALLEST}")
    if images.numel() == 0:
        return
    low, high = (float(value) for value in torch.aminmax(images.detach()))
    if not (low == low and high == high and abs(low) != float("inf") and abs(high) != float("inf")):
        raise UserError(f"{name} has pixels that are not finite")
    if low < -0.01 or high > 1.01:
        raise UserError(f"{name} has values in [{low:.3g}, {high:.3g}]; give RGB in [0, 1]")


def check_pair(reference: Tensor, candidate: Tensor) -> None:
    """Refuse what cannot be two batches of images.

    Raises:
        UserError: as `check_images`; shapes that differ.
    """
    check_images(reference, "reference")
    check_images(candidate, "candidate")
    if reference.shape != candidate.shape:
        raise UserError(f"reference is {tuple(reference.shape)}, candidate {tuple(candidate.shape)}; give equal shapes")


def compared(scorer: Scorer, reference: Description, candidate: Description) -> Tensor:
    """`Scorer.compare` in float32 under the caller's autocast too: bf16 scores would tie by the dozen."""
    with torch.autocast(reference[0].device.type, enabled=False):
        return scorer.compare(*(tuple(tensor.float() for tensor in side) for side in (reference, candidate)))


def keep_out_of_checkpoints(module: nn.Module, name: str) -> None:
    """Leave the weights of a submodule out of `module`'s state dicts, and fill them in on loading, so that it stays strict.

    A metric or a loss that a LightningModule holds would put its backbone into every checkpoint.
    """
    # functions of this module, bound: a host with local ones could not be pickled
    module.register_state_dict_post_hook(partial(_drop, name))
    module.register_load_state_dict_pre_hook(partial(_fill, name))


def _drop(name: str, _module: Any, state: dict[str, Any], prefix: str, _metadata: Any) -> None:
    for key in [key for key in state if key.startswith(f"{prefix}{name}.")]:
        del state[key]


def _fill(name: str, module: Any, state: dict[str, Any], prefix: str, *_: Any) -> None:
    for key, value in getattr(module, name).state_dict().items():
        state.setdefault(f"{prefix}{name}.{key}", value)
