"""The contract of a text encoder."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


class TextEncoder:
    """Sentences in, unit-length vectors out; the cosine of two is their inner product.

    A subclass sets `dim` and `identity` and implements `_embed`. Equal sentences give equal vectors, to the bit within one
    call: each distinct sentence is embedded once.

    Attributes:
        dim: D of `embed`.
        identity: name and what determines the vectors; equal identities give equal vectors.
    """

    dim: int
    identity: str

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(N, D) float32, each row of length 1; a sentence without any word that counts gives a row of zeros."""
        if isinstance(texts, str):
            raise TypeError("embed takes a list of sentences, not one")
        distinct = sorted({*texts})
        if not distinct:
            return np.zeros((0, self.dim), dtype=np.float32)
        vectors = np.asarray(self._embed(distinct), dtype=np.float64)  # (distinct, D)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        unit = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
        row = {text: index for index, text in enumerate(distinct)}
        return np.ascontiguousarray(unit[[row[text] for text in texts]], dtype=np.float32)

    def _embed(self, texts: Sequence[str]) -> NDArray[np.floating]:
        """(N, D) of distinct, sorted sentences; any length."""
        raise NotImplementedError(f"{type(self).__name__} must implement _embed")
