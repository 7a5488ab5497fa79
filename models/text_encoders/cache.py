"""Sentences' vectors, kept on disk by sentence and embedder."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.text_encoders.contract import TextEncoder
from semfid.io.vector_cache import VectorCache, cached_rows, text_key
from semfid.progress import Advance

CHUNK = 4096  # sentences to a file


def embed_texts(
    embedder: TextEncoder, texts: Sequence[str], cache: VectorCache | None, advance: Advance | None = None
) -> NDArray[np.float32]:
    """(N, D) as `TextEncoder.embed`; a sentence that the cache holds is not embedded again.

    Args:
        cache: such as ``VectorCache(vector_cache.EMBEDDINGS)``; None: nothing is kept.
    """
    return cached_rows(
        cache,
        embedder.identity,
        [text_key(text) for text in texts],
        lambda places: embedder.embed([texts[place] for place in places]),
        embedder.dim,
        CHUNK,
        advance,
    )
