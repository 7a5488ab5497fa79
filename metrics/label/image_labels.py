"""Labels of whole images: captions, and how much two images, or an image and a caption, differ in meaning.

c2c  1 - cosine of the embeddings of both images' captions
c2i  1 - cosine of the reference's caption and the candidate, in the space of an image-text tower
i2i  1 - cosine of both images in that space

All are clipped to [0, 1]; a pair of two images with equal pixels gets exactly 0. Each distinct image is captioned once, and each
distinct image or caption embedded once, however many pairs it stands in; what is done lies in the cache.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from metrics.label.cosines import pair_differences
from metrics.label.tables import shown
from models.captioners import Captioner
from models.captioners.cache import CaptionCache, caption_pictures
from models.dual_encoders import Tower
from models.dual_encoders.cache import embed_pictures
from models.dual_encoders.cache import embed_texts as embed_texts_by_tower
from models.image_index import Advance, Picture, catalogue, images_cache
from models.text_encoders import TextEmbedder
from models.text_encoders.cache import embed_texts
from semfid.errors import UserError
from semfid.io.images import read_image
from semfid.io.pair_table import PairTable
from semfid.io.vector_cache import VectorCache

Kind = Literal["captions", "c2c", "c2i", "i2i"]
Stage = Callable[[str], AbstractContextManager[Advance]]
PROMPT = "Describe this image."
CAPTIONS = ("caption_reference", "caption_candidate")


@dataclass(frozen=True)
class Tools:
    """The models; those that a kind of label does not need are None. Without a captioner the table's captions are taken."""

    captioner: Captioner | None = None
    embedder: TextEmbedder | None = None
    tower: Tower | None = None


@dataclass(frozen=True)
class Caches:
    """Where finished work lies, below one folder that any number of processes share."""

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
    """What was found of the rows of a table.

    Attributes:
        columns: name to a value per row; "" and NaN where there is none.
        errors: row to reason, of the rows that have an image that cannot be read or captioned.
        warnings: what a user should know, in sentences.
    """

    columns: dict[str, list[str] | list[float]] = field(default_factory=dict)
    errors: dict[int, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def label_images(table: PairTable, kind: Kind, tools: Tools, prompt: str, caches: Caches, stage: Stage) -> Labels:
    """Labels of all rows of a table.

    Raises:
        UserError: a model that cannot be had; a full disk; no captions in the table where they were to be taken from it.
    """
    run = _Run(table, tools, prompt, caches, stage)
    return {"captions": run.captions_alone, "c2c": run.c2c, "c2i": run.c2i, "i2i": run.i2i}[kind]()


class _Run:
    def __init__(self, table: PairTable, tools: Tools, prompt: str, caches: Caches, stage: Stage) -> None:
        self.table, self.tools, self.prompt, self.caches, self.stage = table, tools, prompt, caches, stage
        self.labels = Labels()
        self.sides: list[tuple[Picture | None, Picture | None]] = []

    def captions_alone(self) -> Labels:
        self._read()
        self._caption(both=True)
        return self.labels

    def c2c(self) -> Labels:
        embedder = self.tools.embedder
        assert embedder is not None
        self._read()
        x, y = self._caption(both=True)
        texts = sorted({text for text in (*x, *y) if text})
        with self.stage("embed captions") as advance:
            vectors = embed_texts(embedder, texts, self.caches.vectors, advance)
        self._warn_of_lost(texts, vectors)
        self._difference("c2c", vectors, vectors, _places(x, texts), _places(y, texts))
        return self.labels

    def c2i(self) -> Labels:
        tower = self.tools.tower
        assert tower is not None
        self._read()
        said, _ = self._caption(both=False)
        texts = sorted({text for text in said if text})
        with self.stage("embed captions") as advance:
            vectors = embed_texts_by_tower(tower, texts, self.caches.vectors, advance)
        cut = tower.cut(texts)
        if cut:
            self.labels.warnings.append(
                f"{len(cut)} of {len(texts)} captions are longer than the text tower reads and count as far as it reads, such "
                f"as {cut[0][:60]!r}...; a smaller captioner.max_new_tokens keeps them short"
            )
        self._warn_of_lost(texts, vectors)
        names, seen = self._embed_images([candidate for _, candidate in self.sides])
        self._difference("c2i", vectors, seen, _places(said, texts), _places(self._names(1), names))
        return self.labels

    def i2i(self) -> Labels:
        self._read()
        names, seen = self._embed_images([one for pair in self.sides for one in pair])
        self._difference("i2i", seen, seen, _places(self._names(0), names), _places(self._names(1), names))
        return self.labels

    def _read(self) -> None:
        """Which picture each path shows; a row with an image that cannot be read is an error."""
        sides = list(zip(self.table.paths("reference"), self.table.paths("candidate"), strict=True))
        with self.stage("read images") as advance:
            found, faults = catalogue(
                [path for pair in sides for path in pair], images_cache(self.caches.images), advance
            )
        for row, pair in enumerate(sides):
            for path in pair:
                if path in faults:
                    self.labels.errors.setdefault(row, faults[path])
        self.sides = [(found.get(a), found.get(b)) for a, b in sides]

    def _caption(self, both: bool) -> tuple[list[str], list[str]]:
        """Captions of the references, and of the candidates if `both`, as columns of the result."""
        if self.tools.captioner is None:
            texts = [self._own(column) if side == 0 or both else [] for side, column in enumerate(CAPTIONS)]
        else:
            texts = self._made(self.tools.captioner, both)
        pictures = {name for side in ((0, 1) if both else (0,)) for name in self._names(side) if name}
        empty = {
            self._names(side)[row]
            for side, column in enumerate(texts)
            for row, text in enumerate(column)
            if not text and self.sides[row][side] is not None and row not in self.labels.errors
        }
        for name, column in zip(CAPTIONS, texts, strict=True):
            if column:
                self.labels.columns[name] = list(column)
        if empty:
            self.labels.warnings.append(
                f"{len(empty)} of {len(pictures)} images have an empty caption: their pairs get no difference"
            )
        return texts[0], texts[1]

    def _own(self, column: str) -> list[str]:
        if column not in self.table.frame:
            raise UserError(
                f"{self.table.name} has no column {column}; `semfid label captions` makes it, or leave captions=table out"
            )
        return [text.strip() if isinstance(text, str) else "" for text in self.table.frame[column]]

    def _made(self, captioner: Captioner, both: bool) -> list[list[str]]:
        wanted = [one for pair in self.sides for one in (pair if both else pair[:1]) if one is not None]
        pictures = list({one.name: one for one in wanted}.values())
        with self.stage("caption") as advance:
            found, faults = caption_pictures(
                captioner,
                [one.name for one in pictures],
                lambda place: read_image(pictures[place].path),
                self.prompt,
                self.caches.captions,
                advance,
            )
        captioner.release()
        columns: list[list[str]] = []
        for side in (0, 1):
            if side == 1 and not both:
                columns.append([])
                continue
            column = []
            for row, pair in enumerate(self.sides):
                one = pair[side]
                if one is not None and one.name in faults:
                    self.labels.errors.setdefault(row, f"{shown(one.path)}: {faults[one.name]}")
                column.append(found.get(one.name, "") if one is not None else "")
            columns.append(column)
        return columns

    def _embed_images(self, wanted: Sequence[Picture | None]) -> tuple[list[str], NDArray[np.float32]]:
        """Names of the distinct pictures, and their vectors."""
        tower = self.tools.tower
        assert tower is not None
        pictures = list({one.name: one for one in wanted if one is not None}.values())
        names = [one.name for one in pictures]
        with self.stage("embed images") as advance:
            vectors = embed_pictures(
                tower, names, lambda place: read_image(pictures[place].path), self.caches.vectors, advance
            )
        tower.release()
        return names, vectors

    def _difference(
        self,
        name: str,
        x: NDArray[np.float32],
        y: NDArray[np.float32],
        rows: NDArray[np.int64],
        columns: NDArray[np.int64],
    ) -> None:
        """The column of differences; a place of -1 has no vector."""
        values = np.full(len(self.table), np.nan)
        fine = np.array([row not in self.labels.errors for row in range(len(self.table))], dtype=np.bool_)
        known = fine & (rows >= 0) & (columns >= 0)
        values[known] = pair_differences(x, y, rows[known], columns[known])
        equal = np.array([a is not None and b is not None and a.name == b.name for a, b in self.sides], dtype=np.bool_)
        values[fine & equal] = 0.0
        self.labels.columns[name] = [float(value) for value in values]

    def _warn_of_lost(self, texts: Sequence[str], vectors: NDArray[np.float32]) -> None:
        lost = [text for text, vector in zip(texts, vectors, strict=True) if not vector.any()]
        if lost:
            self.labels.warnings.append(
                f"{len(lost)} of {len(texts)} captions hold no word that the model knows, such as {lost[0][:60]!r}: their "
                "pairs get no difference"
            )

    def _names(self, side: int) -> list[str]:
        return [one.name if (one := pair[side]) is not None else "" for pair in self.sides]


def _places(values: Sequence[str], distinct: Sequence[str]) -> NDArray[np.int64]:
    """(len(values),) place of each in `distinct`; -1 where it is not there."""
    place: Mapping[str, int] = {value: number for number, value in enumerate(distinct)}
    return np.array([place.get(value, -1) for value in values], dtype=np.int64)
