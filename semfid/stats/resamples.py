"""Resamples of sources, drawn once and shared by every variant.

Pairs that come from one photo are not independent, so sources are drawn, not pairs (cluster bootstrap: Davison &
Hinkley, "Bootstrap Methods and their Application" (1997), section 3.8; Field & Welsh, JRSS B 69 (2007)).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from semfid.stats.arrays import StrArray, text_vector
from semfid.stats.metrics import Names


@dataclass(frozen=True)
class Resamples:
    """How often each source occurs in each resample.

    Build it with `draw`. One object serves every variant on the same rows: that is what pairs the comparisons.

    Attributes:
        sources: (n_sources,) str, sorted by name.
        row_source: (n_rows,) index into `sources`.
        multiplicity: (n_resamples, n_sources) uint16; every row of it adds up to n_sources.
    """

    sources: StrArray
    row_source: npt.NDArray[np.intp]
    multiplicity: npt.NDArray[np.uint16]

    @classmethod
    def draw(cls, source_id: Names, n: int = 1000, seed: int = 0) -> Resamples:
        """Draw n resamples of the sources with replacement.

        The draw depends on the set of source names, on n and on the seed; not on the order or the number of rows.

        Args:
            source_id: (n_rows,) str.
            n: resamples, at least 1.
            seed: of numpy's PCG64.

        Raises:
            ValueError: no rows, or n < 1.
        """
        names = text_vector("source_id", source_id)
        if names.size == 0 or n < 1:
            raise ValueError(f"need at least one row and one resample, got {names.size} rows and n={n}")
        sources, row_source = np.unique(names, return_inverse=True)
        generator = np.random.default_rng(seed)
        multiplicity = np.empty((n, sources.size), dtype=np.uint16)
        for resample in range(n):
            drawn = generator.integers(0, sources.size, size=sources.size)
            multiplicity[resample] = np.bincount(drawn, minlength=sources.size)
        return cls(sources, row_source.astype(np.intp), multiplicity)

    @property
    def n(self) -> int:
        """Number of resamples."""
        return int(self.multiplicity.shape[0])
