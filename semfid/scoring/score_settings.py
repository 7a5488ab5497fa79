"""How files are scored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from semfid.errors import UserError
from semfid.io.fitting import Fit
from semfid.io.images import Resize
from semfid.io.workers import Workers
from semfid.scoring.scorer import SMALLEST, Scorer

Precision = Literal["32", "tf32", "bf16", "fp16"]


@dataclass(frozen=True)
class ScoreSettings:
    """How files are scored.

    Attributes:
        image_size: side that images are resized to; None: whole resolution.
        resize: how they become square.
        precision: of the backbone. ``32``: float32, also in what a GPU multiplies, so that it agrees with a CPU; ``tf32``: such
            products in TF32. Heads stay in float32.
        device: of torch.
        maps: whether difference maps are wanted too.
        fit: what becomes of two images of different sizes.
        workers: processes that decode; 0: threads of this one.
    """

    image_size: int | None
    resize: Resize
    precision: Precision
    device: str
    maps: bool
    fit: Fit = "refuse"
    workers: Workers = "auto"


def settings_for(
    scorer: Scorer,
    size: str,
    precision: Precision,
    device: str,
    maps: bool,
    fit: Fit = "refuse",
    workers: Workers = "auto",
) -> ScoreSettings:
    """Settings out of what a user writes.

    Args:
        size: ``train`` (as the metric was trained), ``native``, or a side in pixels (square, resized as in training).
        device: ``auto``, or a device of torch.

    Raises:
        UserError: a size that the backbone does not take, no such device, maps of a run that gives none, workers below 0.
    """
    if workers != "auto" and workers < 0:
        raise UserError(f"--workers {workers}: give auto, 0, or a number of processes")
    facts = scorer.facts
    if size == "train":
        side: int | None = facts.image_size
    elif size == "native":
        side = None
    elif size.isdecimal() and int(size) >= SMALLEST:
        side = int(size)
    else:
        raise UserError(f"--size {size}: give train, native, or a number of pixels of at least {SMALLEST}")
    if facts.fixed_size and side != facts.image_size:
        raise UserError(f"--size {size}: the backbone of {facts.run} takes {facts.image_size}x{facts.image_size} only")
    resize = facts.resize
    if facts.resize == "none":  # trained on whole images: other sizes only where they are asked for
        side, resize = (None, "none") if size == "train" else (side, "squash")
    if maps and not facts.gives_maps:
        raise UserError(
            f"--map: {facts.run} gives no maps; use a run of a local map model, or one with an lpips_linear head, or leave "
            "--run out"
        )
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"--device {device}: {str(error).splitlines()[0]}; use auto") from error
    return ScoreSettings(side, "none" if side is None else resize, precision, device, maps, fit, workers)
