"""One drawing of train, val and test: photos in a random order that depends on names and seed only, cut by shares."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Sequence
from typing import TypeVar

import numpy as np

Name = TypeVar("Name", int, str)


def shuffled(names: Iterable[str], seed: int) -> list[str]:
    """The distinct names in a random order; one more name changes the whole order."""
    distinct = sorted(set(names))
    return [distinct[place] for place in np.random.default_rng(seed).permutation(len(distinct))]


def by_hash(names: Iterable[Name], seed: int) -> list[Name]:
    """The distinct names in a random order in which one more name moves no other; the order of built sets."""
    return sorted(set(names), key=lambda name: hashlib.sha256(f"{seed} {name}".encode()).digest())


def split_counts(total: int, val: float, test: float) -> tuple[int, int]:
    """How many of `total` go to test and to val: a positive share gets one at least, even where none is left for training."""
    of_test, of_val = (max(1, round(share * total)) if share > 0 else 0 for share in (test, val))
    return of_test, of_val


def cut(order: Sequence[Name], val: float, test: float) -> dict[Name, str]:
    """``test``, ``val`` or ``train`` of each name: the first ones are test, then val. One is left for training, always."""
    room = max(0, len(order) - 1)
    of_test, of_val = split_counts(len(order), val, test)
    of_test = min(room, of_test)
    of_val = min(room - of_test, of_val)
    return {
        name: "test" if place < of_test else "val" if place < of_test + of_val else "train"
        for place, name in enumerate(order)
    }


def split_by_hash(names: Iterable[Name], val: float, test: float, seed: int) -> dict[Name, str]:
    """A part for each name, in the order of `by_hash`; empty where no share is set."""
    return cut(by_hash(names, seed), val, test) if val or test else {}


def deal(name: str, val: float, test: float, seed: int) -> str:
    """``train``, ``val`` or ``test`` by one name alone: shares are kept on average, and more photos move none."""
    share = np.random.default_rng(np.random.SeedSequence([seed, zlib.crc32(name.encode()), 1])).random()
    return "test" if share < test else "val" if share < test + val else "train"
