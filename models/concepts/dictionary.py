"""A vocabulary's text embeddings in one tower, centred: the directions that embeddings are decomposed into."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.concepts.vocabulary import Vocabulary
from semfid.errors import UserError
from semfid.io.vector_cache import EMBEDDINGS, VectorCache, cached_rows, text_key
from semfid.progress import Advance

CHUNK = 4096  # words to a cache file
SAME = 1e-5  # words whose unit vectors lie closer are one to the tower


class ConceptEncoder(Protocol):
    """What is needed of a dual encoder; every `models.dual_encoders.DualEncoder` has it."""

    @property
    def identity(self) -> str: ...

    @property
    def dim(self) -> int: ...

    @property
    def device(self) -> str: ...

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]: ...

    def embed_images(self, images: Sequence[Image.Image]) -> NDArray[np.float32]: ...


@dataclass(frozen=True)
class Dictionary:
    """Words and their directions.

    Attributes:
        tower: identity of the tower that embedded them.
        vocabulary: the list's name.
        words: K words, the rarest first.
        vectors: (K, d) float32, rows of length 1.
        silent: words left out because the tower gives them no direction at all.
        merged: words left out because the tower cannot tell them from a word that is kept.
    """

    tower: str
    vocabulary: str
    words: tuple[str, ...]
    vectors: NDArray[np.float32]
    silent: int = 0
    merged: int = 0

    def of(self, tower: ConceptEncoder) -> Dictionary:
        """Itself.

        Raises:
            UserError: it is of another tower.
        """
        if tower.identity != self.tower:
            raise UserError(
                f"splice: the dictionary '{self.vocabulary}' is of the tower {self.tower}, the embeddings of {tower.identity}; "
                "build it by that tower"
            )
        return self


def build_dictionary(
    tower: ConceptEncoder, vocabulary: Vocabulary, cache: Path | None = EMBEDDINGS, advance: Advance | None = None
) -> Dictionary:
    """Embed the words, take their mean away, bring them to length 1 again.

    Words without a direction (a tower that knows none of their letters) are left out, and of words whose vectors are equal
    only the most frequent stays: no solver could tell them apart.

    Args:
        cache: folder where each word's vector is kept by tower and word; None: nothing is kept.
        advance: told how many of the words that are not kept are done.

    Raises:
        UserError: fewer than 2 words with directions of their own; vectors that are not finite.
    """
    vectors = cached_rows(
        None if cache is None else VectorCache(cache),
        f"{tower.identity}-texts",
        [text_key(word) for word in vocabulary.words],
        lambda places: _embedded(tower, [vocabulary.words[place] for place in places]),
        tower.dim,
        CHUNK,
        advance,
    )
    unit = normalized(vectors)
    heard = np.flatnonzero(unit.any(axis=1))
    distinct = heard[_last_of_equals(unit[heard])]
    centred = (
        normalized(unit[distinct] - unit[distinct].mean(axis=0, dtype=np.float64)) if len(distinct) > 1 else unit[:0]
    )
    kept = distinct[centred.any(axis=1)] if len(distinct) > 1 else distinct[:0]
    if len(kept) < 2:
        raise UserError(
            f"splice: {tower.identity} tells {len(kept)} of the {len(vocabulary.words)} words of {vocabulary.name} apart; give a "
            "vocabulary that it knows"
        )
    return Dictionary(
        tower.identity,
        vocabulary.name,
        tuple(vocabulary.words[row] for row in kept),
        np.ascontiguousarray(centred[centred.any(axis=1)], dtype=np.float32),
        len(vocabulary.words) - len(heard),
        len(heard) - len(kept),
    )


def _embedded(tower: ConceptEncoder, words: Sequence[str]) -> NDArray[np.float32]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of words that it does not know: they are counted here
        return tower.embed_texts(words)


def normalized(vectors: NDArray[np.floating]) -> NDArray[np.float64]:
    """Rows of length 1; rows of next to no length become 0."""
    wide = np.asarray(vectors, dtype=np.float64)
    lengths = np.linalg.norm(wide, axis=-1, keepdims=True)
    return np.divide(wide, lengths, out=np.zeros_like(wide), where=lengths > 1e-9)


def _last_of_equals(unit: NDArray[np.float64]) -> NDArray[np.intp]:
    """Rows (sorted) without those that a later row equals but for rounding."""
    direction = np.random.default_rng(0).standard_normal(unit.shape[1])
    shadow = unit @ direction
    order = np.argsort(shadow, kind="stable")
    # rows that are equal cast shadows no farther apart than this: only within such stretches is there anything to compare
    breaks = np.flatnonzero(np.diff(shadow[order]) > SAME * np.linalg.norm(direction)) + 1
    kept = []
    for stretch in np.split(order, breaks):
        chosen: list[int] = []
        for row in np.sort(stretch)[::-1]:  # the latest first
            if not chosen or (np.linalg.norm(unit[chosen] - unit[row], axis=1) > SAME).all():
                chosen.append(int(row))
        kept += chosen
    return np.sort(np.array(kept, dtype=np.intp))
