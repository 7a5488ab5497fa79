"""A finished run, as the tables need it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd


@dataclass(frozen=True)
class RunResult:
    """A finished run.

    Attributes:
        predictions: content of predictions.csv.
        path: of its folder.
        maps: whether its metrics of maps, where there are some, go into the table.
    """

    label: str
    seed: int
    predictions: pd.DataFrame
    leaky: bool
    learned: bool
    path: Path
    maps: bool = True

    @classmethod
    def read(cls, path: Path, label: str, seed: int, leaky: bool, learned: bool, maps: bool) -> RunResult:
        """The run of a folder that is done."""
        text = {"pair_id": str, "source_id": str, "origin": str}
        predictions = pd.read_csv(path / "predictions.csv", dtype=text, keep_default_na=False)
        return cls(label, seed, predictions, leaky, learned, path, maps)


def by_variant(finished: Sequence[RunResult]) -> dict[str, list[RunResult]]:
    """The runs of each variant, by seed; variants in the order of their first run."""
    found: dict[str, list[RunResult]] = {}
    for run in finished:
        found.setdefault(run.label, []).append(run)
    return {label: sorted(runs, key=lambda run: run.seed) for label, runs in found.items()}


def run_note(runs: Sequence[RunResult]) -> list[str]:
    """What the tables' last column says of a variant, in words."""
    notes = ["LEAKY"] if any(run.leaky for run in runs) else []
    return [*notes, *([] if runs[0].learned else ["training-free, uncalibrated"])]
