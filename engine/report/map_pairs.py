"""A table's pairs with their target maps, as the report shows them and as a trunk takes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from datamodules import PairDataModule
from engine.map_targets import Map, target_map
from engine.report.heatmaps import image_tensor
from engine.report.pictures import Pixels, thumbnail
from images import load_pixels


@dataclass(frozen=True)
class MapPair:
    """One pair.

    Attributes:
        name: of the reference; pairs of one reference share it.
        shown: reference and candidate, small: the whole pictures, or what of them the trunk sees.
        images: both as (1, 3, H, W) in [0, 1].
        target: (H, W), NaN where unknown.
    """

    name: str
    shown: tuple[Pixels, Pixels]
    images: tuple[Tensor, Tensor]
    target: Map


class MapPairs:
    """Pairs of a datamodule by their pair_id."""

    def __init__(self, data: PairDataModule) -> None:
        self.data = data
        names: Sequence[str] = data.table.frame["pair_id"].astype(str).tolist()
        self._row = {name: row for row, name in enumerate(names)}

    def __call__(self, pair_id: str) -> MapPair:
        """One pair.

        Raises:
            UserError: an image or a map that is missing or broken.
        """
        row, loader = self._row[pair_id], self.data.loader
        paths = self.data.dataset.reference[row], self.data.dataset.candidate[row]
        planes = [load_pixels(path, loader.image_size, loader.resize) for path in paths]
        whole = loader.resize in ("squash", "none")
        reference, candidate = (
            thumbnail(Path(path)) if whole else np.ascontiguousarray(pixels.transpose(1, 2, 0))
            for path, pixels in zip(paths, planes, strict=True)
        )
        x, y = (image_tensor(pixels) for pixels in planes)
        return MapPair(paths[0], (reference, candidate), (x, y), target_map(self.data, row))
