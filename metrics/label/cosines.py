"""The pair step: cosines of many pairs that share few vectors."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

DIGITS = 6  # of a stored difference; below it, vectors of one content differ by who shared a pass with them
CELLS = 16_000_000  # of one product over all distinct vectors: 128 MB
ROWS = 65_536  # pairs at a time beyond it


def pair_differences(
    x: NDArray[np.floating], y: NDArray[np.floating], rows: NDArray[np.integer], columns: NDArray[np.integer]
) -> NDArray[np.float64]:
    """1 - cosine of x[rows] and y[columns], (P,), clipped to [0, 1], to six digits.

    One product of all distinct vectors, then looked up; where that is larger than the pairs are worth, pair by pair in blocks.

    Args:
        x: (N, D) unit rows, or rows of zeros, which have no direction: their pairs are NaN.
        y: (M, D) likewise.
        rows: (P,) places in x.
        columns: (P,) places in y.
    """
    if len(rows) == 0:
        return np.zeros(0)
    if len(x) * len(y) <= min(CELLS, 64 * len(rows)):
        cosines = (x.astype(np.float64) @ y.T.astype(np.float64))[rows, columns]
    else:
        blocks = [slice(start, start + ROWS) for start in range(0, len(rows), ROWS)]
        cosines = np.concatenate(
            [
                np.einsum("pd,pd->p", x[rows[block]].astype(np.float64), y[columns[block]].astype(np.float64))
                for block in blocks
            ]
        )
    found = np.round(np.clip(1.0 - cosines, 0.0, 1.0), DIGITS)
    known = np.any(x != 0, axis=1)[rows] & np.any(y != 0, axis=1)[columns]
    return np.where(known, found, np.nan)
