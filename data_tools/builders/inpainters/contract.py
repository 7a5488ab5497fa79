"""The contract of an inpainter.

Built without its weights, which are loaded when the first request comes. `identity` is known before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_tools.builders.inpainters.object_bank import ObjectBank
from registry import INPAINTERS
from semfid.errors import UserError


@dataclass(frozen=True)
class Request:
    """An object to be painted over.

    Attributes:
        picture: (H, W, 3) RGB uint8 of the photo.
        object: (H, W) mask of the object that goes.
        repaint: (H, W) mask of what may be painted anew.
        photo: id of the photo.
        instance: id of the object.
        before, after: categories of the object and of what replaces it.
        prompt: what the picture is to show there.
        rng: all draws come from it.
        avoid: (H, W) mask of what should not be copied into the background: other objects. None: nothing is known of them.
    """

    picture: NDArray[np.uint8]
    object: NDArray[np.bool_]
    repaint: NDArray[np.bool_]
    photo: int
    instance: int
    before: str
    after: str
    prompt: str
    rng: np.random.Generator
    avoid: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class Painted:
    """What an inpainter made.

    Attributes:
        picture: (H, W, 3) RGB uint8, of the request's size; only what lies in `repaint` and a feather's width around it is used.
        covered: (H, W) mask of the new object, where the inpainter knows it.
        repaint: (H, W) mask of what it painted, where it is not the request's.
        facts: provenance of this picture, such as its donor.
    """

    picture: NDArray[np.uint8]
    covered: NDArray[np.bool_] | None = None
    repaint: NDArray[np.bool_] | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


class Inpainter:
    """Replaces objects. A subclass sets `identity` and implements `_paint`.

    Attributes:
        identity: name, weights and all settings that determine the pictures.
        facts: provenance of all its pictures: model, steps, guidance, libraries.
    """

    identity: str
    facts: Mapping[str, Any] = {}

    def meet(self, donors: ObjectBank) -> None:
        """Learn of the other photos' objects, before anything is planned."""

    def offers(self, category: str, photo: int) -> bool:
        """Whether it can paint a category into a photo."""
        return True

    def prepare(self, prompts: Sequence[str], device: str) -> None:
        """Learn of all prompts to come, and of the device (maybe ``auto``), before the first request."""

    def paint(self, request: Request) -> Painted:
        """One picture.

        Raises:
            UnitError: this object cannot be painted over.
            TypeError: a subclass that breaks the contract.
        """
        painted, shape = self._paint(request), request.object.shape
        if painted.picture.shape != (*shape, 3) or painted.picture.dtype != np.uint8:
            raise TypeError(
                f"{type(self).__name__} gave {painted.picture.dtype} {painted.picture.shape}; expected uint8 {(*shape, 3)}"
            )
        for mask in (painted.covered, painted.repaint):
            if mask is not None and (mask.shape != shape or mask.dtype != np.bool_):
                raise TypeError(f"{type(self).__name__} gave a mask {mask.dtype} {mask.shape}; expected bool {shape}")
        return painted

    def _paint(self, request: Request) -> Painted:
        raise NotImplementedError


def check_setting(condition: bool, key: str, value: Any, rule: str) -> None:
    """Check a keyword of an inpainter.

    Raises:
        UserError: the condition does not hold; the message names the keyword as the build's YAML has it.
    """
    if not condition:
        raise UserError(f"inpainter.{key}={value} {rule}")


def build_inpainter(name: str, keywords: Mapping[str, Any]) -> Inpainter:
    """Build a registered inpainter and hold it to its contract.

    Raises:
        RegistryError: unknown name or keyword, or a factory that returns something else.
        UserError: a model that cannot be had.
    """
    return INPAINTERS.build_as(Inpainter, name, keywords)
