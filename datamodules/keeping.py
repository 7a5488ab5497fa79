"""Datasets that may keep decoded images in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset


class KeepingDataset(Dataset[Any]):
    """Items by row, whose decoded images may be kept in memory."""

    def keep(self, rows: Sequence[int] | NDArray[np.int64]) -> None:
        """Decode the images of these rows, where they are kept and not there yet."""
        raise NotImplementedError(f"{type(self).__name__} must implement keep")
