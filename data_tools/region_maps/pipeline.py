"""Difference maps of a pair table: segment, caption, embed, compare.

Everything is stored as it is made, in a work folder:

    images-<decoder>.jsonl             what each file shows
    regions-<key>/                     id maps (see `models.segmenters.region_store`), by segmenter and min_area
    regions-<key>/captions-<key>.jsonl by captioner, prompt and contour
    embeddings/                        vectors of the distinct captions, by text encoder
    maps/, maps.jsonl                  the maps and their figures

A run that is killed goes on where it was, with the same result to the byte. <key> is a hash of the settings that stand in
a JSON file beside the results.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_tools.region_maps import segmenting
from data_tools.region_maps.captioning import Captions, caption_regions
from data_tools.region_maps.map_builder import MapMaker, MapOutcome
from data_tools.region_maps.segmenting import segment_pictures
from metrics.label.tables import displayed, locked, rebased, relative
from models.captioners import Captioner
from models.captioners.errors import LabelError
from models.captioners.overlay import Contour
from models.image_index import Picture, catalogue, images_file
from models.segmenters.contract import Segmenter
from models.segmenters.region_store import MapFormat, write_json
from models.text_encoders import TextEncoder
from models.text_encoders.cache import embed_texts
from semfid.io.pair_table import PairTable, write_pairs
from semfid.io.vector_cache import VectorCache
from semfid.progress import Stage

PROMPT = "Please describe the object outlined in magenta."
KEPT = "map_before"  # where a map column of the input goes


@dataclass(frozen=True)
class MapSettings:
    """What the maps are made with, beside the models.

    Attributes:
        prompt: what the captioner is asked of each region.
        contour: width of the outline in pixels, or ``scaled``.
        min_area: regions below this share of the image join a neighbour.
        map_format: ``npy`` (float16, NaN where unknown) or ``png`` (8-bit, unknown counts as 0).
    """

    prompt: str = PROMPT
    contour: Contour = 3
    min_area: float = 0.005
    map_format: MapFormat = "npy"


@dataclass(frozen=True)
class MapTools:
    """The three models."""

    segmenter: Segmenter
    captioner: Captioner
    embedder: TextEncoder


def label_maps(
    table: PairTable, out: Path, folder: Path, tools: MapTools, settings: MapSettings, stage: Stage
) -> dict[str, str]:
    """Make the maps of a table and write it with the columns map, map_mean, map_unknown, reference_captions,
    candidate_captions, map_note and map_error.

    A column ``map`` of the input is kept as ``map_before`` (where there is one already, it stays). A pair that fails has its
    reason in ``map_error`` and an empty ``map``; it is tried again by the next run.

    Args:
        out: the table to write; its paths are relative to its own folder.
        folder: work folder, made if need be.
        stage: ``with stage("segment") as advance: advance(done, total)``.

    Returns:
        pair_id to reason, of the pairs that failed.

    Raises:
        UserError: another process works in the folder; a model that cannot be had; a full disk.
    """
    with locked(folder):
        made, errors, counts = _Run(table, folder, tools, settings, stage).maps()
    ids = [str(value) for value in table.frame["pair_id"]]
    frame = table.frame.drop(columns=[name for name in OWN if name in table.frame])
    if KEPT in frame:  # a table that was labelled before
        frame = frame.drop(columns="map", errors="ignore")
    elif "map" in frame:
        frame = frame.rename(columns={"map": KEPT})
    for column in ("reference", "candidate", KEPT):
        if column in frame:
            frame[column] = [rebased(str(path), table.root, out.parent) for path in frame[column]]
    rows = range(len(frame))
    frame = frame.assign(
        map=[relative(made[row].path, out.parent) if row in made else "" for row in rows],
        map_mean=[made[row].mean if row in made else float("nan") for row in rows],
        map_unknown=[made[row].unknown if row in made else float("nan") for row in rows],
        reference_captions=[counts[row][0] for row in rows],
        candidate_captions=[counts[row][1] for row in rows],
        map_note=[made[row].note if row in made else "" for row in rows],
        map_error=[errors.get(row, "") for row in rows],
    )
    write_pairs(PairTable(frame, out.parent, str(out)), out)
    return {ids[row]: errors[row] for row in sorted(errors)}


OWN = ("map_mean", "map_unknown", "reference_captions", "candidate_captions", "map_note", "map_error")


class _Run:
    """The stages over one table; a row that fails in one leaves the next ones alone."""

    def __init__(self, table: PairTable, folder: Path, tools: MapTools, settings: MapSettings, stage: Stage) -> None:
        self.table, self.folder, self.tools, self.settings, self.stage = table, folder, tools, settings, stage
        self.errors: dict[int, str] = {}

    def maps(self) -> tuple[dict[int, MapOutcome], dict[int, str], list[tuple[int, int]]]:
        """Outcome and error by row, and the numbers of captions of both sides of every row."""
        rows = self._pictures()
        segmenter = self.tools.segmenter
        regions = self._settled(
            self.folder,
            "regions",
            {"segmenter": segmenter.identity, "min_area": None if segmenter.final else self.settings.min_area}
            | {"version": segmenting.VERSION},
        )
        with self.stage("segment") as advance:
            faults = segment_pictures(_distinct(rows), regions, segmenter, self.settings.min_area, advance)
        segmenter.release()
        rows = self._without(rows, faults)
        captions = self._captions(rows, regions)
        rows = {row: pair for row, pair in rows.items() if row not in self.errors}
        embedder = self.tools.embedder
        with self.stage("embed") as advance:
            said = {text for pair in rows.values() for one in pair for text in captions[one.name].values()}
            texts = sorted(text for text in said if text.strip())
            vectors = embed_texts(embedder, texts, VectorCache(self.folder / "embeddings"), advance)
        embedded = dict(zip(texts, vectors, strict=True))
        maker = MapMaker(self.folder, regions, embedded, embedder, self.settings.map_format)
        pair_ids = [str(value) for value in self.table.frame["pair_id"]]
        made: dict[int, MapOutcome] = {}
        with self.stage("compare") as advance:
            for number, (row, (x, y)) in enumerate(rows.items(), start=1):
                try:
                    made[row] = maker.make(pair_ids[row], (x.name, y.name), (captions[x.name], captions[y.name]))
                except LabelError as error:
                    self.errors[row] = str(error)
                advance(number, len(rows))
        return made, self.errors, self._counts(rows, captions)

    def _pictures(self) -> dict[int, tuple[Picture, Picture]]:
        """Both pictures of every row that has two of one size."""
        sides = list(zip(self.table.paths("reference"), self.table.paths("candidate"), strict=True))
        with self.stage("read images") as advance:
            found, faults = catalogue([path for pair in sides for path in pair], images_file(self.folder), advance)
        rows = {}
        for row, (reference, candidate) in enumerate(sides):
            broken = [faults[path] for path in (reference, candidate) if path in faults]
            if broken:
                self.errors[row] = broken[0]
                continue
            x, y = found[reference], found[candidate]
            if x.size != y.size:
                self.errors[row] = (
                    f"reference is {x.size[0]}x{x.size[1]}, candidate {y.size[0]}x{y.size[1]}: a map needs images of one "
                    "size; bring the candidate to the reference's"
                )
                continue
            rows[row] = x, y
        return rows

    def _captions(self, rows: Mapping[int, tuple[Picture, Picture]], regions: Path) -> Captions:
        captioner, settings = self.tools.captioner, self.settings
        made_with = {"captioner": captioner.identity, "prompt": settings.prompt, "contour": settings.contour}
        file = regions / f"captions-{_key(made_with)}.jsonl"
        write_json(file.with_suffix(".json"), made_with)
        with self.stage("caption") as advance:
            captions, faults = caption_regions(
                _distinct(rows), regions, file, captioner, settings.prompt, settings.contour, advance
            )
        captioner.release()
        self._without(rows, faults)
        return captions

    def _without(
        self, rows: Mapping[int, tuple[Picture, Picture]], faults: Mapping[str, str]
    ) -> dict[int, tuple[Picture, Picture]]:
        kept = {}
        for row, pair in rows.items():
            broken = [one for one in pair if one.name in faults]
            if broken:
                self.errors[row] = f"{displayed(broken[0].path)}: {faults[broken[0].name]}"
            else:
                kept[row] = pair
        return kept

    def _counts(self, rows: Mapping[int, tuple[Picture, Picture]], captions: Captions) -> list[tuple[int, int]]:
        def count(one: Picture) -> int:
            return sum(1 for text in captions[one.name].values() if text.strip())

        none = (0, 0)
        return [(count(rows[row][0]), count(rows[row][1])) if row in rows else none for row in range(len(self.table))]

    @staticmethod
    def _settled(folder: Path, kind: str, made_with: Mapping[str, Any]) -> Path:
        """The folder of what is made with these settings, which stand in it."""
        path = folder / f"{kind}-{_key(made_with)}"
        write_json(path / "settings.json", made_with)
        return path


def _key(made_with: Mapping[str, Any]) -> str:
    return hashlib.blake2b(json.dumps(made_with, sort_keys=True).encode(), digest_size=6).hexdigest()


def _distinct(rows: Mapping[int, tuple[Picture, Picture]]) -> Sequence[Picture]:
    """Each picture once, in the table's order."""
    return list({one.name: one for pair in rows.values() for one in pair}.values())
