"""Which pairs train, which select, which are tested: one split, or k folds with pooled predictions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from semfid.errors import UserError, did_you_mean
from semfid.io.pair_table import SPLITS, Grouping, PairTable, assign_folds, assign_splits, read_frame

KEYS = ("by", "folds", "repeats", "val", "test", "seed", "file")


@dataclass(frozen=True)
class Part:
    """One training: rows (int64 indices into the table) to train on, to select on (may be empty), to predict."""

    index: int
    train: NDArray[np.int64]
    val: NDArray[np.int64]
    test: NDArray[np.int64]

    @property
    def known(self) -> NDArray[np.int64]:
        """Rows of train and val together, ascending: what a fit that selects nothing learns from."""
        return np.sort(np.concatenate([self.train, self.val]))


@dataclass(frozen=True)
class SplitConfig:
    """The YAML's ``data.split``.

    Attributes:
        by: ``source`` keeps all pairs of a photo on one side. ``row`` does not, and marks the run LEAKY.
        folds: None for one split; k for k folds, each tested once and predictions pooled; -1 leaves one source out.
        repeats: how often folds are drawn. Each repeat is a run of its own (`engine.config.expansion.expand` counts `seed` up),
            and tables give their mean and spread: what varies where a fit has no seed.
        val: share of the sources to select epochs on (with folds: of those left for training). 0: none.
        test: share of the sources to test on (without folds). 1: every pair, whatever columns the table brings; nothing is left
            to train on, which suits metrics that need no training.
        seed: of the split; apart from the run's seed, so that all seeds of a variant see the same split.
        file: a pair table, or CSV with pair_id and split or fold, to take the split from.
    """

    by: Grouping = "source"
    folds: int | None = None
    repeats: int = 1
    val: float = 0.1
    test: float = 0.2
    seed: int = 0
    file: str | None = None

    @classmethod
    def parse(cls, value: Mapping[str, Any] | None) -> SplitConfig:
        """Read the mapping of a YAML.

        Raises:
            UserError: an unknown key or a value of the wrong type.
        """
        value = value or {}
        for key, item in value.items():
            if key not in KEYS:
                raise UserError(
                    f"data.split has no key '{key}'{did_you_mean(str(key), KEYS)} (it takes: {', '.join(KEYS)})"
                )
            number = isinstance(item, (int, float)) and not isinstance(item, bool)
            fits = {
                "by": item in ("source", "row"),
                "folds": item is None or (isinstance(item, int) and not isinstance(item, bool)),
                "repeats": isinstance(item, int) and not isinstance(item, bool) and item >= 1,
                "val": number and 0 <= item < 1,
                "test": number and 0 < item <= 1,
                "seed": isinstance(item, int) and not isinstance(item, bool) and item >= 0,
                "file": item is None or isinstance(item, str),
            }[key]
            if not fits:
                wanted = {
                    "by": "source or row",
                    "folds": "a whole number >= 2, or -1",
                    "repeats": "a whole number >= 1",
                    "val": "a share in [0, 1)",
                    "test": "a share in (0, 1], 1 being all",
                    "seed": "a whole number >= 0",
                    "file": "a path",
                }[key]
                raise UserError(f"data.split.{key} is {item!r}; it must be {wanted}")
        config = cls(**value)
        if config.repeats > 1 and (config.folds in (None, -1) or config.file is not None):
            raise UserError(
                f"data.split.repeats is {config.repeats}: it draws folds several times; give data.split.folds >= 2 and no file, "
                "or remove it"
            )
        return config


def split_table(table: PairTable, config: SplitConfig) -> tuple[PairTable, list[Part]]:
    """Apply a split; the table that comes back has the column split or fold.

    A table that brings a column `fold` keeps it; one that brings `split` keeps that, unless the YAML asks for folds.
    """
    columns = table.frame.columns
    brought = "fold" in columns
    if config.test == 1 and config.folds is None and config.file is None:
        everything = table.frame.drop(columns=["fold"], errors="ignore").assign(split="test")
        none = np.arange(0)
        return table.with_frame(everything), [Part(0, none, none, np.arange(len(everything)))]
    if config.file is not None:
        table = _from_file(table, Path(config.file))
        columns = table.frame.columns
    elif config.folds is not None and "fold" not in columns:
        table = assign_folds(table, config.folds, config.seed, config.by)
    elif config.folds is None and "split" not in columns and "fold" not in columns:
        table = assign_splits(table, config.val, config.test, config.seed, config.by)
    if "fold" in table.frame.columns and (config.folds is not None or "split" not in table.frame.columns):
        return table, _fold_parts(table, config, brought)
    side = table.frame["split"].to_numpy()
    absent = [name for name in ("train", "test") if name not in side]
    if absent:
        raise UserError(f"{table.name}: no pair has split '{absent[0]}'; correct the column, or set data.split.folds")
    train, val, test = (np.flatnonzero(side == name) for name in SPLITS)
    return table, [Part(0, train, val, test)]


def _fold_parts(table: PairTable, config: SplitConfig, brought: bool) -> list[Part]:
    fold = table.frame["fold"].to_numpy()
    own = len(set(fold.tolist()))
    if config.folds not in (None, -1, own):
        raise UserError(
            f"data.split.folds is {config.folds}, but {table.name} has a column fold with {own} folds; remove one of the two"
        )
    if config.repeats > 1 and brought:
        raise UserError(
            f"data.split.repeats is {config.repeats}, but {table.name} has a column fold, which every repeat would take; remove "
            "one of the two"
        )
    groups = table.frame["source_id" if config.by == "source" else "pair_id"].to_numpy()
    parts = []
    for index, value in enumerate(sorted(set(fold.tolist()))):
        rest = np.flatnonzero(fold != value)
        names = np.array(sorted(set(groups[rest])))
        order = names[np.random.default_rng([config.seed, index]).permutation(len(names))]
        count = max(1, round(config.val * len(order))) if config.val > 0 else 0
        if count >= len(order):
            raise UserError(f"{table.name}: data.split.val={config.val:g} leaves no source to train on; set val: 0")
        held = np.isin(groups[rest], order[:count])
        parts.append(Part(index, rest[~held], rest[held], np.flatnonzero(fold == value)))
    return parts


def _from_file(table: PairTable, path: Path) -> PairTable:
    if not path.is_file():
        raise UserError(f"data.split.file: no file {path}")
    given = read_frame(path, ["pair_id", "split"], "data.split.file")
    column = "fold" if "fold" in given.columns else "split"
    if not {"pair_id", column} <= set(given.columns):
        raise UserError(f"data.split.file: {path} needs the columns pair_id and split (or fold)")
    pairs = given["pair_id"].str.strip()
    told = given[column].str.strip() if column == "split" else pd.to_numeric(given[column], errors="coerce")
    sides = dict(zip(pairs, told, strict=True))
    torn = [pair for pair, side in zip(pairs, told, strict=True) if side != sides[pair]]
    if torn:
        raise UserError(f"data.split.file: {path} gives pair {torn[0]!r} several or no {column}s; keep one row of it")
    missing = [pair for pair in table.frame["pair_id"] if pair not in sides]
    if missing:
        raise UserError(f"data.split.file: {path} has no row for pair {missing[0]!r} ({len(missing)} pairs)")
    frame = table.frame.drop(columns=["split", "fold"], errors="ignore")
    return table.with_frame(frame.assign(**{column: [sides[pair] for pair in frame["pair_id"]]}))
