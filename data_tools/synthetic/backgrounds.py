"""The places: where things are in them, and what may be there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from data_tools.synthetic.canvas import Stage
from data_tools.synthetic.draw_places import beach, desert, kitchen, lake, meadow, night, room, snow, street


@dataclass(frozen=True)
class Background:
    """A place.

    Attributes:
        phrase: its place in captions.
        horizon: height of the ground's far edge, 0 (top) .. 1.
        near, far: lowest and highest y of objects' bottoms.
        classes: weight of each class that may appear here.
        afloat: y range of boats, where there is water.
        tint: light colour, multiplies red, green, blue.
        grain: strength of the texture above and below the horizon, in grey levels.
        stretch: texture cells (rows, columns) per side; few columns make horizontal streaks.
        paint: draws it.
    """

    phrase: str
    horizon: float
    far: float
    near: float
    classes: dict[str, float]
    paint: Callable[[Stage, Iterator[float]], None]
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)
    grain: tuple[float, float] = (3.0, 8.0)
    stretch: tuple[int, int] = (32, 32)
    afloat: tuple[float, float] | None = None


_INDOOR = {"cat": 1.4, "flower": 1.0, "cactus": 1.4, "cup": 1.0, "clock": 1.4, "lamp": 1.6}
_PICNIC = {"apple": 0.6, "banana": 0.6, "cake": 0.6, "hamburger": 0.7, "ice cream": 0.7, "cup": 0.4, "chair": 0.5}

BACKGROUNDS: dict[str, Background] = {
    "street": Background(
        "on a street", 0.46, 0.6, 0.97,
        {"car": 2.0, "bus": 2.4, "bicycle": 2.0, "dog": 1.0, "cat": 0.6, "bird": 0.8, "tree": 1.2, "flower": 0.6,
         "clock": 0.4, "lamp": 0.4},
        street, grain=(3.0, 7.0),
    ),
    "night": Background(
        "on a city street at night", 0.53, 0.63, 0.97,
        {"car": 2.0, "bus": 2.4, "bicycle": 2.0, "dog": 0.8, "cat": 1.0, "bird": 0.4, "tree": 0.8,
         "hamburger": 0.5, "ice cream": 0.5, "lamp": 0.8},
        night, tint=(0.8, 0.82, 1.0), grain=(3.0, 5.0),
    ),
    "meadow": Background(
        "on a meadow", 0.45, 0.56, 0.97,
        {"sheep": 2.2, "dog": 1.0, "cat": 0.6, "bird": 0.8, "elephant": 0.8, "tree": 1.8, "flower": 1.6,
         "bicycle": 0.8, **_PICNIC},
        meadow, grain=(2.0, 11.0), stretch=(24, 64),
    ),
    "beach": Background(
        "on a beach", 0.56, 0.66, 0.97,
        {"boat": 3.4, "bird": 1.2, "dog": 0.9, "elephant": 0.5, "tree": 1.2, "bicycle": 0.5, **_PICNIC},
        beach, grain=(3.0, 8.0), stretch=(48, 32), afloat=(0.46, 0.6),
    ),
    "lake": Background(
        "by a lake", 0.6, 0.68, 0.97,
        {"boat": 3.8, "bird": 1.2, "sheep": 1.2, "dog": 0.6, "elephant": 1.4, "tree": 1.2, "flower": 0.8,
         "bicycle": 0.7, "car": 0.5},
        lake, grain=(3.0, 9.0), stretch=(40, 20), afloat=(0.46, 0.62),
    ),
    "desert": Background(
        "in a desert", 0.5, 0.6, 0.97,
        {"cactus": 3.0, "elephant": 2.6, "car": 1.0, "bus": 1.0, "bird": 0.8, "sheep": 0.7, "tree": 0.5, "dog": 0.5},
        desert, grain=(2.0, 8.0), stretch=(48, 16),
    ),
    "snow": Background(
        "in the snow", 0.5, 0.58, 0.97,
        {"tree": 2.0, "dog": 1.2, "bird": 1.0, "sheep": 1.2, "car": 1.0, "bus": 1.0, "cat": 0.8, "bicycle": 0.5,
         "chair": 0.4},
        snow, tint=(0.97, 0.98, 1.0), grain=(3.0, 5.0),
    ),
    "room": Background(
        "in a living room", 0.56, 0.64, 0.97,
        {**_INDOOR, "chair": 3.2, "lamp": 2.2, "dog": 1.0, "cake": 0.5, "bird": 0.4},
        room, tint=(1.0, 0.97, 0.92), grain=(4.0, 8.0), stretch=(48, 8),
    ),
    "kitchen": Background(
        "in a kitchen", 0.5, 0.6, 0.95,
        {**_INDOOR, "cup": 2.0, "apple": 2.4, "banana": 2.4, "cake": 2.2, "ice cream": 1.8, "hamburger": 2.0},
        kitchen, grain=(3.0, 8.0), stretch=(48, 10),
    ),
}  # fmt: skip
