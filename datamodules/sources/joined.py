"""Several sets of pairs as one table, such as ratings of two studies and edits with their own truth."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from datamodules.base import LoaderConfig, PairDataModule
from datamodules.sources.train_test import absolute_frame, check_pair_data, pair_data
from registry import DATAMODULES
from semfid.errors import UserError
from semfid.io.pair_table import PairTable, check_pairs


@DATAMODULES.register(
    "joined", summary="several sets of pairs as one: their pairs train and are tested together", shared=LoaderConfig
)
class JoinedData(PairDataModule):
    """The pairs of several datamodules under one split.

    The column ``origin`` is ``<set>`` where a set has none, else ``<set>: <its origin>``, so that figures stand per set. Pairs
    of one `source_id` are of one photo, whatever their set: a photo never stands on two sides of a split. Names of pairs get
    their set in front. Votes are kept where every pair has some.

    Args:
        sets: name -> a datamodule of pairs with its keywords, such as ``{ratings: {name: pairs, table: r.csv, scale: 4}}``.
        split: of all pairs together.
    """

    def __init__(
        self,
        sets: dict[str, Any],
        *,
        loader: LoaderConfig,
    ) -> None:
        super().__init__(loader)
        self.check({"sets": sets})
        self.sets = {name: pair_data(f"data.sets.{name}", given) for name, given in sets.items()}
        if len({data.one_size for data in self.sets.values()}) > 1:
            raise UserError("data.sets treat references of another size differently (sizes); set it alike")
        self.one_size = next(iter(self.sets.values())).one_size

    @classmethod
    def check(cls, keywords: Mapping[str, Any]) -> None:
        sets = keywords["sets"]
        if not isinstance(sets, Mapping) or not sets:
            raise UserError("data.sets must name at least one set: {ratings: {name: pairs, table: ratings.csv}}")
        for name, given in sets.items():
            check_pair_data(f"data.sets.{name}", given, cls, "data.split")

    def load_table(self) -> PairTable:
        frames, unchanged = [], set()
        for name, data in self.sets.items():
            table = data.load_table()
            if "difference" not in table.frame.columns:
                raise UserError(f"data.sets.{name}: {table.name} has no column difference; name its label in columns")
            self.notes += [f"{name}: {note}" for note in data.notes]
            unchanged |= {f"{name}:{pair}" for pair in data.unchanged}
            frames.append(_named_frame(name, table))
        frame = pd.concat(frames, ignore_index=True)
        for column in ("map", "bbox", "reference_origin"):
            if column in frame.columns:
                frame[column] = frame[column].fillna("")
        if "votes" in frame.columns and frame["votes"].isna().any():  # a weight of some pairs alone
            frame = frame.drop(columns=["yes_votes", "votes"])
        self.unchanged = unchanged
        self._join_readers(frame)
        return check_pairs(PairTable(frame, Path("/"), " and ".join(self.sets)))

    def _join_readers(self, frame: pd.DataFrame) -> None:
        """Maps are read as their set reads them; sets whose maps are judged each in its own way do not go together."""
        if "map" not in frame.columns:
            return
        readers = {data.read_map for name, data in self.sets.items() if _has_maps(frame, name)}
        if len(readers) > 1 or any(data.judge_map is not None for data in self.sets.values()):
            raise UserError(
                "data.sets: maps of several kinds of files do not go together; convert them to the pair table's"
            )
        if readers:
            self.read_map = readers.pop()


def _has_maps(frame: pd.DataFrame, name: str) -> bool:
    return bool((frame["map"][frame["pair_id"].str.startswith(f"{name}:")] != "").any())


def _named_frame(name: str, table: PairTable) -> pd.DataFrame:
    frame = absolute_frame(table).drop(columns=["split", "fold"], errors="ignore")
    own = frame["origin"].fillna("") if "origin" in frame.columns else pd.Series("", index=frame.index)
    origin = [f"{name}: {one}" if one else name for one in own]
    return frame.assign(pair_id=[f"{name}:{pair}" for pair in frame["pair_id"]], origin=origin)
