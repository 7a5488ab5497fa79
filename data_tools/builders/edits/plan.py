"""Which edits each photo gets: everything before a picture is made."""

from __future__ import annotations

import math
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from data_tools.builders.core.coco import Instance, Photo
from data_tools.builders.core.instance_filters import Filters, fault_of_annotation
from data_tools.builders.core.work_items import Unit, file_state, generator, make_unit, recipe_of
from data_tools.builders.edits.after import Step, step_of
from data_tools.builders.edits.config import EditsConfig
from data_tools.builders.edits.contract import Kind
from data_tools.builders.edits.kinds import KINDS
from data_tools.builders.edits.photos import CocoFolders
from data_tools.builders.edits.reading import Line

PHOTO, EDIT = "photo", "edit"
VERSION = 2


@dataclass(frozen=True, slots=True)
class EditWork:
    """What a unit of `EDIT` is to do.

    Attributes:
        photo: its number.
        instance: the object; None for kinds that need none.
        line: the text; None for kinds that need none.
        after: label of what it passes through afterwards; empty: nothing.
        reference: name of the reference in the set.
    """

    photo: int
    kind: Kind
    instance: Instance | None
    line: Line | None
    after: str
    reference: str
    source_sha256: str


@dataclass
class EditsPlan:
    """The units of a set.

    Attributes:
        stamp: what the content depends on.
        reader: identity of what finds text; empty: nothing does, and the kind ``text`` is left out.
        kinds: those that are made, with their numbers per photo.
        skipped: edits that cannot be, by why; filled by `edits`.
    """

    photos: CocoFolders
    config: EditsConfig
    steps: Mapping[str, Step]
    reader: str
    kinds: dict[str, float] = field(init=False)
    skipped: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        config = self.config
        config.filters.check_categories(self.photos.supercategory, "filters")
        config.donors.check_categories(self.photos.supercategory, "donors")
        wanted = {name: config.kinds[name] for name in KINDS if config.kinds.get(name, 0) > 0}
        self.kinds = {name: number for name, number in wanted.items() if self.reader or KINDS[name].pool != "text"}
        identities = {label: step.identity for label, step in self.steps.items()}
        self.stamp = config.stamp(self.photos.digest, identities, self.reader)
        frame = {name: self.stamp[name] for name in ("fit", "format", "quality")}
        self._recipes = {
            PHOTO: recipe_of({**frame, "reader": self.reader if self.reads else "", "version": VERSION}),
            EDIT: recipe_of({**self.stamp, "version": VERSION}),
        }
        self._categories = {one.id: one.category for found in self.photos.instances.values() for one in found}
        self._crowds = {one.id for found in self.photos.instances.values() for one in found if one.crowd}

    @property
    def reads(self) -> bool:
        """Whether text is looked for in photos."""
        return any(KINDS[name].pool == "text" for name in self.kinds)

    def photo(self, number: int) -> Unit:
        """The unit that opens a photo and writes its reference; its id changes with the file's size and time."""
        inputs = [self.photos.digest, file_state(self.photos.path(number))]
        return make_unit(PHOTO, self.photos.source_ids[number], "", self._recipes[PHOTO], inputs, number)

    def edits(self, number: int, facts: Mapping[str, Any]) -> list[Unit]:
        """The edits of a photo that was opened, kind by kind; what cannot be is counted."""
        sample = self.photos.source_ids[number]
        pools = self._pools(number, facts)
        units = []
        for name, count in self.kinds.items():
            kind = KINDS[name]
            wanted = math.floor(count)
            wanted += self._generator("count", sample, name).random() < count - wanted
            pool = pools[kind.pool]
            if kind.pool != "nothing" and not pool and wanted:
                what = "text that can be read" if kind.pool == "text" else "object for it"
                self.skipped[f"{name}: the photo has no {what}"] += wanted
                continue
            first = zlib.crc32(name.encode())  # kinds begin at objects of their own
            for index in range(wanted):
                taken = pool[(first + index) % len(pool)] if pool else None
                units.append(self._edit(number, kind, index, taken, facts))
        return units

    def rng(self, unit: Unit) -> np.random.Generator:
        """All draws of a unit's edit."""
        return self._generator(*unit.slot)

    def after_rng(self, unit: Unit) -> np.random.Generator:
        """All draws of what comes after it."""
        return self._generator("after", unit.sample, unit.variant)

    def _edit(
        self, number: int, kind: Kind, index: int, taken: Instance | Line | None, facts: Mapping[str, Any]
    ) -> Unit:
        sample, variant = self.photos.source_ids[number], f"{kind.name}-{index}"
        after = step_of(self.steps, self._generator("share", sample, variant).random())
        instance, line = (None, taken) if isinstance(taken, Line) else (taken, None)
        work = EditWork(number, kind, instance, line, after, facts["reference"], facts["source_sha256"])
        return make_unit(EDIT, sample, variant, self._recipes[EDIT], [facts["source_sha256"]], work)

    def _pools(self, number: int, facts: Mapping[str, Any]) -> dict[str, Sequence[Instance | Line]]:
        """The objects or lines of text for each `Pool`, in an order that the photo's name draws."""
        filters, photo = self.config.filters, self.photos.photos[number]
        photo = replace(photo, width=facts["width"], height=facts["height"])
        plain = self._passing(photo, facts, filters)
        hard = self._passing(photo, facts, filters.model_copy(update={"area": self.config.hard_area}))
        everything = {one.id: one for one in [*plain, *hard]}
        order = self._generator("objects", self.photos.source_ids[number], "").permutation(len(everything))
        ids = [list(everything)[index] for index in order]
        pools = {
            "plain": {one.id for one in plain},
            "hard": {one.id for one in hard},
            "any": set(ids),
            "nothing": set[int](),
        }
        objects = {name: [everything[id_] for id_ in ids if id_ in chosen] for name, chosen in pools.items()}
        lines = [Line(tuple((x, y) for x, y in corners), text) for corners, text in facts.get("lines", [])]
        drawn = self._generator("lines", self.photos.source_ids[number], "").permutation(len(lines))
        return {**objects, "text": [lines[index] for index in drawn]}

    def _passing(self, photo: Photo, facts: Mapping[str, Any], filters: Filters) -> list[Instance]:
        found = []
        for id_, connected, covered, area, x, y, width, height in facts["objects"]:
            one = Instance(id_, photo.id, self._categories[id_], (x, y, width, height), area, id_ in self._crowds)
            fit = fault_of_annotation(photo, one, filters) is None
            if fit and connected >= filters.connected and covered <= filters.overlap:
                found.append(one)
        return found

    def _generator(self, stage: str, sample: str, variant: str) -> np.random.Generator:
        return generator(self.config.seed, stage, sample, variant)
