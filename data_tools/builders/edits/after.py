"""What a share of the pairs passes through after the edit: a degradation to a quarter of the size, and a model for x4."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from data_tools.builders.core.errors import UnitError
from data_tools.builders.edits.config import After
from data_tools.builders.edits.contract import Edit
from data_tools.builders.sr_outputs.config import named_plugin
from data_tools.builders.upscalers.contract import FACTOR, Upscaler, build_upscaler, of_right_size
from data_tools.degradations import Degradation, Record, build_degradation, pad_to_multiple
from data_tools.degradations.operations import from_bytes, to_bytes
from models.hub import device_of
from registry import UPSCALERS
from semfid.errors import UserError

Bytes = NDArray[np.uint8]
SEEN = 24  # pixels at a quarter of the size: a change of fewer is a speck


@dataclass(frozen=True)
class Step:
    """One of the settings' `After`, with its models."""

    share: float
    strength: tuple[float, float]
    degradation: Degradation
    upscaler: Upscaler

    @property
    def identity(self) -> str:
        """All that decides what comes out."""
        low, high = self.strength
        return f"{self.share:g} {low:g}-{high:g} {self.degradation.identity} {self.upscaler.identity}"

    def shrink(self, picture: Bytes, rng: np.random.Generator) -> tuple[Bytes, Record]:
        """(H, W, 3) to (ceil(H / 4), ceil(W / 4), 3) at a drawn strength, and the record of the degradation."""
        strength = round(float(rng.uniform(*self.strength)), 4)
        padded = pad_to_multiple(picture, FACTOR)
        record = self.degradation.records(rng, [strength])[0]
        return to_bytes(self.degradation.apply(from_bytes(padded), record)), record

    def left_of(self, edit: Edit, source: Bytes, small: Bytes, record: Record) -> float:
        """Mean absolute difference (0 .. 1) that a change still makes after `shrink`, where its map is; 0 where the map is below
        `SEEN` pixels.

        Args:
            source: (H, W, 3) before the edit.
            small, record: what `shrink` made of the edit.
        """
        height, width = small.shape[:2]
        changed = pad_to_multiple(edit.changed[..., None], FACTOR)[..., 0]
        where = cv2.resize(changed.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA) >= 0.5
        if where.sum() < SEEN:
            return 0.0
        without = to_bytes(self.degradation.apply(from_bytes(pad_to_multiple(source, FACTOR)), record))
        return float(np.abs(small[where].astype(np.int16) - without[where]).mean()) / 255

    def enlarge(self, small: Sequence[Bytes], shapes: Sequence[tuple[int, ...]]) -> list[Bytes | UnitError]:
        """What the model makes of small images, cut to the shapes (H, W, 3) of the pictures that they were."""
        results: list[Bytes | UnitError] = []
        for output, image, shape in zip(self.upscaler.upscale(small), small, shapes, strict=True):
            if isinstance(output, UnitError):
                results.append(output)
                continue
            try:
                results.append(of_right_size(output, image)[: shape[0], : shape[1]])
            except UnitError as error:
                results.append(error)
        return results


def build_steps(settings: Mapping[str, After], device: str) -> dict[str, Step]:
    """By label.

    Raises:
        UserError, RegistryError: a degradation or a model that cannot be.
    """
    return {label: _step(label, one, device) for label, one in settings.items() if one.share > 0}


def _step(label: str, settings: After, device: str) -> Step:
    name, keywords = named_plugin(f"after.{label}.degradation", {"name": "bsrgan", **settings.degradation})
    if "strength" in keywords:
        raise UserError(f"after.{label}.degradation.strength has no meaning here; set after.{label}.strength")
    degradation = build_degradation(name, keywords)
    if degradation.factor != FACTOR:
        raise UserError(
            f"after.{label}.degradation.factor={degradation.factor}: models are for x{FACTOR}; set it to {FACTOR}"
        )
    name, keywords = named_plugin(f"after.{label}.upscaler", settings.upscaler)
    if "device" in UPSCALERS.get(name).keywords:
        keywords.setdefault("device", device_of("build", device))
    return Step(settings.share, settings.strength, degradation, build_upscaler(name, keywords))


def step_of(steps: Mapping[str, Step], draw: float) -> str:
    """The label whose share a draw in [0, 1) falls into; empty: none."""
    for label, step in steps.items():
        if draw < step.share:
            return label
        draw -= step.share
    return ""
