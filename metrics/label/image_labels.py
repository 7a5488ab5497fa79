"""Labels of whole images: captions, and the metrics `c2c`, `c2i` and `i2i` of each pair of a table.

Differences are in [0, 1]; a pair of two images with equal pixels gets exactly 0. Each distinct image is captioned once, and each
distinct image or caption embedded once, however many pairs hold it; finished work is kept in the cache.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from metrics.captions import PROMPT as PROMPT
from metrics.captions import SIDES, embed_captions
from metrics.label.tables import displayed
from models.captioners import Captioner
from models.captioners.cache import CaptionCache, caption_pictures
from models.dual_encoders import DualEncoder
from models.dual_encoders.cache import embed_pictures
from models.image_index import Picture, catalogue, images_cache
from models.text_encoders import TextEncoder
from semfid.cosine import cosine_difference
from semfid.errors import UserError
from semfid.io.images import read_image
from semfid.io.pair_table import PairTable
from semfid.io.vector_cache import VectorCache
from semfid.progress import Stage

Kind = Literal["captions", "c2c", "c2i", "i2i"]
Vectors = Mapping[str, NDArray[np.float32]]
CAPTIONS = ("caption_reference", "caption_candidate")
DIGITS = 6  # of a stored difference; below it, vectors of one content differ by what shared a pass with them
PAIRS = 8192  # at a time


@dataclass(frozen=True)
class Tools:
    """The models; those that a kind of label does not need are None. Without a captioner the table's captions are taken."""

    captioner: Captioner | None = None
    embedder: TextEncoder | None = None
    tower: DualEncoder | None = None


@dataclass(frozen=True)
class Caches:
    """Where finished work is kept, below one folder that any number of processes share."""

    root: Path

    @property
    def captions(self) -> CaptionCache:
        return CaptionCache(self.root / "captions")

    @property
    def vectors(self) -> VectorCache:
        return VectorCache(self.root / "embeddings")

    @property
    def images(self) -> Path:
        return self.root / "images"


@dataclass
class Labels:
    """What was found for the rows of a table.

    Attributes:
        columns: name to a value per row; "" and NaN where there is none.
        errors: row to reason, of the rows that have an image that cannot be read or captioned.
        warnings: what a user should know, in sentences.
    """

    columns: dict[str, list[str] | list[float]] = field(default_factory=dict)
    errors: dict[int, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Job:
    """A table, which picture each side of its rows shows, and what the stages share."""

    table: PairTable
    rows: Sequence[tuple[Picture | None, Picture | None]]
    tools: Tools
    prompt: str
    caches: Caches
    stage: Stage
    labels: Labels

    def pictures(self, sides: Sequence[int]) -> list[Picture]:
        """The distinct pictures of these sides, in the table's order."""
        return list({one.name: one for pair in self.rows for side in sides if (one := pair[side])}.values())

    def names(self, side: int) -> list[str]:
        """The picture of each row; "" where it cannot be read."""
        return [one.name if (one := pair[side]) else "" for pair in self.rows]


def label_images(table: PairTable, kind: Kind, tools: Tools, prompt: str, caches: Caches, stage: Stage) -> Labels:
    """Labels of all rows of a table.

    Raises:
        UserError: a model that is missing or cannot be loaded; a full disk; captions are to come from the table and it has none.
    """
    labels = Labels()
    job = _Job(table, _read(table, caches.images, labels, stage), tools, prompt, caches, stage, labels)
    described = SIDES.get(kind, ("caption", "caption"))
    captioned = [side for side in (0, 1) if described[side] == "caption"]
    keys = {side: job.names(side) for side in (0, 1)} | (_captions(job, captioned) if captioned else {})
    if kind == "captions":
        return labels
    vectors: dict[str, Vectors] = {}
    if captioned:
        texts = {text for side in captioned for text in keys[side] if text}
        vectors["caption"] = _caption_vectors(job, sorted(texts), tools.embedder if kind == "c2c" else tools.tower)
    if "image" in described:
        vectors["image"] = _image_vectors(job, [side for side in (0, 1) if described[side] == "image"])
    found = pair_differences([vectors[by] for by in described], [keys[0], keys[1]])
    for row, (a, b) in enumerate(job.rows):
        if row in labels.errors:
            found[row] = np.nan
        elif a is not None and b is not None and a.name == b.name:
            found[row] = 0.0
    labels.columns[kind] = found.tolist()
    return labels


def pair_differences(vectors: Sequence[Vectors], keys: Sequence[Sequence[str]]) -> NDArray[np.float64]:
    """1 - cosine of each pair, (P,), to six digits; NaN where a side has no vector, or one of zeros.

    Args:
        vectors: (D,) by key, of both sides.
        keys: P of each side.
    """
    found = np.full(len(keys[0]), np.nan)
    usable = [{key for key, vector in of.items() if vector.any()} for of in vectors]
    known = [row for row, (a, b) in enumerate(zip(*keys, strict=True)) if a in usable[0] and b in usable[1]]
    for start in range(0, len(known), PAIRS):
        rows = known[start : start + PAIRS]
        x, y = (
            torch.from_numpy(np.stack([of[side[row]] for row in rows])) for of, side in zip(vectors, keys, strict=True)
        )
        found[rows] = cosine_difference(x, y).numpy().round(DIGITS)
    return found


def _read(table: PairTable, folder: Path, labels: Labels, stage: Stage) -> list[tuple[Picture | None, Picture | None]]:
    """Which picture each path shows; a row with an image that cannot be read is an error."""
    sides = list(zip(table.paths("reference"), table.paths("candidate"), strict=True))
    with stage("read images") as advance:
        found, faults = catalogue([path for pair in sides for path in pair], images_cache(folder), advance)
    for row, pair in enumerate(sides):
        for path in pair:
            if path in faults:
                labels.errors.setdefault(row, faults[path])
    return [(found.get(a), found.get(b)) for a, b in sides]


def _captions(job: _Job, sides: Sequence[int]) -> dict[int, list[str]]:
    """A caption per row of each side, made or taken from the table; "" where there is none."""
    if job.tools.captioner is None:
        texts = {side: _captions_of_table(job.table, CAPTIONS[side]) for side in sides}
    else:
        texts = _made_captions(job, job.tools.captioner, sides)
    job.labels.columns |= {CAPTIONS[side]: list(column) for side, column in texts.items()}
    empty = {
        name
        for side, column in texts.items()
        for row, (name, text) in enumerate(zip(job.names(side), column, strict=True))
        if name and not text and row not in job.labels.errors
    }
    if empty:
        job.labels.warnings.append(
            f"{len(empty)} of {len(job.pictures(sides))} images have an empty caption: their pairs get no difference"
        )
    return texts


def _captions_of_table(table: PairTable, column: str) -> list[str]:
    if column not in table.frame:
        raise UserError(
            f"{table.name} has no column {column}; `semfid label captions` makes it, or leave captions=table out"
        )
    return [text.strip() if isinstance(text, str) else "" for text in table.frame[column]]


def _made_captions(job: _Job, captioner: Captioner, sides: Sequence[int]) -> dict[int, list[str]]:
    pictures = job.pictures(sides)
    names, paths = [one.name for one in pictures], [one.path for one in pictures]
    with job.stage("caption") as advance:
        found, faults = caption_pictures(
            captioner, names, lambda place: read_image(paths[place]), job.prompt, job.caches.captions, advance
        )
    captioner.release()
    for side in sides:
        for row, pair in enumerate(job.rows):
            one = pair[side]
            if one is not None and one.name in faults:
                job.labels.errors.setdefault(row, f"{displayed(one.path)}: {faults[one.name]}")
    return {side: [found.get(name, "") for name in job.names(side)] for side in sides}


def _caption_vectors(job: _Job, captions: Sequence[str], encoder: TextEncoder | DualEncoder | None) -> Vectors:
    """The vector of each distinct caption."""
    if encoder is None:
        raise UserError("the label needs an embedder (c2c) or a tower (c2i)")
    with job.stage("embed captions") as advance:
        vectors, cut = embed_captions(encoder, captions, job.caches.vectors, advance)
    if cut:
        job.labels.warnings.append(
            f"{len(cut)} of {len(captions)} captions are longer than the text tower reads and count as far as it reads, such "
            f"as {cut[0][:60]!r}...; a smaller captioner.max_new_tokens keeps them short"
        )
    lost = [text for text, vector in zip(captions, vectors, strict=True) if not vector.any()]
    if lost:
        job.labels.warnings.append(
            f"{len(lost)} of {len(captions)} captions hold no word that the model knows, such as {lost[0][:60]!r}: their "
            "pairs get no difference"
        )
    return dict(zip(captions, vectors, strict=True))


def _image_vectors(job: _Job, sides: Sequence[int]) -> Vectors:
    """The vector of each distinct picture, by its name."""
    tower = job.tools.tower
    if tower is None:
        raise UserError("the label needs a tower")
    pictures = job.pictures(sides)
    names, paths = [one.name for one in pictures], [one.path for one in pictures]
    with job.stage("embed images") as advance:
        vectors = embed_pictures(tower, names, lambda place: read_image(paths[place]), job.caches.vectors, advance)
    tower.release()
    return dict(zip(names, vectors, strict=True))
