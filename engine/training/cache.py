"""Statistics of frozen trunks, on disk.

One entry is one statistic of one pair (or image), keyed by what determines it: the trunk's weights, the preprocessing,
the arithmetic, the statistic's kind, and the bytes of the image files.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from semfid.io.vector_cache import VectorCache


@dataclass(frozen=True)
class CacheKey:
    """Everything but the images that an entry depends on.

    Attributes:
        trunk: `Backbone.identity`.
        preprocessing: decoding and resizing.
        precision: arithmetic of the trunk.
        statistic: kind, taps, normalisation and pooling.
    """

    trunk: str
    preprocessing: str
    precision: str
    statistic: str

    def folder(self) -> str:
        parts = (self.trunk, f"{self.preprocessing}-{self.precision}", self.statistic)
        return "/".join(re.sub(r"[^A-Za-z0-9._-]", "_", part) for part in parts)


class StatisticsCache:
    """A `VectorCache` with one folder per key.

    Args:
        root: folder of the cache.
        max_bytes: the least recently used chunks are removed beyond it.
    """

    def __init__(self, root: Path, max_bytes: int) -> None:
        self.root = root
        self._vectors = VectorCache(root, max_bytes)

    def lookup(self, key: CacheKey, entries: Sequence[bytes]) -> tuple[np.ndarray, Tensor | None]:
        """What is there of the entries; see `VectorCache.lookup`."""
        return self._vectors.lookup(key.folder(), entries)

    def add(self, key: CacheKey, entries: Sequence[bytes], values: Tensor) -> None:
        """Store entries as one chunk, then keep to the size limit.

        Raises:
            UserError: the disk is full.
        """
        self._vectors.add(key.folder(), entries, values)

    def filling(self, key: CacheKey) -> AbstractContextManager[None]:
        """Hold the right to fill a key; see `VectorCache.filling`."""
        return self._vectors.filling(key.folder())
