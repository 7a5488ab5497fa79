"""Train on one set of pairs, test on another, such as pseudo-labels and people's judgements."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from datamodules.base import LoaderConfig, PairDataModule
from datamodules.files import hash_files
from datamodules.pair_dataset import JudgeMap, ReadMap
from registry import DATAMODULES, named
from semfid.errors import UserError
from semfid.io.listing import on_disk
from semfid.io.pair_table import OPTIONAL, REQUIRED, PairTable, assign_splits, check_pairs

KEPT = (*(column for column in (*REQUIRED, *OPTIONAL) if column not in ("split", "fold")), "reference_origin", "bbox")
SIDES = ("train", "test")


@DATAMODULES.register(
    "train_test", summary="trains on one set of pairs and tests on all pairs of another", shared=LoaderConfig
)
class TrainTestData(PairDataModule):
    """Two datamodules as one table: all pairs of `test` are tested, those of `train` train and select epochs.

    Args:
        train: a datamodule of pairs with its keywords, such as ``{name: pairs, table: sr.csv, columns: {difference: c2c}}``.
        test: another one, such as ``{name: user_study, answers: ...}``.
        on_overlap: what becomes of photos that stand on both sides, by source_id or by the bytes of the reference's file:
            ``refuse`` them, or ``drop`` their pairs from `train`.
        own_split: keep the column split of `train`: its pairs of split test are then left out, and those of val select epochs.
            false: all its pairs are used, whatever they are called there.
        split: ``{val, seed}``: the share of `train`'s sources that select epochs, where it brings no split of its own.

    Pairs of `train` without a label are left out. Labels, maps and images are read as each datamodule reads them; how images are
    resized and batched is said once, here. Names of training pairs that a test pair has too get ``train:`` in front.
    """

    def __init__(
        self,
        train: dict[str, Any],
        test: dict[str, Any],
        on_overlap: Literal["refuse", "drop"] = "refuse",
        own_split: bool = True,
        *,
        loader: LoaderConfig,
    ) -> None:
        super().__init__(loader)
        self.check({"train": train, "test": test, "split": loader.split})
        self.on_overlap, self.own_split = on_overlap, own_split
        self.train_data, self.test_data = pair_data("data.train", train), pair_data("data.test", test)
        if self.train_data.one_size != self.test_data.one_size:
            raise UserError("data: train and test treat references of another size differently (sizes); set it alike")
        self.one_size = self.train_data.one_size

    @classmethod
    def check(cls, keywords: Mapping[str, Any]) -> None:
        for side in SIDES:
            check_pair_data(f"data.{side}", keywords[side], cls, "val of data.split")
        for key in keywords.get("split") or {}:
            if key not in ("val", "seed"):
                raise UserError(
                    f"data.split.{key} has no meaning in train_test: data.test is tested; give val and seed only"
                )

    def load_table(self) -> PairTable:
        test, train = self.test_data.load_table(), self.train_data.load_table()
        train, kept = self._training_pairs(train, test)
        for side, data in zip(SIDES, (self.train_data, self.test_data), strict=True):
            self.notes += [f"{side}: {note}" for note in data.notes]
        for side, table in zip(SIDES, (train, test), strict=True):
            _check_side(side, table)
        names = set(test.frame["pair_id"])
        own = [f"train:{name}" if name in names else name for name in train.frame["pair_id"]]
        unchanged = {
            name for name, old in zip(own, train.frame["pair_id"], strict=True) if old in self.train_data.unchanged
        }
        self.unchanged = unchanged | set(self.test_data.unchanged)
        train = PairTable(train.frame.assign(pair_id=own), train.root, train.name)
        frames = [absolute_frame(train), absolute_frame(test).assign(split="test")]
        frame = pd.concat(frames, ignore_index=True)
        for column in ("map", "origin", "reference_origin", "bbox"):
            if column in frame.columns:
                frame[column] = frame[column].fillna("")
        self._divide_readers(frame, len(train), kept)
        return check_pairs(PairTable(frame, Path("/"), f"{train.name} and {test.name}"))

    def _training_pairs(self, train: PairTable, test: PairTable) -> tuple[PairTable, NDArray[np.int64]]:
        """Pairs to train and to select on, with the column split; and which rows of `train` they are."""
        own_split = self.own_split and "split" in train.frame.columns
        held = (train.frame["split"] == "test").to_numpy() if own_split else np.zeros(len(train), dtype=bool)
        if held.any():
            self.notes.append(f"train: {int(held.sum())} pairs left out for their split, test (data.own_split)")
        if "difference" in train.frame.columns:  # no label could be made of them; labelling said why
            unlabelled = train.frame["difference"].isna().to_numpy() & ~held
            if unlabelled.any():
                self.notes.append(f"train: {int(unlabelled.sum())} pairs left out, for they have no label")
            held = held | unlabelled
        shared = shared_photos(train, test)
        tested = train.frame["source_id"].isin(shared).to_numpy() & ~held
        if tested.any() and self.on_overlap == "refuse":
            photos = sorted(set(train.frame["source_id"][tested]))
            raise UserError(
                f"data: photo {photos[0]!r} of {train.name} is tested in {test.name} ({len(photos)} such photos); set "
                "data.on_overlap: drop to leave their pairs out of training"
            )
        if tested.any():
            photos = sorted(set(train.frame["source_id"][tested]))
            self.notes.append(f"train: {int(tested.sum())} pairs of {len(photos)} photos left out, for they are tested")
        kept = np.flatnonzero(~held & ~tested)
        frame = train.frame.iloc[kept].reset_index(drop=True)
        if not len(kept) or (own_split and not (frame["split"] == "train").any()):
            raise UserError(f"data: no pair of {train.name} is left to train on: {'; '.join(self.notes)}")
        if not own_split:
            bare = PairTable(frame.drop(columns=["split", "fold"], errors="ignore"), train.root, train.name)
            frame = assign_splits(bare, self.split.val, 0.0, self.split.seed).frame
        return PairTable(frame, train.root, train.name), kept

    def _divide_readers(self, frame: pd.DataFrame, trained: int, kept: NDArray[np.int64]) -> None:
        """Maps are read, and judged, as the datamodule of their side does."""
        maps = frame["map"] if "map" in frame.columns else pd.Series("", index=frame.index)
        of_test = frozenset(maps.iloc[trained:]) - {""}
        if of_test & set(maps.iloc[:trained]):
            raise UserError("data: one map file stands in train and in test; a photo must be on one side only")
        self.read_map = SideReader(self.train_data.read_map, self.test_data.read_map, of_test)
        if self.train_data.judge_map is not None or self.test_data.judge_map is not None:
            rows = tuple(int(row) for row in kept)
            self.judge_map = SideJudge(self.train_data.judge_map, self.test_data.judge_map, rows)


@dataclass(frozen=True)
class SideReader:
    """Reads a map as the datamodule of its side does.

    Attributes:
        test_files: paths of the test pairs' maps.
    """

    train: ReadMap
    test: ReadMap
    test_files: frozenset[str]

    def __call__(self, path: str) -> NDArray[np.float32]:
        return (self.test if path in self.test_files else self.train)(path)


@dataclass(frozen=True)
class SideJudge:
    """Judges the map of a row as the datamodule of its side does.

    Attributes:
        rows: of the training pairs, in the table of their own datamodule; test pairs follow them.
    """

    train: JudgeMap | None
    test: JudgeMap | None
    rows: tuple[int, ...]

    def __call__(self, row: int, values: NDArray[np.float32]) -> str | None:
        if row < len(self.rows):
            return None if self.train is None else self.train(self.rows[row], values)
        return None if self.test is None else self.test(row - len(self.rows), values)


def shared_photos(train: PairTable, test: PairTable) -> set[str]:
    """source_ids of `train` whose photo stands in `test` too: by name, or by the bytes of the reference's file."""
    shared = set(train.frame["source_id"]) & set(test.frame["source_id"])
    by_size: list[dict[int, list[str]]] = []
    for table in (train, test):
        sizes: dict[int, list[str]] = {}
        for path in {str(path) for path in table.paths("reference")}:
            if Path(path).is_file():  # a missing image is named when all are hashed
                sizes.setdefault(Path(path).stat().st_size, []).append(path)
        by_size.append(sizes)
    alike = by_size[0].keys() & by_size[1].keys()  # only files of one size can be equal
    digests = hash_files(path for sizes in by_size for size in alike for path in sizes[size])
    tested = {digests[path] for size in alike for path in by_size[1][size]}
    for source, reference in zip(train.frame["source_id"], train.paths("reference"), strict=True):
        if digests.get(str(reference)) in tested:
            shared.add(str(source))
    return shared


def check_pair_data(where: str, given: Any, outer: type[PairDataModule], split: str) -> None:
    """Check the datamodule of pairs that stands at a key of another one, before it is built.

    Args:
        where: the key, such as ``data.train``.
        given: its name and keywords.
        outer: the other one, which cannot stand inside itself.
        split: where its split is said instead.

    Raises:
        UserError: it gives no pairs, or a keyword that it cannot have there; names the key.
    """
    DATAMODULES.check_named(given, where)
    name, own = named(given, where)
    for field in fields(LoaderConfig):
        if field.name in own:
            mine = split if field.name == "split" else f"data.{field.name}"
            raise UserError(f"{where}.{field.name} has no effect; remove it and set {mine}")
    factory: Any = DATAMODULES.get(name).factory
    if not (isinstance(factory, type) and issubclass(factory, PairDataModule)):
        raise UserError(f"{where}: datamodule '{name}' gives no pairs; use pairs, sr_outputs or user_study")
    if issubclass(factory, outer):
        raise UserError(f"{where}: {name} cannot stand inside itself; give its sets here, each by itself")
    factory.check(own)


def pair_data(where: str, given: Mapping[str, Any]) -> PairDataModule:
    """The datamodule of pairs that stands at a key of another one.

    Args:
        where: the key, such as ``data.train``.

    Raises:
        UserError: it gives no pairs, or whatever is wrong with its keywords.
    """
    name, keywords = named(given, where)
    data = DATAMODULES.build(name, **keywords)
    if not isinstance(data, PairDataModule):
        raise UserError(f"{where}: datamodule '{name}' is not a datamodules.PairDataModule")
    return data


def _check_side(side: str, table: PairTable) -> None:
    if "difference" not in table.frame.columns:
        raise UserError(f"data.{side}: {table.name} has no column difference; label it, or name its label in columns")
    labels = table.frame["difference"]
    if labels.nunique() == 1 and not labels.isna().any():
        raise UserError(
            f"data.{side}: every difference of {table.name} is {labels.iloc[0]:g}; constant labels can neither train nor rank"
        )


def absolute_frame(table: PairTable) -> pd.DataFrame:
    """The columns that this project knows, with absolute paths."""
    columns = [column for column in (*KEPT, "split") if column in table.frame.columns]
    frame = table.frame[columns].copy()
    for column in ("reference", "candidate"):
        frame[column] = [str(path.resolve()) for path in table.paths(column)]
    if "map" in frame.columns:
        frame["map"] = [
            str(on_disk(table.root / path).resolve()) if isinstance(path, str) and path.strip() else ""
            for path in frame["map"]
        ]
    return frame
