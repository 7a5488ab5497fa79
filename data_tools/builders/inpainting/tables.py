"""The tables of an inpainting set, merged from all journals: pairs, rejects, errors, and what the filters removed."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_tools.builders.core.folder import BuildFolder
from data_tools.builders.core.journal import Entry, latest_entries
from data_tools.builders.core.quality import columns as quality_columns
from data_tools.builders.core.tables import Kind, Merged, current_entries, put_results, put_summary
from data_tools.builders.core.work_items import Slot, Unit
from data_tools.builders.inpainting.config import InpaintingConfig
from data_tools.builders.inpainting.plan import PAINT, Plan
from semfid.io.splits import split_by_hash


@dataclass(frozen=True)
class MergedInpainting(Merged):
    """As `Merged`, with how many objects each filter removed and how many were kept."""

    counts: Mapping[str, int]


def columns_of(config: InpaintingConfig) -> dict[str, Kind]:
    """The pair table's columns in their order."""
    columns: dict[str, Kind] = {
        **dict.fromkeys(("pair_id", "source_id", "reference", "candidate", "origin"), "text"),
        "difference": "number",
        "map": "text",
        **({"split": "text"} if config.split.val or config.split.test else {}),
        **dict.fromkeys(("level", "category_before", "category_after"), "text"),
        "annotation_id": "integer",
        "bbox": "text",
        **dict.fromkeys(("area", "repainted", "changed"), "number"),
        **dict.fromkeys(("width", "height"), "integer"),
        **dict.fromkeys(("mask_original", "mask_dilated", "mask_repaint", "mask_paste"), "text"),
        **{name: "number" for name, given in quality_columns(config.checks).items() if given},
        **dict.fromkeys(("inpainter", "model", "libraries", "prompt"), "text"),
        "steps": "integer",
        "guidance": "number",
        **dict.fromkeys(("seed", "generator_seed", "donor_image_id", "donor_annotation_id"), "integer"),
        **dict.fromkeys(("source_sha256", "licence", "licence_url", "source_url", "unit"), "text"),
    }
    return columns


def merge(folder: BuildFolder, plan: Plan) -> MergedInpainting:
    """Write the tables from what all shards have finished; only under `folder.merging`.

    Entries of photos or settings that are no more are left out.
    """
    config, entries = plan.config, latest_entries(folder.journals)
    plan.skipped.clear()
    inspected, units, unseen = _planned(plan, entries)
    shares = config.split
    split = split_by_hash((int(unit.sample) for unit in units), shares.val, shares.test, shares.seed)
    current = current_entries([*inspected, *units], entries)

    def rows(status: str) -> Iterator[dict[str, Any]]:
        for slot, entry in current.items():
            if slot[0] == PAINT and entry.status == status:
                facts, photo = entry.facts(), int(slot[1])
                yield {
                    **facts,
                    "reference": reference_name(plan, folder, photo),
                    "difference": config.difference_of(facts["level"]),
                    "split": split.get(photo, ""),
                    "reason": entry.reason,
                }

    columns = columns_of(config)
    tables = put_results(folder, config.table, columns, rows, current)
    counts = plan.counts(current)
    reasons = Counter(str(one).split(" ")[0] for one in tables.rejects["reason"])
    made_of = {level: int((tables.pairs["level"] == level).sum()) for level in config.levels}
    summary = {
        "photos": len(plan.photos.photos),
        "objects": {**counts, **{f"left out: {why}": number for why, number in plan.photos.unfit.items() if number}},
        "skipped": dict(sorted(plan.skipped.items())),
        "pairs": made_of,
        "rejected": dict(sorted(reasons.items())),
        "errors": len(tables.errors),
    }
    put_summary(folder, summary)
    made = sum(1 for unit in units if unit.slot in current)
    return MergedInpainting(made_of, reasons, len(tables.errors), len(units) - made, unseen, counts)


def reference_name(plan: Plan, folder: BuildFolder, photo: int) -> str:
    """The path of a photo as the table has it."""
    if plan.config.references == "copy":
        return f"references/{plan.photos.photos[photo].file}"
    return Path(os.path.relpath(plan.photos.path(photo).resolve(), folder.path.resolve())).as_posix()


def _planned(plan: Plan, entries: dict[Slot, Entry]) -> tuple[list[Unit], list[Unit], int]:
    """Units of both stages over all shards as far as photos were inspected, and the number of those that were not."""
    inspected, units, unseen = [], [], 0
    for photo in plan.worth:
        unit = plan.inspection(photo)
        inspected.append(unit)
        entry = entries.get(unit.slot)
        if entry is None or entry.id != unit.id:
            unseen += 1
        elif entry.status == "done":
            units += plan.substitutions(photo, entry.facts())
    return inspected, units, unseen
