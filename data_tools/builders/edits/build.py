"""`semfid build edits`: photos with an object exchanged, put in or taken away, a part or a text altered; and changes that keep
the meaning, of the whole photo or inside one object. `edits_kinds.KINDS` holds all kinds.

Two stages a photo: it is opened and its objects are measured (`photo`), then its edits are made (`edit`). A share of the pairs
passes through a degradation and an upscaler afterwards (settings: `after`); the truth is that of the edit alone.

    references/<source_id>.png                  the photo as it stands in the set
    candidates/<kind>/<source_id>_<kind>-<n>.png  what became of it; outside of the edit the reference to the bit
    maps/<kind>/<source_id>_<kind>-<n>.png      255 where the meaning differs; all 0 where it is kept
    pairs.csv, rejects.csv, errors.csv, summary.json
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from data_tools.builders.core.build_context import Call, open_build
from data_tools.builders.core.contact_sheet import contact_sheet, put_preview
from data_tools.builders.core.eta import Estimator
from data_tools.builders.core.executor import Worker
from data_tools.builders.core.tables import Merged
from data_tools.builders.core.work_items import Unit
from data_tools.builders.edits.after import build_steps
from data_tools.builders.edits.config import EditsConfig
from data_tools.builders.edits.contract import Tools
from data_tools.builders.edits.kinds import KINDS
from data_tools.builders.edits.making import Maker
from data_tools.builders.edits.photos import CocoFolders
from data_tools.builders.edits.plan import EditsPlan
from data_tools.builders.edits.preview import pick, rows_of_sheet
from data_tools.builders.edits.reading import reader_of
from data_tools.builders.edits.scene import Scenes
from data_tools.builders.edits.tables import merge
from data_tools.builders.inpainters.object_bank import ObjectBank
from data_tools.builders.inpainters.patch_donor import PatchDonor
from registry import load_plugins
from semfid.errors import UserError
from semfid.settings import read_settings

BUILDER = "edits"
PREVIEWED = 2  # units of each kind
OPENED = 16  # photos at a time, for a preview


def build(config_file: str, overrides: Sequence[str], call: Call) -> int:
    """Build a set, or go on with one; the number of units with errors over all shards.

    Raises:
        UserError: a bad setting, JSON or folder; nothing to edit; a model that cannot be had; a full disk.
    """
    config = read_settings(EditsConfig, config_file, overrides)
    try:
        config.check_kinds(KINDS)
    except UserError as error:
        raise UserError(f"{config_file}: {error}") from error
    load_plugins(config.plugins, Path(config_file).parent)
    photos = CocoFolders(config.photos)
    find_text, why = reader_of(config.ocr) if config.kinds.get("text", 0) > 0 else (None, "")
    if why:
        call.say(f"the kind text is left out: {why}")
    reader = find_text.identity if find_text is not None else ""
    plan = EditsPlan(photos, config, build_steps(config.after, config.device), reader)
    maker = Maker(plan, Scenes(photos, config.fit), _tools(photos, config), find_text)
    with open_build(Path(config.out), BUILDER, plan.stamp, call) as worker:
        run = _Run(plan, worker, call, maker)
        run.preview() if call.preview else run.whole()
        with worker.folder.merging():
            merged = merge(worker.folder, plan)
    _tell(call, plan, merged)
    return merged.errors


def _tools(photos: CocoFolders, config: EditsConfig) -> Tools:
    donors = ObjectBank(photos, config.donors)
    plain = PatchDonor(background="patch")
    hard = PatchDonor(match_colour=0.85, match_to="object", soften=1, fill=0.01, background="patch")
    for inpainter in (plain, hard):
        inpainter.meet(donors)
    return Tools(donors, plain, hard, photos.supercategory, config.hard_area)


class _Run:
    """One shard's part of a build."""

    def __init__(self, plan: EditsPlan, worker: Worker, call: Call, maker: Maker) -> None:
        self.plan, self.worker, self.call, self.maker = plan, worker, call, maker
        held = (one for one in plan.photos.photos if call.shard.holds(plan.photos.source_ids[one]))
        self.photos = list(held)[: call.limit]

    def whole(self) -> None:
        """Open and edit all photos of the shard."""
        units = self._opened(self.photos)
        if not units and self.call.shard.count == 1:
            self._refuse_nothing()
        self._edit(units)

    def preview(self) -> None:
        """A few units of each kind, a sheet of them, and what the rest will take."""
        chosen: list[Unit] = []
        looked_at = seen = 0
        while looked_at < len(self.photos) and len(chosen) < PREVIEWED * len(self.plan.kinds):
            part = self.photos[looked_at : looked_at + OPENED]
            looked_at += len(part)
            units = self._opened(part)
            seen += len(units)
            chosen = pick([*chosen, *units], PREVIEWED)
        if not chosen:
            self._refuse_nothing()
        self._edit(chosen)
        folder, entries = self.worker.folder, self.worker.entries
        made = [entries[unit.slot] for unit in chosen if entries[unit.slot].status != "error"]
        left = round(seen * len(self.photos) / max(1, looked_at)) - len(made)
        put_preview(folder, contact_sheet(rows_of_sheet(folder.path, made)), made, left, self.call.say)

    def _opened(self, photos: Iterable[int]) -> list[Unit]:
        """The edits of photos, which are opened if they were not."""
        openings = [self.plan.photo(number) for number in photos]
        with self.call.stage("open photos") as advance:
            done = self.worker.run_each(openings, self.maker.photos, advance)
        return [one for unit, entry in done for one in self.plan.edits(unit.work, entry.facts())]

    def _edit(self, units: Sequence[Unit]) -> None:
        """Make the edits: those that pass through nothing first, then those of each step in its batches."""
        for label in ("", *self.plan.steps):
            part = [unit for unit in units if unit.work.after == label]
            batch = self.plan.steps[label].upscaler.batch_size if label else 1
            title = f"edit, then {label}" if label else "edit"
            estimator = Estimator(self.worker.folder.path, self.call.say, "estimate")
            with self.call.stage(title) as advance:
                self.worker.run(part, self.maker.edits, advance, batch, estimator)
            if label:
                self.plan.steps[label].upscaler.release()

    def _refuse_nothing(self) -> None:
        openings = [self.worker.entries[self.plan.photo(number).slot] for number in self.photos]
        broken = sum(1 for entry in openings if entry.status == "error")
        why = [f"{number} x {what}" for what, number in sorted(self.plan.skipped.items())]
        why += [f"{what} ({number})" for what, number in sorted(self.plan.photos.left_out.items())]
        why += [f"{broken} photos cannot be read"] if broken else []
        raise UserError(
            f"photos: nothing is left to edit on {len(self.photos)} photos: {', '.join(why) or 'kinds ask for nothing'}; relax "
            "filters, or ask for more kinds"
        )


def _tell(call: Call, plan: EditsPlan, merged: Merged) -> None:
    for why, number in sorted(plan.skipped.items()):
        call.say(f"skipped: {number} x {why}")
    for why, number in sorted(plan.photos.left_out.items()):
        call.say(f"left out: {number} {why}")
    for line in merged.lines(Path(plan.config.out) / plan.config.table):
        call.say(line)
