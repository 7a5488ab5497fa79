"""What a degradation is."""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_tools.degradations import operations
from data_tools.degradations.operations import Image
from data_tools.degradations.steps import Record, carry_out
from semfid.errors import UserError

LEAST_PIXELS = 4  # of the short side of what comes out


class Degradation(ABC):
    """Makes a small, degraded version of a photo.

    All draws of an image come from one generator and before a strength scales them, so that the strengths of one image share
    their draws and differ in nothing else.

    Args:
        factor: how many times smaller the result is; 2 or 4.
        strength: in [0, 1], of calls that name no other.
    """

    def __init__(self, factor: int, strength: float) -> None:
        if factor not in (2, 4):
            raise UserError(f"degradation: factor={factor} must be 2 or 4")
        self.factor, self.strength = factor, check_strength(strength)

    @property
    @abstractmethod
    def identity(self) -> str:
        """Name and settings that decide what comes out, but the strength."""

    @abstractmethod
    def records(self, rng: np.random.Generator, strengths: Sequence[float]) -> list[Record]:
        """The drawn settings of one image at each strength; draws the same numbers whatever the strengths are."""

    def apply(self, image: Image, record: Mapping[str, Any]) -> Image:
        """Carry out a record.

        Args:
            image: (H, W, 3) float32 in [0, 1]; see `crop_to_multiple` for H and W.

        Returns:
            (H / factor, W / factor, 3) float32 in [0, 1].

        Raises:
            UserError: an image whose sides are no multiples of factor, or too small.
        """
        height, width = image.shape[:2]
        if height % self.factor or width % self.factor or min(height, width) < LEAST_PIXELS * self.factor:
            raise UserError(
                f"degradation: an image of {width}x{height} must have sides that are multiples of {self.factor} and at least "
                f"{LEAST_PIXELS * self.factor}; cut it with crop_to_multiple, or leave it out"
            )
        return carry_out(image, record)

    def degrade(self, image: Image, rng: np.random.Generator) -> tuple[Image, Record]:
        """The image at the degradation's own strength, and its record; arguments and errors as `apply`."""
        record = self.records(rng, [self.strength])[0]
        return self.apply(image, record), record


def check_strength(strength: float) -> float:
    """Raises a UserError outside [0, 1]."""
    if not 0 <= strength <= 1:
        raise UserError(f"degradation: strength={strength:g} must lie in 0 .. 1")
    return float(strength)


def crop_to_multiple(image: NDArray[Any], factor: int) -> NDArray[Any]:
    """The image without the rows at its bottom and columns at its right that are too many for a multiple of `factor`.

    The only thing that ever happens to a photo itself: no pixel value changes, and a photo whose sides are multiples already
    comes back as it is.
    """
    height, width = image.shape[:2]
    return image[: height - height % factor, : width - width % factor]


def pad_to_multiple(image: NDArray[Any], factor: int) -> NDArray[Any]:
    """The image mirrored at its bottom and right up to sides that are multiples of `factor`; as it is where they are."""
    more = (-image.shape[0] % factor, -image.shape[1] % factor)
    return np.pad(image, ((0, more[0]), (0, more[1]), (0, 0)), mode="symmetric") if any(more) else image


def generator_of(seed: int, image_id: str) -> np.random.Generator:
    """Generator of one image: the same whatever the order, the batch or the shard."""
    return np.random.default_rng(np.random.SeedSequence([seed, zlib.crc32(image_id.encode())]))


def degraded_like(
    degradation: Degradation, image: NDArray[np.uint8], rng: np.random.Generator, strength: float | None = None
) -> NDArray[np.uint8]:
    """An image degraded and brought back to its own size by bicubic interpolation, for augmentation on the fly.

    Args:
        image: (H, W, 3) uint8 of any size. Sides that are no multiples of the factor are mirrored up to one, then cut back.
        strength: instead of the degradation's own.

    Returns:
        (H, W, 3) uint8.

    Raises:
        UserError: an image below `LEAST_PIXELS` times the factor.
    """
    height, width = image.shape[:2]
    padded = pad_to_multiple(image, degradation.factor)
    record = degradation.records(rng, [degradation.strength if strength is None else strength])[0]
    small = degradation.apply(operations.from_bytes(padded), record)
    large = operations.enlarge_bicubic(small, padded.shape[1], padded.shape[0])
    return operations.to_bytes(large)[:height, :width]
