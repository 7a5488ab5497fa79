"""What one instance of a class looks like: colours, style and proportions, drawn from its variant seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

RGB = tuple[int, int, int]

COLOURS: dict[str, RGB] = {
    "red": (212, 48, 46),
    "orange": (240, 138, 38),
    "yellow": (246, 208, 52),
    "green": (74, 160, 72),
    "blue": (52, 104, 200),
    "purple": (142, 78, 170),
    "pink": (240, 142, 172),
    "brown": (142, 92, 54),
    "black": (52, 52, 60),
    "grey": (146, 150, 160),
    "white": (240, 238, 232),
    "golden": (224, 174, 88),
    "turquoise": (52, 176, 172),
    "pale": (246, 224, 176),
    "dark": (66, 44, 34),
}

_PAINTED = ("red", "orange", "yellow", "green", "blue", "purple", "white", "turquoise", "pink", "black")
PALETTES: dict[str, tuple[str, ...]] = {
    "car": _PAINTED,
    "bus": ("red", "orange", "yellow", "green", "blue", "white", "turquoise"),
    "bicycle": ("red", "orange", "green", "blue", "purple", "pink", "black", "turquoise"),
    "boat": ("red", "blue", "green", "white", "orange", "brown"),
    "cat": ("orange", "grey", "black", "white", "brown"),
    "dog": ("brown", "golden", "black", "white", "grey"),
    "bird": ("red", "blue", "yellow", "turquoise", "pink", "brown", "white"),
    "sheep": ("white", "pale", "grey", "brown", "black"),
    "elephant": ("grey", "brown", "blue", "pink"),
    "apple": ("red", "green", "yellow"),
    "banana": ("yellow", "green"),
    "cake": ("pink", "white", "dark", "yellow", "turquoise"),
    "ice cream": ("pink", "white", "dark", "green", "yellow", "purple"),
    "hamburger": ("golden", "brown", "pale", "orange"),
    "chair": ("brown", "red", "blue", "green", "white", "black", "purple"),
    "cup": ("white", "red", "blue", "green", "yellow", "turquoise", "black", "pink"),
    "lamp": ("yellow", "red", "white", "green", "orange", "turquoise"),
    "clock": ("red", "blue", "green", "golden", "black", "purple"),
    "tree": ("green", "green", "green", "orange", "pink", "red"),
    "flower": ("red", "yellow", "pink", "purple", "white", "orange", "blue"),
    "cactus": ("green", "turquoise"),
}
SHAPES = {  # how many clearly different shapes a class has; 1 where it is not listed
    "car": 3, "bus": 2, "boat": 2, "cat": 2, "dog": 2, "bird": 3, "elephant": 2, "banana": 3, "cake": 2, "ice cream": 3,
    "chair": 2, "cup": 2, "lamp": 2, "clock": 2, "tree": 3, "flower": 3, "cactus": 2,
}  # fmt: skip
_ACCENTS = ("red", "yellow", "blue", "white", "green", "orange", "pink", "turquoise")


@dataclass(frozen=True)
class Appearance:
    """One instance.

    Attributes:
        colour: name of the main colour, as captions use it.
        main, dark, light: the main colour and its shaded and lit sides, 0 .. 255.
        accent: colour of stripes, collars, cushions.
        shape: 0 .. SHAPES - 1; shapes of a class differ at first sight.
        a, b, c: proportions in [0, 1).
    """

    colour: str
    main: RGB
    dark: RGB
    light: RGB
    accent: RGB
    shape: int
    a: float
    b: float
    c: float


def shade(colour: RGB, factor: float) -> RGB:
    """Darker below 1 (0 = black), lighter above 1 (2 = white)."""
    if factor <= 1:
        return int(colour[0] * factor), int(colour[1] * factor), int(colour[2] * factor)
    mix = factor - 1
    return tuple(int(c + (255 - c) * mix) for c in colour)  # type: ignore[return-value]


def look(category: str, variant: int) -> Appearance:
    """The instance `variant` of a class."""
    palette = PALETTES[category]
    draws = np.random.default_rng([variant, 11]).random(9).tolist()
    colour = palette[int(draws[0] * len(palette))]
    red, green, blue = COLOURS[colour]
    main = _jitter(red, draws[1]), _jitter(green, draws[2]), _jitter(blue, draws[3])
    others = [name for name in _ACCENTS if name != colour]
    accent = COLOURS[others[int(draws[4] * len(others))]]
    shape = int(draws[5] * SHAPES.get(category, 1))
    if category == "tree" and colour != "green":
        shape = 0  # firs and palms are green
    return Appearance(colour, main, shade(main, 0.72), shade(main, 1.45), accent, shape, draws[6], draws[7], draws[8])


def _jitter(value: int, draw: float) -> int:
    return min(250, max(20, int(value + (draw - 0.5) * 30)))
