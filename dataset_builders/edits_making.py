"""The units' files and facts: references, candidates and maps."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataset_builders.edits_contract import Edit, NotPossible, Task, Tools
from dataset_builders.edits_plan import EditsPlan, EditWork
from dataset_builders.edits_scene import Scenes
from dataset_builders.encoding import encode_jpeg, encode_png
from dataset_builders.errors import UNIT_FAULTS, UnitError, reason_of
from dataset_builders.masks import box_of
from dataset_builders.running import Made
from dataset_builders.units import Unit

Bytes = NDArray[np.uint8]
SR = "+sr"
"""Ends the origin of what passed through a degradation and an upscaler."""


@dataclass
class Maker:
    """Makes the units of both stages."""

    plan: EditsPlan
    scenes: Scenes
    tools: Tools

    def photos(self, batch: Sequence[Unit]) -> list[Made | UnitError]:
        """The reference of each photo, and its objects as they stand in it."""
        return [self._photo(unit) for unit in batch]

    def edits(self, batch: Sequence[Unit]) -> list[Made | UnitError]:
        """Candidate and map of each unit. All units of a batch pass through the same afterwards."""
        edits = [self._attempt(unit) for unit in batch]
        fine = [(unit, one) for unit, one in zip(batch, edits, strict=True) if not isinstance(one, UnitError)]
        finished = iter(self._finished([unit for unit, _ in fine], [one[0].picture for _, one in fine]))
        results: list[Made | UnitError] = []
        for unit, one in zip(batch, edits, strict=True):
            if isinstance(one, UnitError):
                results.append(self._unmade(unit, one))
                continue
            last = next(finished)
            results.append(last if isinstance(last, UnitError) else self._made(unit, *one, *last))
        return results

    def _finished(self, units: Sequence[Unit], pictures: Sequence[Bytes]) -> list[tuple[Bytes, dict[str, str]] | UnitError]:
        """What edited pictures have become after their step, and what the table says of it."""
        step = self.plan.steps.get(units[0].work.after) if units else None
        if step is None:
            return [(picture, {}) for picture in pictures]
        shrunk = [step.shrink(picture, self.plan.after_rng(unit)) for unit, picture in zip(units, pictures, strict=True)]
        large = step.enlarge([small for small, _ in shrunk], [(one.shape[0], one.shape[1]) for one in pictures])
        facts = [{"degradation": json.dumps(record, sort_keys=True), "upscaler": step.upscaler.identity} for _, record in shrunk]
        return [one if isinstance(one, UnitError) else (one, fact) for one, fact in zip(large, facts, strict=True)]

    def _photo(self, unit: Unit) -> Made:
        number: int = unit.work
        scene = self.scenes.of(number)
        with open(self.plan.photos.path(number), "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        name = f"references/{unit.sample}.{self.plan.config.format}"
        facts = {
            "reference": name,
            "source_sha256": digest,
            "width": scene.photo.width,
            "height": scene.photo.height,
            "objects": scene.facts(),
        }
        return Made({name: self._encoded(scene.picture)}, facts)

    def _attempt(self, unit: Unit) -> tuple[Edit, float] | UnitError:
        work: EditWork = unit.work
        try:
            rng = self.plan.rng(unit)
            strength = round(float(rng.uniform(*self.plan.config.strength)), 4)
            scene = self.scenes.of(work.photo)
            return work.kind.make(Task(scene, work.instance, work.kind.hard, strength, rng), self.tools), strength
        except NotPossible as error:
            return error
        except UNIT_FAULTS as error:
            return UnitError(reason_of(error))

    def _unmade(self, unit: Unit, error: UnitError) -> Made | UnitError:
        if not isinstance(error, NotPossible):
            return error
        facts = {"pair_id": f"{unit.sample}_{unit.variant}", "source_id": unit.sample, "kind": unit.work.kind.name}
        return Made({}, facts, str(error))

    def _made(
        self, unit: Unit, edit: Edit, strength: float, picture: Bytes, record: Mapping[str, str]
    ) -> Made:
        work: EditWork = unit.work
        config, photos = self.plan.config, self.plan.photos
        photo, scene = photos.photos[work.photo], self.scenes.of(work.photo)
        stem = f"{unit.sample}_{unit.variant}"
        names = {"candidate": f"candidates/{work.kind.name}/{stem}.{config.format}", "map": f"maps/{work.kind.name}/{stem}.png"}
        facts = {name: value for name, value in edit.facts.items() if name not in ("donor_image_id", "donor_annotation_id")}
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
            "strength": strength if operation and not work.kind.changes and operation != "shift" else None,
            "after": work.after,
            **record,
            **facts,
            "annotation_id": None if work.instance is None else photos.own_ids[work.instance.id],
            **self._donor(edit),
            "width": scene.photo.width,
            "height": scene.photo.height,
            "source": photos.sources[work.photo],
            "source_sha256": work.source_sha256,
            "licence": photo.licence,
            "licence_url": photo.licence_url,
            "source_url": photo.url,
            "seed": config.seed,
            "unit": unit.id,
        }
        files = {names["candidate"]: self._encoded(picture), names["map"]: encode_png(edit.changed.astype(np.uint8) * 255)}
        return Made(files, facts, self._fault(work, edit, scene.picture))

    def _donor(self, edit: Edit) -> dict[str, Any]:
        if "donor_image_id" not in edit.facts:
            return {}
        photos = self.plan.photos
        return {
            "donor_source_id": photos.source_ids[edit.facts["donor_image_id"]],
            "donor_annotation_id": photos.own_ids[edit.facts["donor_annotation_id"]],
        }

    def _fault(self, work: EditWork, edit: Edit, source: Bytes) -> str:
        """Why a change of meaning is none to be seen; empty: it is."""
        if not work.kind.changes:
            return ""
        if not edit.changed.any():
            return "nothing is left of the change"
        apart = np.abs(edit.picture[edit.changed].astype(np.int16) - source[edit.changed]).mean() / 255
        least = self.plan.config.least_change
        return f"the change of {apart:.4f} is below least_change={least:g}" if apart < least else ""

    def _encoded(self, picture: Bytes) -> bytes:
        config = self.plan.config
        return encode_png(picture) if config.format == "png" else encode_jpeg(picture, config.quality)
