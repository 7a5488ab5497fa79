"""Which objects of which photos are to be painted over by what: everything before a picture is made."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from data_tools.builders.core.attempt import Made
from data_tools.builders.core.coco import CocoSet, Instance
from data_tools.builders.core.errors import UnitError
from data_tools.builders.core.instance_filters import NAMES, fault_of_annotation, fault_of_mask, sharpness_of
from data_tools.builders.core.journal import Entry
from data_tools.builders.core.work_items import Slot, Unit, file_state, generator, make_unit, recipe_of, seed_sequence
from data_tools.builders.inpainters.contract import Inpainter
from data_tools.builders.inpainting.config import LEVELS, SAME_CLASS, SAME_SUPER, InpaintingConfig

INSPECT, PAINT = "inspect", "paint"
VERSION = 1


@dataclass(frozen=True, slots=True)
class Substitution:
    """What a unit of `PAINT` is to do."""

    instance: Instance
    level: str
    after: str
    source_sha256: str


@dataclass
class Plan:
    """The photos worth opening, and what is to be made of those that were opened.

    Attributes:
        removed: objects that their annotation alone rules out, by filter.
        worth: of each photo, the objects that are left; in order of ids.
        skipped: substitutions that cannot be, by why; filled by `substitutions`.
    """

    photos: CocoSet
    config: InpaintingConfig
    inpainter: Inpainter
    removed: Counter[str] = field(default_factory=Counter)
    worth: dict[int, list[Instance]] = field(default_factory=dict)
    skipped: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        filters = self.config.filters
        filters.check_categories(self.photos.supercategory, "filters")
        self.config.donors.check_categories(self.photos.supercategory, "donors")
        for photo, instances in sorted(self.photos.instances.items()):
            for instance in instances:
                fault = fault_of_annotation(self.photos.photos[photo], instance, filters)
                if fault is None:
                    self.worth.setdefault(photo, []).append(instance)
                else:
                    self.removed[fault] += 1
        self._recipes = {
            INSPECT: recipe_of({"filters": self.config.stamp("", "")["filters"], "version": VERSION}),
            PAINT: recipe_of(self.config.stamp(self.photos.digest, self.inpainter.identity) | {"version": VERSION}),
        }
        self._partners: dict[tuple[str, str], list[str]] = {}

    def inspection(self, photo: int) -> Unit:
        """The unit that opens a photo; its id changes with the file's size and time."""
        state = file_state(self.photos.path(photo))
        return make_unit(INSPECT, str(photo), "", self._recipes[INSPECT], [self.photos.digest, state], photo)

    def inspect(self, batch: Sequence[Unit]) -> list[Made | UnitError]:
        """Facts of each photo: sha256, sharpness, the objects that passed, how many each filter removed."""
        return [self._inspect(unit.work) for unit in batch]

    def _inspect(self, photo: int) -> Made:
        picture, filters = self.photos.picture(photo), self.config.filters
        with self.photos.path(photo).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        sharpness = sharpness_of(picture)
        removed: Counter[str] = Counter()
        passed = []
        masks = {one.id: self.photos.mask(one) for one in self.photos.instances[photo]}
        for instance in self.worth[photo]:
            others = [mask for id_, mask in masks.items() if id_ != instance.id]
            fault = "sharpness" if sharpness < filters.sharpness else None
            fault = fault or fault_of_mask(masks[instance.id], others, filters)
            if fault is None:
                passed.append(instance.id)
            else:
                removed[fault] += 1
        return Made({}, {"sha256": digest, "sharpness": round(sharpness, 2), "passed": passed, "removed": removed})

    def substitutions(self, photo: int, facts: Mapping[str, Any]) -> list[Unit]:
        """The units of an inspected photo, in order of levels; what cannot be is counted."""
        passed = set(facts["passed"])
        left = [one for one in self.worth.get(photo, []) if one.id in passed]
        if not left:
            return []
        sample = str(photo)
        # (1 + levels, objects): ranks of the objects, then a draw of the category for each level and object
        draws = seed_sequence(self.config.seed, "substitute", sample, "").generate_state(
            (1 + len(LEVELS)) * len(left), np.uint64
        )
        draws = draws.reshape(1 + len(LEVELS), len(left))
        order = np.argsort(draws[0], kind="stable").tolist()
        units = []
        for level in self.config.levels:
            made, reasons = 0, Counter[str]()
            for index in order:  # levels share their objects where they can
                instance = left[index]
                if made == self.config.instances_per_image:
                    break
                targets, why = self._targets(instance, level)
                if not targets:
                    reasons[why] += 1
                    continue
                after = targets[int(draws[1 + LEVELS.index(level), index]) % len(targets)]
                work = Substitution(instance, level, after, facts["sha256"])
                variant = f"{level}-{instance.id}"
                units.append(make_unit(PAINT, sample, variant, self._recipes[PAINT], [facts["sha256"]], work))
                made += 1
            if made == 0:
                self.skipped.update(dict.fromkeys(list(reasons)[:1], 1))
        return units

    def _targets(self, instance: Instance, level: str) -> tuple[list[str], str]:
        """The categories that may replace an object, by name; if there are none, why."""
        possible = self._partners_of(instance.category, level)
        if not possible:
            return [], f"{level}: {instance.category} is alone in its supercategory"
        offered = [name for name in possible if self.inpainter.offers(name, instance.photo)]
        return offered, f"{level}: no donor for {instance.category}"

    def _partners_of(self, category: str, level: str) -> list[str]:
        key = (category, level)
        if key not in self._partners:
            above, own = self.photos.supercategory, self.photos.supercategory[category]
            if level == SAME_CLASS:
                found = [category]
            elif level == SAME_SUPER:
                found = sorted(name for name, group in above.items() if group == own and name != category)
            else:
                found = sorted(name for name, group in above.items() if group != own)
            self._partners[key] = found
        return self._partners[key]

    def prompt(self, photo: int, category: str) -> str:
        """What an inpainter is told."""
        article = "an" if category[:1].lower() in "aeiou" else "a"
        return self.config.prompt.format(
            category=category, article=article, caption=self.photos.captions.get(photo, "")
        ).strip()

    def rng(self, unit: Unit) -> np.random.Generator:
        """All draws of a unit's picture."""
        return generator(self.config.seed, *unit.slot)

    def counts(self, entries: Mapping[Slot, Entry]) -> dict[str, int]:
        """Objects that each filter removed in the photos seen up to now, then those kept."""
        removed, kept = Counter(self.removed), 0
        for entry in entries.values():
            if entry.slot[0] == INSPECT and entry.status == "done":
                facts = entry.facts()
                removed.update(facts["removed"])
                kept += len(facts["passed"])
        return {**{name: removed[name] for name in NAMES}, "kept": kept}
