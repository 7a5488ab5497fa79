"""`semfid build inpainting`: photos with an object painted over by one of the same or of another class.

Two stages a photo: it is opened and its objects are filtered (`inspect`), then its substitutions are made (`paint`).

    candidates/<level>/<photo>_<annotation>.png     the picture; outside of the paste mask the photo to the bit
    maps/<level>/<photo>_<annotation>.png           what differs in meaning: 255; nothing for the same class
    masks/<level>/<photo>_<annotation>_{original,dilated,repaint,paste}.png
    references/                                     copies of the photos, with references: copy
    pairs.csv, rejects.csv, errors.csv, summary.json
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from data_tools.builders.core.build_context import Call, open_build
from data_tools.builders.core.coco import CocoSet
from data_tools.builders.core.contact_sheet import contact_sheet, put_preview
from data_tools.builders.core.eta import Estimator
from data_tools.builders.core.executor import Worker
from data_tools.builders.core.journal import latest_entries
from data_tools.builders.core.quality import QualityChecker
from data_tools.builders.core.work_items import Unit
from data_tools.builders.inpainters.contract import build_inpainter
from data_tools.builders.inpainters.object_bank import ObjectBank
from data_tools.builders.inpainting.config import InpaintingConfig
from data_tools.builders.inpainting.inpaint import Painter
from data_tools.builders.inpainting.plan import Plan
from data_tools.builders.inpainting.preview import pick, rows_of_sheet
from data_tools.builders.inpainting.tables import MergedInpainting, merge
from registry import load_plugins
from semfid.errors import UserError
from semfid.settings import read_settings

BUILDER = "inpainting"
PREVIEWED = 3  # units of each level


def build(config_file: str, overrides: Sequence[str], call: Call) -> int:
    """Build a set, or go on with one; the number of units with errors over all shards.

    Raises:
        UserError: a bad setting, JSON or folder; nothing left to paint; a model that cannot be had; a full disk.
    """
    config = read_settings(InpaintingConfig, config_file, overrides, "seed=1 or inpainter.steps=20")
    load_plugins(config.plugins, Path(config_file).parent)
    keywords = {key: value for key, value in config.inpainter.items() if key != "name"}
    inpainter = build_inpainter(config.inpainter["name"], keywords)
    photos = CocoSet(config.photos.images, config.photos.instances, config.photos.captions)
    inpainter.meet(ObjectBank(photos, config.donors))
    plan = Plan(photos, config, inpainter)
    with open_build(Path(config.out), BUILDER, config.stamp(photos.digest, inpainter.identity), call) as worker:
        run = _Run(plan, worker, call, Painter(plan, QualityChecker(config.checks, config.device)))
        run.preview() if call.preview else run.whole()
        with worker.folder.merging():
            merged = merge(worker.folder, plan)
    _tell(call, config, plan, merged)
    return merged.errors


class _Run:
    """One shard's part of a build."""

    def __init__(self, plan: Plan, worker: Worker, call: Call, painter: Painter) -> None:
        self.plan, self.worker, self.call, self.painter = plan, worker, call, painter

    def whole(self) -> None:
        """Inspect and paint all photos of the shard."""
        photos = [photo for photo in self.plan.worth if self.call.shard.holds(str(photo))][: self.call.limit]
        units = self._inspected(photos)
        if not units and not self.worker.retry_failed and self.call.shard.count == 1:
            self._refuse_nothing(photos)
        self._paint(units)

    def preview(self) -> None:
        """A few units of each level, a sheet of them, and what the rest will take."""
        photos = [photo for photo in self.plan.worth if self.call.shard.holds(str(photo))][: self.call.limit]
        chosen: list[Unit] = []
        looked_at = seen = 0
        while looked_at < len(photos) and not self._enough(chosen):
            part = photos[looked_at : looked_at + 16]
            looked_at += len(part)
            units = self._inspected(part)
            seen += len(units)
            chosen = pick([*chosen, *units], self.plan.config.levels, PREVIEWED)
        if not chosen:
            self._refuse_nothing(photos)
        self._paint(chosen)
        entries = self.worker.entries
        made = [entries[unit.slot] for unit in chosen if unit.slot in entries and entries[unit.slot].status != "error"]
        sheet = contact_sheet(rows_of_sheet(self.plan, self.worker.folder.path, made))
        left = round(seen * len(photos) / max(1, looked_at)) - len(made)
        put_preview(self.worker.folder, sheet, made, left, self.call.say)

    def _enough(self, chosen: Sequence[Unit]) -> bool:
        return len(chosen) >= PREVIEWED * len(self.plan.config.levels)

    def _inspected(self, photos: Iterable[int]) -> list[Unit]:
        """The substitutions of photos, which are inspected if they were not."""
        inspections = [self.plan.inspection(photo) for photo in photos]
        with self.call.stage("inspect") as advance:
            done = self.worker.run_each(inspections, self.plan.inspect, advance)
        return [one for unit, entry in done for one in self.plan.substitutions(unit.work, entry.facts())]

    def _paint(self, units: Sequence[Unit]) -> None:
        pending = self.worker.pending(units)
        if pending:
            prompts = {self.plan.prompt(unit.work.instance.photo, unit.work.after) for unit in pending}
            self.plan.inpainter.prepare(sorted(prompts), self.plan.config.device)
        if self.plan.config.references == "copy":
            self._copy({unit.work.instance.photo for unit in units})
        estimator = Estimator(self.worker.folder.path, self.call.say, "estimate")
        with self.call.stage("paint") as advance:
            self.worker.run(pending, self.painter.make, advance, watch=estimator)

    def _copy(self, photos: Collection[int]) -> None:
        from data_tools.builders.core.copy_references import copies

        with self.call.stage("copy photos") as advance:
            units, make = copies(self.plan.photos, photos)
            self.worker.run(units, make, advance)

    def _refuse_nothing(self, photos: Sequence[int]) -> None:
        counts = self.plan.counts(latest_entries(self.worker.folder.journals))
        broken = sum(1 for photo in photos if self.worker.entries[self.plan.inspection(photo).slot].status == "error")
        why = [f"{name} removed {number}" for name, number in counts.items() if number and name != "kept"]
        why += [f"{why} ({number})" for why, number in self.plan.photos.unfit.items() if number]
        why += [f"{number} x {what}" for what, number in sorted(self.plan.skipped.items())]
        why += [f"{broken} photos cannot be read"] if broken else []
        raise UserError(
            f"{self.plan.config.photos.instances}: nothing is left to paint over of "
            f"{sum(map(len, self.plan.photos.instances.values()))} objects on {len(self.plan.photos.photos)} photos: "
            f"{', '.join(why) or 'there are no objects'}; relax filters (or donors)"
        )


def _tell(call: Call, config: InpaintingConfig, plan: Plan, merged: MergedInpainting) -> None:
    removed = ", ".join(f"{name} {number}" for name, number in merged.counts.items() if number and name != "kept")
    call.say(f"objects: {merged.counts['kept']} kept; removed by {removed or 'no filter'}")
    for why, number in sorted(plan.skipped.items()):
        call.say(f"skipped: {number} x {why}")
    for why, number in plan.photos.unfit.items():
        if number:
            call.say(f"left out: {number} annotations: {why}")
    for line in merged.lines(Path(config.out) / config.table):
        call.say(line)
