"""A table's pairs with their target maps, as the report shows them and as a backbone takes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from datamodules import PairDataModule
from engine.report.pictures import Pixels, thumbnail
from engine.results.map_targets import Map, reference_name, target_pair


@dataclass(frozen=True)
class MapPair:
    """One pair.

    Attributes:
        name: of the reference; pairs of one reference share it.
        shown: reference and candidate, small: the whole pictures, or what of them the backbone sees.
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
        x, y, target = target_pair(self.data, row)
        seen = [_pixels(image) for image in (x, y)]
        if loader.resize in ("squash", "bounded", "none") and loader.object_crop is None and not self.data.one_size:
            paths = self.data.dataset.reference[row], self.data.dataset.candidate[row]
            seen = [thumbnail(Path(path)) for path in paths]
        return MapPair(reference_name(self.data, row), (seen[0], seen[1]), (x, y), target)


def _pixels(image: Tensor) -> Pixels:
    """(1, 3, H, W) in [0, 1] as (H, W, 3) uint8."""
    return np.asarray((image[0] * 255).round().byte().permute(1, 2, 0).contiguous().numpy())
