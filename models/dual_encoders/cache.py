"""Vectors of pictures and sentences, kept on disk by content and tower."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.dual_encoders.contract import DualEncoder
from semfid.io.images import pixel_hash
from semfid.io.vector_cache import VectorCache, cached_rows, text_key
from semfid.progress import Advance

CHUNK = 4096  # sentences to a file
PASSES = 8  # passes of pictures to a file: as much as a killed run loses


def embed_images(tower: DualEncoder, images: Sequence[Image.Image], cache: VectorCache | None) -> NDArray[np.float32]:
    """(N, D) as `DualEncoder.embed_images`; a picture in the cache is not embedded again: its key is the pixels, not the file.

    Args:
        cache: such as ``VectorCache(vector_cache.EMBEDDINGS)``; None: nothing is kept.
    """
    return embed_pictures(tower, [pixel_hash(image) for image in images], lambda place: images[place], cache)


def embed_pictures(
    tower: DualEncoder,
    names: Sequence[str],
    read: Callable[[int], Image.Image],
    cache: VectorCache | None,
    advance: Advance | None = None,
) -> NDArray[np.float32]:
    """The same for pictures that are read as they are needed.

    Args:
        names: `images.pixel_hash` of each.
        read: the picture at a place of `names`.
    """
    return cached_rows(
        cache,
        f"{tower.identity}-images",
        [bytes.fromhex(name) for name in names],
        lambda places: tower.embed_images([read(place) for place in places]),
        tower.dim,
        tower.batch_size * PASSES,
        advance,
    )


def embed_texts(
    tower: DualEncoder, texts: Sequence[str], cache: VectorCache | None, advance: Advance | None = None
) -> NDArray[np.float32]:
    """(N, D) as `DualEncoder.embed_texts`; a sentence that the cache holds is not embedded again."""
    return cached_rows(
        cache,
        f"{tower.identity}-texts",
        [text_key(text) for text in texts],
        lambda places: tower.embed_texts([texts[place] for place in places]),
        tower.dim,
        CHUNK,
        advance,
    )
