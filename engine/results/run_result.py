"""A finished run, as the tables need it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd


@dataclass(frozen=True)
class Finished:
    """A finished run.

    Attributes:
        predictions: content of predictions.csv.
        path: of its folder.
        maps: whether its figures of maps, where there are some, go into the table.
    """

    label: str
    seed: int
    predictions: pd.DataFrame
    leaky: bool
    learned: bool
    path: Path
    maps: bool = True


def by_variant(finished: Sequence[Finished]) -> dict[str, list[Finished]]:
    """The runs of each variant, by seed; variants in the order of their first run."""
    found: dict[str, list[Finished]] = {}
    for run in finished:
        found.setdefault(run.label, []).append(run)
    return {label: sorted(runs, key=lambda run: run.seed) for label, runs in found.items()}


def run_note(runs: Sequence[Finished]) -> list[str]:
    """What the tables' last column says of a variant, in words."""
    notes = ["LEAKY"] if any(run.leaky for run in runs) else []
    return [*notes, *([] if runs[0].learned else ["training-free, uncalibrated"])]
