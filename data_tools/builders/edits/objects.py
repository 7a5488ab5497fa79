"""Edits of whole objects: exchanged, put in, taken away."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from data_tools.builders.core.coco import Instance
from data_tools.builders.core.errors import UnitError
from data_tools.builders.core.masks import box_of, dilate, feathered, pasted
from data_tools.builders.edits.contract import Edit, NotPossible, Task, Tools
from data_tools.builders.inpainters.contract import Request
from data_tools.builders.inpainters.filling import filled, patch_filled
from data_tools.builders.inpainters.object_bank import DONOR_FAULTS
from data_tools.builders.inpainters.patch_donor import moved_colours, placed
from data_tools.builders.inpainting.config import OTHER_SUPER, SAME_CLASS, SAME_SUPER

FEATHER = 3  # pixels over which what was painted fades into the photo
PLACES = 24  # that are drawn for an object that is put in
PLAIN_AREA = (0.015, 0.15)  # share of the photo that it covers
TRIES = 6  # donors that are looked at
HARD_SPREAD = 1.5  # times the largest hard object that a hard edit may cover
ALIKE = 95  # per cent of the pixels of one piece of background that must be like those of the piece that stands for it
REFILLED = 0.12  # absolute difference, 0 .. 1, up to which they are
LEFT_OPEN = 0.5  # most share of the old object's place that another one of its class may not fill
CROWDED = 0.15  # most share of it that may lie on objects of the photo


def exchange(task: Task, tools: Tools) -> Edit:
    """The object gives way to one of another class: of its supercategory or of another one, whichever is drawn."""
    own = task.object.category
    above = tools.supercategory
    options = {
        SAME_SUPER: [name for name in sorted(above) if above[name] == above[own] and name != own],
        OTHER_SUPER: [name for name in sorted(above) if above[name] != above[own]],
    }
    offered = {
        level: [one for one in names if tools.donors.has(one, task.scene.photo.id)] for level, names in options.items()
    }
    levels = [level for level, names in offered.items() if names]
    if not levels:
        raise NotPossible(f"no other photo has an object to put in the place of a {own}")
    level = levels[int(task.rng.integers(len(levels)))]
    names = offered[level]
    return _painted(task, tools, names[int(task.rng.integers(len(names)))], level)


def same_class(task: Task, tools: Tools) -> Edit:
    """The object gives way to another one of its own class: the meaning stays."""
    why = NotPossible("not tried")
    for _ in range(TRIES):  # until one fills the old one's place
        try:
            return _painted(task, tools, task.object.category, SAME_CLASS)
        except NotPossible as error:
            why = error
    raise why


def _painted(task: Task, tools: Tools, category: str, level: str) -> Edit:
    scene, instance = task.scene, task.object
    if not tools.donors.has(category, scene.photo.id):
        raise NotPossible(f"no other photo has a {category} to take")
    names = instance.category, category, ""
    ids = scene.photo.id, instance.id
    request = Request(scene.picture, task.mask, task.mask, *ids, *names, task.rng, scene.occupied)
    try:
        painted = (tools.hard if task.hard else tools.plain).paint(request)
    except UnitError as error:  # no donor that is whole
        raise NotPossible(str(error)) from error
    repaint = task.mask if painted.repaint is None else painted.repaint
    alpha = feathered(repaint, FEATHER)
    changed = task.mask if painted.covered is None else task.mask | painted.covered
    if level == SAME_CLASS:
        left = 1 - float(painted.covered[task.mask].mean()) if painted.covered is not None else 0.0
        if left > LEFT_OPEN:
            raise NotPossible(f"another {category} would leave {left:.0%} of the object's place open")
        changed = np.zeros_like(changed)
    if task.hard and changed.mean() > HARD_SPREAD * tools.hard_area[1]:
        raise NotPossible(
            f"a {category} in its place covers {changed.mean():.1%} of the photo, too much for a hard edit"
        )
    facts = {"category_before": instance.category, "category_after": category, **painted.facts}
    return Edit(pasted(scene.picture, painted.picture, alpha), alpha > 0, changed, level, facts)


def remove(task: Task, tools: Tools) -> Edit:
    """The object goes; what lies around it takes its place."""
    scene = task.scene
    hole = dilate(task.mask, 0.015)
    alpha = feathered(hole, FEATHER)
    filled = patch_filled(scene.picture, alpha > 0, scene.occupied)
    facts = {"category_before": task.object.category}
    return Edit(pasted(scene.picture, filled, alpha), alpha > 0, task.mask, facts=facts)


def insert(task: Task, tools: Tools) -> Edit:
    """An object of another photo appears, about as high in the picture and about as large as it was there."""
    scene, rng = task.scene, task.rng
    names = [name for name in sorted(tools.supercategory) if tools.donors.has(name, scene.photo.id)]
    low, high = tools.hard_area if task.hard else PLAIN_AREA
    for index in rng.permutation(len(names))[:TRIES]:
        category = names[index]
        donor, (patch, mask, whole) = _donor(task, tools, category)
        share = donor.area / (whole.shape[0] * whole.shape[1])
        share = float(np.clip(share * rng.uniform(0.6, 1.1), low, high))
        shares = [max(low, share * less) for less in (1, 0.6, 0.36)]
        box = _place(task, donor, mask.sum() / mask.size, shares, whole.shape[0])
        if box is not None:
            break
    else:
        raise NotPossible("no other photo has an object that finds room beside those of this one")
    target = _around(scene.picture, box) if task.hard else scene.picture
    patch = moved_colours(patch, whole, target, 0.8 if task.hard else 0.4)
    canvas = scene.picture.copy()
    alpha = placed(patch, mask, box, canvas, 1 if task.hard else 2, 1.0)
    facts = {"category_after": category, "donor_image_id": donor.photo, "donor_annotation_id": donor.id}
    return Edit(canvas, alpha > 0, alpha >= 0.5, facts=facts)


def moved(task: Task, tools: Tools) -> Edit:
    """The object itself, a little larger or smaller and a few pixels aside, over a background that is filled in: nothing but
    the traces of an exchange.
    """
    scene, mask, rng = task.scene, task.mask, task.rng
    x0, y0, x1, y1 = box_of(mask)
    height, width = mask.shape
    scale, wide, high = rng.uniform(0.96, 1.04), x1 - x0, y1 - y0
    new_wide, new_high = min(width, max(2, round(wide * scale))), min(height, max(2, round(high * scale)))
    dx, dy = (round(side * rng.uniform(-0.03, 0.03)) for side in (wide, high))
    left = int(np.clip((x0 + x1 - new_wide) // 2 + dx, 0, width - new_wide))
    top = int(np.clip((y0 + y1 - new_high) // 2 + dy, 0, height - new_high))
    hole = dilate(mask, 0.01)
    canvas = filled(scene.picture, hole)  # of which only a rim will be seen
    box = left, top, left + new_wide, top + new_high
    alpha = placed(scene.picture[y0:y1, x0:x1], mask[y0:y1, x0:x1], box, canvas, 1, 1.1)
    facts = {"category_before": task.object.category, "category_after": task.object.category}
    return Edit(canvas, hole | (alpha > 0), np.zeros_like(mask), facts=facts)


def refilled(task: Task, tools: Tools) -> Edit:
    """A piece of the background, in the shape of some object, filled with a like piece: nothing but the traces of a removal."""
    scene = task.scene
    best, least = None, REFILLED
    low, high = tools.hard_area
    for _ in range(2 * TRIES):
        names = [name for name in sorted(tools.supercategory) if tools.donors.has(name, scene.photo.id)]
        if not names:
            break
        donor, (_, mask, whole) = _donor(task, tools, names[int(task.rng.integers(len(names)))])
        box = _place(task, donor, mask.sum() / mask.size, [task.rng.uniform(low, (low + high) / 2)], whole.shape[0])
        if box is None:
            continue
        hole = np.zeros(scene.picture.shape[:2], bool)
        size = box[2] - box[0], box[3] - box[1]
        hole[box[1] : box[3], box[0] : box[2]] = (
            cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
        )
        alpha = feathered(hole, FEATHER)
        if not hole.any() or scene.occupied[alpha > 0].any():
            continue
        other = patch_filled(scene.picture, alpha > 0, scene.occupied)
        apart = float(np.percentile(np.abs(other[hole].astype(np.int16) - scene.picture[hole]).mean(-1), ALIKE)) / 255
        if apart < least:
            best, least = (alpha, other), apart
    if best is None:
        raise NotPossible("no piece of the background is like another one")
    alpha, other = best
    return Edit(pasted(scene.picture, other, alpha), alpha > 0, np.zeros(alpha.shape, bool))


def _donor(
    task: Task, tools: Tools, category: str
) -> tuple[Instance, tuple[NDArray[np.uint8], NDArray[np.bool_], NDArray[np.uint8]]]:
    found = tools.donors.of(category, task.scene.photo.id)
    for index in task.rng.permutation(len(found))[:TRIES]:
        try:
            return found[index], tools.donors.cut(found[index])
        except DONOR_FAULTS:  # the next will do
            continue
    raise NotPossible(f"no donor of {category} can be read")


def _place(
    task: Task, donor: Instance, fullness: float, shares: Sequence[float], donor_height: int
) -> tuple[int, int, int, int] | None:
    """A box where no objects are, or where they are least in the way; None where they are everywhere.

    Args:
        fullness: share of its box that the donor's mask fills.
        shares: of the photo that the object should cover; the first that has room is taken.
        donor_height: of the donor's photo in pixels.
    """
    height, width = task.scene.picture.shape[:2]
    occupied, draws = task.scene.occupied, task.rng.random((PLACES, 2))
    bottom = (donor.box[1] + donor.box[3]) / donor_height * height
    for share in shares:
        scale = float(np.sqrt(share * height * width / (fullness * donor.box[2] * donor.box[3])))
        wide, high = max(4, round(donor.box[2] * scale)), max(4, round(donor.box[3] * scale))
        if wide >= width - 4 or high >= height - 4:
            continue
        least, best = CROWDED, None
        for across, down in draws:
            x = 2 + int(across * (width - wide - 4))
            y = int(np.clip(bottom + 0.3 * (down - 0.5) * height - high, 2, height - high - 2))
            crowded = float(occupied[y : y + high, x : x + wide].mean())
            if crowded < least:
                least, best = crowded, (x, y, x + wide, y + high)
        if best is not None:
            return best
    return None


def _around(picture: NDArray[np.uint8], box: tuple[int, int, int, int]) -> NDArray[np.uint8]:
    """The part of a picture within and around a box, half its size on each side."""
    x0, y0, x1, y1 = box
    wide, high = (x1 - x0) // 2, (y1 - y0) // 2
    return picture[max(0, y0 - high) : y1 + high, max(0, x0 - wide) : x1 + wide]
