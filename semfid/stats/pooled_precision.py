"""Average precision over all pixels of all images together, in memory that does not grow with them.

A mean over images cannot count false alarms on images where nothing changed; here every pixel is one item of one ranking.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from semfid.stats.maps import CHANGED, known_pixels

LEVELS = 1 << 16


class PooledPrecision:
    """Counts of changed and unchanged pixels per level of the prediction.

    There are 65,536 levels on [0, 1] (predictions are cut to it), evenly spaced in arcsin(sqrt(p)): finest near 0 and near 1,
    where predictions crowd (1e-9), and 2.4e-5 apart at 0.5. Predictions of one level are tied. Against an exact ranking the
    metric moves by less than 1e-3 where predictions spread over [0, 1], by about 1e-3 where all lie below 0.001.
    """

    def __init__(self) -> None:
        self.counts = np.zeros((LEVELS, 2), dtype=np.int64)  # unchanged, changed

    def add(self, predicted: npt.ArrayLike, target: npt.ArrayLike) -> None:
        """Count the pixels of an image, or of several.

        Args:
            predicted: as `semfid.stats.maps.map_metrics`.
            target: like `predicted`.

        Raises:
            ValueError: as there.
        """
        p, t = known_pixels(predicted, target)
        angle = np.arcsin(np.sqrt(np.clip(p, 0.0, 1.0, dtype=np.float64)))
        level = (angle * ((LEVELS - 1) * 2 / np.pi) + 0.5).astype(np.intp)
        cell = 2 * level + (t >= CHANGED)
        self.counts += np.bincount(cell, minlength=2 * LEVELS).reshape(LEVELS, 2)

    def merge(self, other: PooledPrecision) -> None:
        """Add what another one has counted."""
        self.counts += other.counts

    @property
    def value(self) -> float:
        """Average precision as scikit-learn defines it; nan where no pixel is changed, or every one."""
        below = np.flatnonzero(self.counts.any(axis=1))[::-1]  # levels that occur, largest first
        unchanged, changed = self.counts[below].T
        if changed.sum() == 0 or unchanged.sum() == 0:
            return float("nan")
        found = np.cumsum(changed)
        precision = found / (found + np.cumsum(unchanged))
        return float(np.sum(changed * precision) / found[-1])
