"""What a preview shows of a set of edits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from data_tools.builders.core.contact_sheet import Tile
from data_tools.builders.core.journal import Entry
from data_tools.builders.core.quality import widened
from data_tools.builders.core.work_items import Unit
from data_tools.builders.inpainting.preview import outlined, tinted
from semfid.io.images import read_image

CLOSE = 0.4  # how far a close-up goes beyond what was edited, as a share of its sides


def pick(units: Sequence[Unit], each: int) -> list[Unit]:
    """At most so many units of each kind: the first ones, each of another photo."""
    taken: Counter[str] = Counter()
    seen: set[tuple[str, str]] = set()
    chosen = []
    for unit in units:
        name = unit.work.kind.name
        if taken[name] < each and (unit.sample, name) not in seen:
            taken[name] += 1
            seen.add((unit.sample, name))
            chosen.append(unit)
    return chosen


def rows_of_sheet(folder: Path, entries: Sequence[Entry]) -> list[list[Tile]]:
    """A row per edit: the reference with what was edited in outline, the candidate, the map over it, and both close up."""
    rows: list[list[Tile]] = []
    for entry in sorted(entries, key=lambda entry: entry.slot[2].partition("-")[0]):
        facts = entry.facts()
        reference, candidate = (np.asarray(read_image(folder / facts[side])) for side in ("reference", "candidate"))
        changed = np.asarray(read_image(folder / facts["map"]))[..., 0] > 127
        box = (0, 0, reference.shape[1], reference.shape[0])
        framed = np.zeros(changed.shape, bool)
        if facts["box"]:
            x0, y0, x1, y1 = (int(side) for side in facts["box"].split())
            framed[y0:y1, x0:x1] = True
            box = widened((x0, y0, x1, y1), CLOSE, reference.shape)
        close = np.s_[box[1] : box[3], box[0] : box[2]]
        what = f"{facts.get('category_before') or ''} > {facts.get('category_after') or ''}".strip(" >")
        state = f"REJECTED {entry.reason}" if entry.status == "rejected" else f"difference {facts['difference']:g}"
        rows.append(
            [
                (outlined(reference, framed), f"{entry.slot[1]}: {facts['origin']}"),
                (candidate, f"{what} {facts.get('operation') or ''} {facts['strength'] or ''}"),
                (tinted(candidate, changed), f"map {facts['area']:.2%}: {state}"),
                (np.ascontiguousarray(reference[close]), "reference, close"),
                (np.ascontiguousarray(candidate[close]), f"candidate, close; {facts['level']}"),
            ]
        )
    return rows
