"""Drawing scenes: scene `index` of `seed` is the same in every batch, order, process and size."""

from __future__ import annotations

from functools import cache

import numpy as np

from data_tools.synthetic.backgrounds import BACKGROUNDS, Background
from data_tools.synthetic.scene_spec import ObjectSpec, SceneSpec
from semfid.errors import UserError

SCENE, CANDIDATE = 1, 2  # what a stream of random numbers is for
_TRIES = 60
_COUNTS = np.cumsum([0.3, 0.35, 0.22, 0.13])  # shares of scenes with 2, 3, 4, 5 objects
_NATURAL = {
    "bus": 1.2, "elephant": 1.15, "tree": 1.2, "car": 1.1, "boat": 1.05, "chair": 1.05, "lamp": 1.05,
    "apple": 0.8, "banana": 0.85, "cup": 0.85, "hamburger": 0.9, "clock": 0.85, "bird": 0.85, "flower": 0.95,
}  # fmt: skip


def sample_scene(seed: int, index: int) -> SceneSpec:
    """Scene `index` of `seed`: 2 to 5 objects, sides 0.15 to 0.5 of the image's, little overlap.

    Raises:
        UserError: a negative seed or index.
    """
    if seed < 0 or index < 0:
        raise UserError(f"scene {index} of seed {seed}: both must be 0 or more")
    rng = np.random.default_rng([seed, index, SCENE])
    place = sorted(BACKGROUNDS)[int(rng.random() * len(BACKGROUNDS))]
    background = BACKGROUNDS[place]
    variant = int(rng.integers(2**31))
    wanted = int(np.searchsorted(_COUNTS, rng.random(), side="right")) + 2
    objects: list[ObjectSpec] = []
    for attempt in range(_TRIES):
        if len(objects) >= wanted:
            break
        # boxes are smaller where many are wanted, and shrink while they do not fit
        shrink = (1.08 - 0.07 * (wanted - 2)) * (1 - 0.5 * attempt / _TRIES)
        one = _candidate(rng, background, shrink)
        again = any(other.category == one.category for other in objects)
        if (again and rng.random() < 0.85) or any(_overlap(one, other) > 0.16 for other in objects):
            continue
        objects.append(one)
    while len(objects) < 2:  # nothing fits beside an awkward first object
        objects.append(_candidate(rng, background, 0.5))
    objects.sort(key=lambda one: one.y)
    return SceneSpec(place, variant, tuple(objects))


def _candidate(rng: np.random.Generator, background: Background, shrink: float) -> ObjectSpec:
    names, ladder = _ladder(background.phrase)
    draws = rng.random(6).tolist()
    name = names[int(np.searchsorted(ladder, draws[0], side="right"))]
    far, near = background.far, background.near
    if name == "boat" and background.afloat is not None:
        far, near = background.afloat
    depth = draws[1] ** 0.8
    y = far + (near - far) * depth
    size = (0.25 + 0.17 * depth) * (0.82 + 0.4 * draws[2]) * _NATURAL.get(name, 1.0) * shrink
    size = min(0.5, max(0.15, size), y - 0.02)
    margin = size / 2 + 0.01
    x = margin + (1 - 2 * margin) * draws[3]
    return ObjectSpec(name, round(x, 4), round(y, 4), round(size, 4), int(draws[4] * 2**31), draws[5] < 0.5)


def _overlap(a: ObjectSpec, b: ObjectSpec) -> float:
    """Shared part of two boxes, as a share of the smaller one."""
    width = min(a.x + a.size / 2, b.x + b.size / 2) - max(a.x - a.size / 2, b.x - b.size / 2)
    height = min(a.y, b.y) - max(a.y - a.size, b.y - b.size)
    return max(0.0, width) * max(0.0, height) / min(a.size, b.size) ** 2


@cache
def _ladder(phrase: str) -> tuple[tuple[str, ...], np.ndarray]:
    """The classes of a place, and their summed shares."""
    (background,) = (one for one in BACKGROUNDS.values() if one.phrase == phrase)
    weights = np.cumsum(list(background.classes.values()))
    return tuple(background.classes), weights / weights[-1]
