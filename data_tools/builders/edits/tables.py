"""The tables of a set of edits, merged from all journals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from data_tools.builders.core.folder import BuildFolder
from data_tools.builders.core.journal import Entry, latest_entries
from data_tools.builders.core.tables import Kind, Merged, current_entries, put_results, put_summary
from data_tools.builders.core.work_items import Slot, Unit
from data_tools.builders.edits.plan import EDIT, EditsPlan
from semfid.io.splits import split_by_hash

COLUMNS: dict[str, Kind] = {
    **dict.fromkeys(("pair_id", "source_id", "reference", "candidate", "origin"), "text"),
    "difference": "number",
    **dict.fromkeys(("map", "split", "kind", "level", "operation"), "text"),
    **dict.fromkeys(("area", "touched", "strength", "change", "left"), "number"),
    **dict.fromkeys(("box", "category_before", "category_after", "after", "degradation", "upscaler"), "text"),
    "annotation_id": "text",
    **dict.fromkeys(("donor_source_id", "donor_annotation_id", "words_before", "words_after"), "text"),
    **dict.fromkeys(("width", "height", "seed"), "integer"),
    **dict.fromkeys(("source", "source_sha256", "licence", "licence_url", "source_url", "unit"), "text"),
}


def merge(folder: BuildFolder, plan: EditsPlan) -> Merged:
    """Write the tables from what all shards have finished; only under `folder.merging`.

    Entries of photos or settings that are no more are left out.
    """
    entries = latest_entries(folder.journals)
    plan.skipped.clear()
    opened, units, unseen = _planned(plan, entries)
    shares = plan.config.split
    split = split_by_hash((unit.sample for unit in opened), shares.val, shares.test, shares.seed)
    current = current_entries([*opened, *units], entries)

    def rows(status: str) -> Iterator[dict[str, Any]]:
        for slot, entry in current.items():
            if slot[0] == EDIT and entry.status == status:
                yield {**entry.facts(), "split": split.get(slot[1], ""), "reason": entry.reason}

    columns = {name: kind for name, kind in COLUMNS.items() if name != "split" or split}
    tables = put_results(folder, plan.config.table, columns, rows, current)
    made, rejected = Counter(tables.pairs["kind"]), Counter(tables.rejects["kind"])
    pairs = {name: made[name] for name in plan.kinds}
    summary = {
        "photos": len(plan.photos.photos),
        "left_out": dict(sorted(plan.photos.left_out.items())),
        "skipped": dict(sorted(plan.skipped.items())),
        "pairs": pairs,
        "rejected": dict(sorted(rejected.items())),
        "errors": len(tables.errors),
    }
    put_summary(folder, summary)
    missing = sum(1 for unit in units if unit.slot not in current)
    return Merged(pairs, rejected, len(tables.errors), missing, unseen)


def _planned(plan: EditsPlan, entries: dict[Slot, Entry]) -> tuple[list[Unit], list[Unit], int]:
    """Units of both stages over all shards as far as photos were opened, and the number of those that were not."""
    opened, units, unseen = [], [], 0
    for number in plan.photos.photos:
        unit = plan.photo(number)
        opened.append(unit)
        entry = entries.get(unit.slot)
        if entry is None or entry.id != unit.id:
            unseen += 1
        elif entry.status == "done":
            units += plan.edits(number, entry.facts())
    return opened, units, unseen
