"""Edits of a part of an object: another one's in its place, or so disordered that it reads as nothing."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from data_tools.builders.core.masks import box_of, feathered, pasted, widen
from data_tools.builders.edits.contract import Edit, NotPossible, Task, Tools
from data_tools.builders.inpainters.filling import filled
from data_tools.builders.inpainters.object_bank import DONOR_FAULTS
from data_tools.builders.inpainters.patch_donor import moved_colours, placed

UPRIGHT = 1.2  # height over width from which a person's mask has its head at the top
HEAD = 0.24  # share of the height
FEATHER = 2
TRIES = 8
LEAST_SIDE = 14  # pixels of a part
BESIDE = 1.4  # a circle is so many times larger than what of it lies on the object
LEAST_AREA = 0.003  # of the photo
LEAST_CHANGE = 0.06  # mean absolute difference, 0 .. 1: less leaves the part what it was


def part(task: Task, tools: Tools) -> Edit:
    """The head of an upright person, or the part of another object with most detail: exchanged (heads), shuffled or melted."""
    _, _, width, height = task.object.box
    upright = task.object.category == "person" and height >= UPRIGHT * width
    region = _top(task.mask) if upright else _detailed_part(task, tools)
    x0, y0, x1, y1 = box_of(region)
    if min(x1 - x0, y1 - y0) < LEAST_SIDE:
        raise NotPossible(f"a part of {x1 - x0}x{y1 - y0} pixels is too small")
    if region.mean() < LEAST_AREA:
        raise NotPossible(f"a part of {region.mean():.2%} of the photo is too small")
    ways = ("exchanged", "melted", "shuffled") if upright else ("melted", "shuffled")
    how = ways[int(task.rng.integers(len(ways)))]
    facts: dict[str, object] = {"operation": how, "category_before": task.object.category}
    if how == "exchanged":
        return _another_head(task, tools, region, facts)
    worse = (_shuffled if how == "shuffled" else _melted)(task, (x0, y0, x1, y1))
    picture = task.scene.picture
    apart = float(np.abs(worse[region].astype(np.int16) - picture[region]).mean()) / 255
    if apart < LEAST_CHANGE:
        raise NotPossible(f"a part without detail: {how}, it differs by {apart:.4f}")
    alpha = feathered(region, FEATHER)
    return Edit(pasted(picture, worse, alpha), alpha > 0, region, facts=facts)


def _top(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The top of a mask."""
    _, y0, _, y1 = box_of(mask)
    top = mask.copy()
    top[y0 + round(HEAD * (y1 - y0)) :] = False
    return top


def _detailed_part(task: Task, tools: Tools) -> NDArray[np.bool_]:
    """The object's mask within a circle of a quarter to a half of its area, where it has most edges."""
    mask = task.mask
    share = task.rng.uniform(0.25, 0.5)
    if task.hard:
        least = BESIDE * tools.hard_area[0] * mask.size / mask.sum()
        share = min(0.7, max(share, least))
    radius = float(np.sqrt(mask.sum() * share / np.pi))
    grey = cv2.GaussianBlur(cv2.cvtColor(task.scene.picture, cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), 1.0)
    edges = np.abs(cv2.Laplacian(grey, cv2.CV_32F)) * mask
    side = 2 * max(1, round(radius)) + 1
    detail = cv2.blur(edges, (side, side), borderType=cv2.BORDER_CONSTANT) * mask
    y, x = np.unravel_index(int(np.argmax(detail)), detail.shape)
    rows, columns = np.ogrid[: mask.shape[0], : mask.shape[1]]
    return mask & ((rows - y) ** 2 + (columns - x) ** 2 <= radius**2)


def _another_head(task: Task, tools: Tools, region: NDArray[np.bool_], facts: dict[str, object]) -> Edit:
    """Another person's head in the place of the old one, which is filled in before."""
    x0, y0, x1, y1 = box_of(region)
    found = [one for one in tools.donors.of("person", task.scene.photo.id) if one.box[3] >= UPRIGHT * one.box[2]]
    for index in task.rng.permutation(len(found))[:TRIES]:
        donor = found[index]
        try:
            patch, mask, whole = tools.donors.cut(donor)
        except DONOR_FAULTS:  # the next will do
            continue
        a0, b0, a1, b1 = box_of(_top(mask))
        if b1 - b0 < LEAST_SIDE or a1 - a0 < LEAST_SIDE:
            continue
        canvas = filled(task.scene.picture, widen(region, 5))
        head = moved_colours(patch[b0:b1, a0:a1], whole, task.scene.picture, 0.5)
        wide = max(x1 - x0, round((y1 - y0) * (a1 - a0) / (b1 - b0)))  # as wide as it stands on these shoulders
        left = int(np.clip((x0 + x1 - wide) // 2, 0, max(0, canvas.shape[1] - wide)))
        box = left, y0, min(left + wide, canvas.shape[1]), y1
        alpha = placed(head, mask[b0:b1, a0:a1], box, canvas, 1, 1.6)
        donor_facts = {"category_after": "person", "donor_image_id": donor.photo, "donor_annotation_id": donor.id}
        changed = region | (alpha >= 0.5)
        return Edit(canvas, widen(region, 5) | (alpha > 0), changed, facts={**facts, **donor_facts})
    raise NotPossible("no other photo has an upright person")


def _shuffled(task: Task, box: tuple[int, int, int, int]) -> NDArray[np.uint8]:
    """The picture with the tiles of a box in another order, and turned."""
    x0, y0, x1, y1 = box
    tile = max(6, round(min(x1 - x0, y1 - y0) / task.rng.integers(3, 6)))
    rows, columns = -(-(y1 - y0) // tile), -(-(x1 - x0) // tile)
    more = (0, rows * tile - (y1 - y0)), (0, columns * tile - (x1 - x0)), (0, 0)
    padded = np.pad(task.scene.picture[y0:y1, x0:x1], more, mode="symmetric")
    tiles = padded.reshape(rows, tile, columns, tile, 3).swapaxes(1, 2).reshape(-1, tile, tile, 3)
    tiles = tiles[task.rng.permutation(len(tiles))]
    turns = task.rng.integers(0, 4, len(tiles))
    tiles = np.stack([np.rot90(one, turn) for one, turn in zip(tiles, turns, strict=True)])
    mixed = tiles.reshape(rows, columns, tile, tile, 3).swapaxes(1, 2).reshape(rows * tile, columns * tile, 3)
    canvas = task.scene.picture.copy()
    canvas[y0:y1, x0:x1] = mixed[: y1 - y0, : x1 - x0]
    return canvas


def _melted(task: Task, box: tuple[int, int, int, int]) -> NDArray[np.uint8]:
    """The picture with a box's content drawn this way and that by a smooth random field, as restorations melt faces."""
    x0, y0, x1, y1 = box
    height, width = y1 - y0, x1 - x0
    coarse = task.rng.uniform(-1, 1, (2, 5, 5)).astype(np.float32)
    far = task.rng.uniform(0.35, 0.6)
    fields = [cv2.resize(one, (width, height), interpolation=cv2.INTER_CUBIC) for one in coarse]  # (h, w) each
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    at_x = (x0 + columns + far * width * fields[0]).astype(np.float32)
    at_y = (y0 + rows + far * height * fields[1]).astype(np.float32)
    at_x, at_y = np.clip(at_x, x0, x1 - 1), np.clip(at_y, y0, y1 - 1)
    canvas = task.scene.picture.copy()
    canvas[y0:y1, x0:x1] = cv2.remap(task.scene.picture, at_x, at_y, cv2.INTER_LINEAR)
    return canvas
