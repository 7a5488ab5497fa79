"""Edits that keep the meaning: nothing at all, and degradations of the whole photo or inside one object's mask."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from data_tools.builders.core.masks import box_of, pasted
from data_tools.builders.edits.contract import Edit, Task, Tools
from data_tools.synthetic.degradations import degrade

MOST = {"blur": 0.4, "noise": 1.0, "jpeg": 1.0, "resample": 0.8, "tone": 0.7, "sharpen": 1.0}
"""Strength of `data_tools.synthetic.degradations` at strength 1: beyond it, small objects are no longer recognisable."""
SHIFT = "shift"
LOCAL = (*MOST, SHIFT)
FADE = 2  # pixels inside the mask over which a local degradation sets in


def unchanged(task: Task, tools: Tools) -> Edit:
    """The photo itself."""
    nothing = np.zeros(task.scene.picture.shape[:2], bool)
    return Edit(task.scene.picture, nothing, nothing)


def whole_photo(task: Task, tools: Tools) -> Edit:
    """The whole photo degraded."""
    picture = task.scene.picture
    name = list(MOST)[int(task.rng.integers(len(MOST)))]
    everywhere = np.ones(picture.shape[:2], bool)
    worse = degrade(picture, name, MOST[name] * task.strength, task.rng)
    return Edit(worse, everywhere, ~everywhere, facts={"operation": name})


def inside_object(task: Task, tools: Tools) -> Edit:
    """One object degraded, or moved by a pixel; the rest of the photo as it was."""
    picture, mask = task.scene.picture, task.mask
    name = LOCAL[int(task.rng.integers(len(LOCAL)))]
    shifted = name == SHIFT
    worse = (
        _by_one_pixel(picture, task.rng) if shifted else degrade(picture, name, MOST[name] * task.strength, task.rng)
    )
    alpha = _fading(mask)
    facts = {"operation": name, "category_before": task.object.category}
    return Edit(pasted(picture, worse, alpha), alpha > 0, np.zeros_like(mask), facts=facts)


def _by_one_pixel(picture: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    dy, dx = [(0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, -1), (1, -1), (-1, 1)][int(rng.integers(8))]
    return np.roll(picture, (dy, dx), (0, 1))


def _fading(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """255 deep inside a mask (H, W), less within `FADE` pixels of its edge, 0 outside."""
    x0, y0, x1, y1 = box_of(mask)
    part = np.pad(mask[y0:y1, x0:x1], 1)
    depth = cv2.distanceTransform(part.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    alpha = np.zeros(mask.shape, np.uint8)
    alpha[y0:y1, x0:x1] = np.rint(255 * np.clip(depth / (FADE + 1), 0, 1))
    return alpha
