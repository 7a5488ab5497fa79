"""Full descriptions of scenes: rendering one again, anywhere, gives the same picture."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ObjectSpec:
    """One object.

    Attributes:
        category: class name (see `categories.CATEGORIES`).
        x: horizontal centre of its box, as a share of the image's side.
        y: bottom of its box, as a share of the image's side, downwards.
        size: side of its square box, as a share of the image's side.
        variant: seed of the instance: colour, shape and pose.
        mirror: faces left instead of right.
    """

    category: str
    x: float
    y: float
    size: float
    variant: int
    mirror: bool


@dataclass(frozen=True)
class SceneSpec:
    """One scene.

    Attributes:
        background: a name of `backgrounds.BACKGROUNDS`.
        variant: seed of the background: its colours, buildings, clouds, texture and light.
        objects: back to front; object i has the instance id i + 1.
    """

    background: str
    variant: int
    objects: tuple[ObjectSpec, ...]
