"""From the description of a scene to its pixels and instance masks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from data_tools.synthetic import draw_animals, draw_food, draw_household, draw_plants, draw_vehicles
from data_tools.synthetic.appearance import Appearance, look
from data_tools.synthetic.backgrounds import BACKGROUNDS, Background
from data_tools.synthetic.canvas import Canvas, Stage
from data_tools.synthetic.categories import category
from data_tools.synthetic.scene_spec import ObjectSpec, SceneSpec
from semfid.errors import UserError

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]

SIZES = (64, 512)
_GRID = 128  # textures are made on this grid and scaled, so that a scene looks the same at every size

DRAWINGS: dict[str, Callable[[Canvas, Appearance], None]] = {
    **draw_vehicles.DRAWINGS,
    **draw_animals.DRAWINGS,
    **draw_food.DRAWINGS,
    **draw_household.DRAWINGS,
    **draw_plants.DRAWINGS,
}


@dataclass(frozen=True)
class Rendered:
    """A picture and its masks.

    Attributes:
        image: (size, size, 3) uint8, sRGB.
        ids: (size, size) uint8; 0 = background, k = object k - 1 of the scene where it is not hidden.
    """

    image: Bytes
    ids: Bytes


def render(spec: SceneSpec, size: int = 128) -> Rendered:
    """Draw a scene at twice its size, scale it down, then add light, shadows and texture.

    Args:
        size: side in pixels, 64 .. 512.

    Raises:
        UserError: another size, an unknown class or background.
    """
    check_size(size)
    if spec.background not in BACKGROUNDS:
        raise UserError(f"no background '{spec.background}'; there are {', '.join(BACKGROUNDS)}")
    background = BACKGROUNDS[spec.background]
    rng = np.random.default_rng([spec.variant, 12])
    side = 2 * size
    stage = Stage(side)
    background.paint(stage, iter(rng.random(400).tolist()))
    for number, one in enumerate(spec.objects, start=1):
        category(one.category)  # names near misses
        scale = one.size * side
        left, top = (one.x - one.size / 2) * side, (one.y - one.size) * side
        canvas = Canvas(stage.draw, number, left, top, scale, side, one.mirror)
        DRAWINGS[one.category](canvas, look(one.category, one.variant))
    bands = np.asarray(stage.image.reduce(2))
    # the foremost of the four fine pixels: every pixel that an object touches belongs to its mask
    fine = np.asarray(stage.image)[:, :, 3]
    ids = np.maximum(np.maximum(fine[::2, ::2], fine[::2, 1::2]), np.maximum(fine[1::2, ::2], fine[1::2, 1::2]))
    light = _light(spec.objects, ids)
    tint = np.asarray(background.tint, dtype=np.float32) * (0.95 + 0.1 * rng.random(3, dtype=np.float32))
    image = bands[:, :, :3] * light[:, :, None]
    image *= tint
    image += _grain(background, rng, ids)[:, :, None]
    return Rendered(np.clip(image, 0, 255).astype(np.uint8), ids)


def check_size(size: int) -> None:
    """Raise a UserError for a side that is not 64 .. 512 pixels."""
    if not SIZES[0] <= size <= SIZES[1]:
        raise UserError(f"size={size}: scenes are drawn at {SIZES[0]} to {SIZES[1]} pixels; 128 is the default")


def _light(objects: tuple[ObjectSpec, ...], ids: Bytes) -> Floats:
    """Brightness factors (H, W): objects are lit from the upper left, the ground is darker at their feet."""
    size = len(ids)
    light = np.ones((size, size), dtype=np.float32)
    for number, one in enumerate(objects, start=1):
        reach = 0.06 * one.size
        top, bottom = _span(one.y - one.size - reach, one.y + reach, size)
        left, right = _span(one.x - one.size / 2 - reach, one.x + one.size / 2 + reach, size)
        if top >= bottom or left >= right:
            continue
        box = ids[top:bottom, left:right]
        part = light[top:bottom, left:right]
        u = (np.arange(left, right, dtype=np.float32) + 0.5) / size
        v = (np.arange(top, bottom, dtype=np.float32) + 0.5) / size
        u, v = (u - one.x) / one.size, (v - one.y) / one.size
        slope = (1.03 - 0.12 * u)[None, :] - (0.24 * (v + 0.5))[:, None]
        shadow = 1 - 0.5 * np.exp(-((u / 0.38) ** 4))[None, :] * np.exp(-(((v + 0.01) / 0.045) ** 2))[:, None]
        np.copyto(part, slope, where=box == number)
        np.multiply(part, shadow, out=part, where=box == 0)
    return light


def _span(low: float, high: float, size: int) -> tuple[int, int]:
    return max(0, int(low * size)), min(size, int(high * size) + 1)


def _grain(background: Background, rng: np.random.Generator, ids: Bytes) -> Floats:
    """Texture in grey levels (H, W), the same behind all objects; half as strong on objects."""
    size = len(ids)
    cells = rng.standard_normal(background.stretch, dtype=np.float32)
    clouds = rng.standard_normal((6, 6), dtype=np.float32)
    field = 0.8 * _scaled(cells, size) + 0.8 * _scaled(clouds, size)
    field += 0.5 * _scaled(rng.standard_normal((_GRID, _GRID), dtype=np.float32), size)
    above, below = background.grain
    rows = np.where((np.arange(size) + 0.5) / size < background.horizon, above, below).astype(np.float32)
    field *= rows[:, None]
    np.multiply(field, np.float32(0.5), out=field, where=ids > 0)
    return field


def _scaled(field: Floats, size: int) -> Floats:
    if field.shape == (size, size):
        return field
    return np.asarray(Image.fromarray(field).resize((size, size), Image.Resampling.BILINEAR))
