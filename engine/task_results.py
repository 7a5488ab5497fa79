"""The table of an experiment whose variants train on single images: their figures, mean and spread over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine.config import Variant
from engine.run_folder import RunFolder
from evaluation import Cell, Column, to_csv, to_markdown
from evaluation.tables import Row
from pairs import write_atomically


@dataclass(frozen=True)
class TaskResults:
    """One row per variant, in the order of the sweep."""

    rows: list[Row]
    columns: list[Column]

    @property
    def screen(self) -> str:
        return to_markdown(self.rows, self.columns)


def compare_tasks(finished: Sequence[tuple[Variant, RunFolder]]) -> TaskResults:
    """Figures of finished runs, averaged over seeds; a figure that a variant does not have is empty."""
    by_label: dict[str, list[dict[str, float | None]]] = {}
    images: dict[str, int] = {}
    for variant, folder in finished:
        metrics = folder.read_json("metrics.json")
        by_label.setdefault(variant.label, []).append(metrics["figures"])
        images[variant.label] = int(metrics["images"])
    names = list(dict.fromkeys(name for runs in by_label.values() for run in runs for name in run))
    rows: list[Row] = []
    for label, runs in by_label.items():
        row: dict[str, Any] = {"variant": label, "images": images[label], "seeds": len(runs)}
        for name in names:
            values = np.array([np.nan if run.get(name) is None else run[name] for run in runs], dtype=float)
            row[name] = Cell(float(values.mean()), note="-")
            row[f"{name}_std"] = Cell(float(values.std(ddof=1)) if len(runs) > 1 else float("nan"), note="-")
        rows.append(row)
    columns = [Column("variant", "variant"), Column("images", "images"), Column("seeds", "seeds")]
    for name in names:
        columns += [Column(name, name, digits=4), Column(f"{name}_std", "± seeds", digits=4)]
    return TaskResults(rows, columns)


def write_task_results(results: TaskResults, folder: Path) -> None:
    """``results.csv`` and ``results.md``."""
    write_atomically(folder / "results.csv", to_csv(results.rows, results.columns).encode())
    write_atomically(folder / "results.md", f"{results.screen}\n".encode())
