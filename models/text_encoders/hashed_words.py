"""Words and word pairs, hashed: needs no model and no download."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from models.text_encoders.contract import TextEncoder
from registry import TEXT_ENCODERS
from semfid.errors import UserError

_WORD = re.compile(r"[^\W_]+")


@TEXT_ENCODERS.register(
    "hashed_words",
    summary="words and word pairs hashed to signed dimensions; no model, no download",
    source="feature hashing, Weinberger et al. 2009, arXiv 0902.2206",
)
class HashedWords(TextEncoder):
    """Each word, and each pair of neighbours, adds +1 or -1 to one of `dim` dimensions, chosen by a fixed hash.

    Knows no synonyms: sentences are alike as far as they share words. Repeated words count with the root of their number.

    Args:
        dim: dimensions; with few of them, different words collide.
        pairs: count neighbouring words too ("red car" is then not "red" and "car" of other things).
    """

    def __init__(self, dim: int = 512, pairs: bool = True) -> None:
        if dim < 8:
            raise UserError(f"text encoder: hashed_words needs dim >= 8, not {dim}")
        self.dim, self.pairs = dim, pairs
        self.identity = f"hashed_words-1-{dim}-{'pairs' if pairs else 'words'}"

    def _embed(self, texts: Sequence[str]) -> NDArray[np.floating]:
        vectors = np.zeros((len(texts), self.dim))
        for row, text in enumerate(texts):
            counts: dict[str, int] = {}
            for term in terms(text, self.pairs):
                counts[term] = counts.get(term, 0) + 1
            for term, count in counts.items():
                place, sign = _place(term, self.dim)
                vectors[row, place] += sign * count**0.5
        return vectors


def terms(text: str, pairs: bool) -> list[str]:
    """Lower-case words of a sentence and, with `pairs`, neighbouring words joined by a space."""
    words = _WORD.findall(text.casefold())
    return words + ([f"{a} {b}" for a, b in pairwise(words)] if pairs else [])


def _place(term: str, dim: int) -> tuple[int, float]:
    number = int.from_bytes(hashlib.blake2b(term.encode(), digest_size=8).digest(), "little")
    return (number >> 1) % dim, 1.0 if number & 1 else -1.0
