"""The units' files and facts: references, candidates and maps."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_tools.builders.core.attempt import Made
from data_tools.builders.core.encoding import encode_jpeg, encode_png
from data_tools.builders.core.errors import UNIT_FAULTS, UnitError, reason_of
from data_tools.builders.core.masks import box_of
from data_tools.builders.core.work_items import Unit
from data_tools.builders.edits.contract import Edit, NotPossible, Task, Tools
from data_tools.builders.edits.plan import EditsPlan, EditWork
from data_tools.builders.edits.reading import FindText
from data_tools.builders.edits.scene import Scenes

Bytes = NDArray[np.uint8]
SR = "+sr"
"""Ends the origin of what passed through a degradation and an upscaler."""


@dataclass(frozen=True)
class Edited:
    """An edit before it is enlarged.

    Attributes:
        index: of its unit in the batch.
        source: (H, W, 3) before the edit.
        picture: after it; where something comes after, degraded to a quarter of the size.
        record: of the degradation and the upscaler, for the table.
        left: what the degradation leaves of a change; None for all else.
    """

    index: int
    unit: Unit
    edit: Edit
    strength: float
    source: Bytes
    picture: Bytes
    record: Mapping[str, str]
    left: float | None


@dataclass
class Maker:
    """Makes the units of both stages."""

    plan: EditsPlan
    scenes: Scenes
    tools: Tools
    find_text: FindText | None = None

    def photos(self, batch: Sequence[Unit]) -> list[Made | UnitError]:
        """The reference of each photo, and its objects as they stand in it."""
        return [self._photo(unit) for unit in batch]

    def edits(self, batch: Sequence[Unit]) -> list[Made | UnitError]:
        """Candidate and map of each unit. All units of a batch pass through the same afterwards."""
        results: list[Made | UnitError] = [UnitError("not made") for _ in batch]
        edited: list[Edited] = []
        for index, unit in enumerate(batch):
            try:
                edited.append(self._edited(index, unit))
            except NotPossible as error:
                facts = {"pair_id": _stem(unit), "source_id": unit.sample, "kind": unit.work.kind.name}
                results[index] = Made({}, facts, str(error))
            except UNIT_FAULTS as error:
                results[index] = UnitError(reason_of(error))
        step = self.plan.steps.get(batch[0].work.after)
        last = (
            step.enlarge([one.picture for one in edited], [one.source.shape for one in edited])
            if step is not None
            else None
        )
        for place, one in enumerate(edited):
            picture = one.picture if last is None else last[place]
            results[one.index] = picture if isinstance(picture, UnitError) else self._made(one, picture)
        return results

    def _edited(self, index: int, unit: Unit) -> Edited:
        work: EditWork = unit.work
        rng, scene = self.plan.rng(unit), self.scenes.of(work.photo)
        strength = round(float(rng.uniform(*self.plan.config.strength)), 4)
        edit = work.kind.make(Task(scene, work.instance, work.kind.hard, strength, rng, work.line), self.tools)
        step, picture, record, left = self.plan.steps.get(work.after), edit.picture, dict[str, str](), None
        if work.kind.changes:
            _hold("the change", _change(edit, scene.picture), "least_change", self.plan.config.least_change)
        if step is not None:
            picture, drawn = step.shrink(edit.picture, self.plan.after_rng(unit))
            record = {"degradation": json.dumps(drawn, sort_keys=True), "upscaler": step.upscaler.identity}
            if work.kind.changes:
                left = step.left_of(edit, scene.picture, picture, drawn)
                _hold(f"what {work.after} leaves of the change", left, "least_left", self.plan.config.least_left)
        return Edited(index, unit, edit, strength, scene.picture, picture, record, left)

    def _photo(self, unit: Unit) -> Made:
        number: int = unit.work
        scene = self.scenes.of(number)
        with self.plan.photos.path(number).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        name = f"references/{unit.sample}.{self.plan.config.format}"
        facts = {
            "reference": name,
            "source_sha256": digest,
            "width": scene.photo.width,
            "height": scene.photo.height,
            "objects": scene.facts(),
        }
        if self.find_text is not None and self.plan.reads:
            facts["lines"] = [[line.corners, line.text] for line in self.find_text(scene.picture)]
        return Made({name: self._encoded(scene.picture)}, facts)

    def _made(self, one: Edited, picture: Bytes) -> Made:
        unit, edit = one.unit, one.edit
        work: EditWork = unit.work
        config, photos, stem = self.plan.config, self.plan.photos, _stem(unit)
        photo = photos.photos[work.photo]
        names = {
            "candidate": f"candidates/{work.kind.name}/{stem}.{config.format}",
            "map": f"maps/{work.kind.name}/{stem}.png",
        }
        facts = {
            name: value for name, value in edit.facts.items() if name not in ("donor_image_id", "donor_annotation_id")
        }
        operation = facts.get("operation")
        made_of = f"{work.kind.name}_{operation}" if operation and not work.kind.changes else work.kind.name
        facts = {
            "pair_id": stem,
            "source_id": unit.sample,
            "reference": work.reference,
            **names,
            "origin": made_of + (SR if work.after else ""),
            "difference": float(bool(edit.changed.any())),
            "kind": work.kind.name,
            "level": edit.level,
            "area": round(float(edit.changed.mean()), 6),
            "touched": round(float(edit.touched.mean()), 6),
            "box": " ".join(map(str, box_of(edit.touched))) if edit.touched.any() else "",
            "strength": one.strength if operation and not work.kind.changes and operation != "shift" else None,
            "change": round(_change(edit, one.source), 4) if work.kind.changes else None,
            "after": work.after,
            "left": None if one.left is None else round(one.left, 4),
            **one.record,
            **facts,
            "annotation_id": None if work.instance is None else photos.own_ids[work.instance.id],
            **self._donor(edit),
            "width": one.source.shape[1],
            "height": one.source.shape[0],
            "source": photos.sources[work.photo],
            "source_sha256": work.source_sha256,
            "licence": photo.licence,
            "licence_url": photo.licence_url,
            "source_url": photo.url,
            "seed": config.seed,
            "unit": unit.id,
        }
        files = {
            names["candidate"]: self._encoded(picture),
            names["map"]: encode_png(edit.changed.astype(np.uint8) * 255),
        }
        return Made(files, facts)

    def _donor(self, edit: Edit) -> dict[str, Any]:
        if "donor_image_id" not in edit.facts:
            return {}
        photos = self.plan.photos
        return {
            "donor_source_id": photos.source_ids[edit.facts["donor_image_id"]],
            "donor_annotation_id": photos.own_ids[edit.facts["donor_annotation_id"]],
        }

    def _encoded(self, picture: Bytes) -> bytes:
        config = self.plan.config
        return encode_png(picture) if config.format == "png" else encode_jpeg(picture, config.quality)


def _hold(what: str, change: float, key: str, least: float) -> None:
    """Refuse a change of meaning that nobody sees."""
    if change < least:
        raise NotPossible(f"{what} is {change:.4f}, below {key}={least:g}")


def _stem(unit: Unit) -> str:
    return f"{unit.sample}_{unit.variant}"


def _change(edit: Edit, source: Bytes) -> float:
    """Mean absolute difference (0 .. 1) that a change makes where its map is."""
    changed = edit.changed
    return (
        float(np.abs(edit.picture[changed].astype(np.int16) - source[changed]).mean()) / 255 if changed.any() else 0.0
    )
