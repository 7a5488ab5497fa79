"""What a preview shows of an inpainting set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from data_tools.builders.core.contact_sheet import Tile
from data_tools.builders.core.journal import Entry
from data_tools.builders.core.work_items import Unit
from data_tools.builders.inpainting.plan import Plan
from semfid.io.images import read_image


def pick(units: Sequence[Unit], levels: Sequence[str], each: int) -> list[Unit]:
    """At most so many units of each level: the first ones, each of another photo."""
    taken: Counter[str] = Counter()
    chosen, seen = [], set()
    for unit in sorted(units, key=lambda unit: levels.index(unit.work.level)):
        if taken[unit.work.level] < each and (unit.sample, unit.work.level) not in seen:
            taken[unit.work.level] += 1
            seen.add((unit.sample, unit.work.level))
            chosen.append(unit)
    return chosen


def rows_of_sheet(plan: Plan, folder: Path, entries: Sequence[Entry]) -> list[list[Tile]]:
    """A row per unit: the photo with the object outlined, the candidate, what was painted, the map over the candidate."""
    rows: list[list[Tile]] = []
    for entry in entries:
        facts = entry.facts()
        photo = plan.photos.picture(int(entry.slot[1]))
        candidate = np.asarray(read_image(folder / facts["candidate"]))
        masks = {
            name: np.asarray(read_image(folder / facts[name]))[..., 0]
            for name in ("mask_original", "mask_paste", "map")
        }
        state = f"REJECTED {entry.reason}" if entry.status == "rejected" else f"changed {facts['changed']:.1%}"
        rows.append(
            [
                (outlined(photo, masks["mask_original"] > 127), f"{entry.slot[1]}: {facts['category_before']}"),
                (candidate, f"{facts['level']}: {facts['category_after']}"),
                (masks["mask_paste"], f"pasted, {facts['repainted']:.1%} painted"),
                (tinted(candidate, masks["map"] > 127), f"map: {state}"),
            ]
        )
    return rows


def outlined(picture: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """A copy of (H, W, 3) with the outline of a mask (H, W) in magenta."""
    copy = np.ascontiguousarray(picture).copy()
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(copy, contours, -1, (255, 0, 255), 3)
    return copy


def tinted(picture: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """A copy of (H, W, 3), half red where a mask (H, W) is."""
    red = np.array([255, 0, 0], np.float32)
    return np.where(mask[..., None], np.rint(0.5 * picture + 0.5 * red), picture).astype(np.uint8)
