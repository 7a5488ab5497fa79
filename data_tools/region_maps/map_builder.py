"""Fourth stage: every pair gets its map."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from data_tools.region_maps.difference_map import difference_map
from models.captioners.errors import LabelError
from models.segmenters.region_store import MapFormat, read_ids, write_map
from models.text_encoders import TextEncoder
from semfid.errors import UserError
from semfid.io.jsonl import JsonLines

VERSION = 1  # raise it when the same regions and captions give another map
_LONGEST_NAME = 120


@dataclass(frozen=True)
class MapOutcome:
    """A stored map.

    Attributes:
        path: of the map.
        mean: difference over the known pixels.
        unknown: share of the pixels that are not known.
        note: regions without a usable caption; empty when all have one.
    """

    path: Path
    mean: float
    unknown: float
    note: str


class MapMaker:
    """Makes maps, or finds them made.

    Args:
        folder: the work folder: maps go to ``maps/``, their figures to ``maps.jsonl``.
        regions: folder of the id maps.
        vectors: of all captions that are not blank.
        embedder: what made them.
    """

    def __init__(
        self,
        folder: Path,
        regions: Path,
        vectors: Mapping[str, NDArray[np.float32]],
        embedder: TextEncoder,
        form: MapFormat,
    ) -> None:
        self.folder, self.regions, self.vectors, self.embedder, self.form = folder, regions, vectors, embedder, form
        self._ledger = JsonLines(folder / "maps.jsonl")
        self._ledger.repair()
        try:
            self._done = {str(one["map"]): (float(one["mean"]), float(one["unknown"])) for one in self._ledger.read()}
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{self._ledger.path} is not what semfid wrote ({error!r}); remove it") from error

    def make(
        self, pair: str, names: tuple[str, str], captions: tuple[Mapping[int, str], Mapping[int, str]]
    ) -> MapOutcome:
        """The map of a pair.

        Args:
            names: of the reference's and the candidate's picture.
            captions: of their regions.

        Raises:
            LabelError: no pixel is known on both sides.
        """
        vectors = [self._vectors(of) for of in captions]
        note = "; ".join(
            text
            for side, of, found in zip(("reference", "candidate"), captions, vectors, strict=True)
            if (text := _unusable(side, of, found))
        )
        name = self._name(pair, names, captions)
        path = self.folder / "maps" / name
        if name not in self._done or not path.is_file():
            ids = [read_ids(self.regions / f"{one}.png") for one in names]
            values = difference_map(ids[0], ids[1], vectors[0], vectors[1])
            known = ~np.isnan(values)
            if not known.any():
                raise LabelError(
                    f"no pixel is known on both sides ({note or 'the regions of one lie on void of the other'})"
                )
            write_map(path, values, self.form)
            self._done[name] = float(values[known].mean(dtype=np.float64)), float(1 - known.mean())
            self._ledger.append([{"map": name, "mean": self._done[name][0], "unknown": self._done[name][1]}])
        return MapOutcome(path, *self._done[name], note)

    def _vectors(self, captions: Mapping[int, str]) -> NDArray[np.float32]:
        """(largest id, D); zeros where there is no region or no usable caption."""
        blank = np.zeros(self.embedder.dim, dtype=np.float32)
        return np.stack([self.vectors.get(captions.get(segment, ""), blank) for segment in range(1, max(captions) + 1)])

    def _name(self, pair: str, names: tuple[str, str], captions: tuple[Mapping[int, str], Mapping[int, str]]) -> str:
        """The pair's name and a hash of all that the map is made from: what has changed gets a new map."""
        made_from = [
            VERSION,
            names,
            [dict(of) for of in captions],
            self.regions.name,
            self.embedder.identity,
            self.form,
        ]
        digest = hashlib.blake2b(json.dumps(made_from, sort_keys=True).encode(), digest_size=6).hexdigest()
        return f"{quote(pair, safe=' ')[:_LONGEST_NAME]}-{digest}.{self.form}"


def _unusable(side: str, captions: Mapping[int, str], vectors: NDArray[np.float32]) -> str:
    empty = [segment for segment, text in captions.items() if not text.strip()]
    wordless = [segment for segment, text in captions.items() if text.strip() and not vectors[segment - 1].any()]
    parts = [
        f"{what} of region {', '.join(str(one) for one in which)}"
        for what, which in (("empty caption", empty), ("caption without a word that counts", wordless))
        if which
    ]
    return f"{side}: {' and '.join(parts)}" if parts else ""
