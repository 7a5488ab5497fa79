"""The table of an experiment whose variants train on single images: their metrics, mean and spread over seeds.

A metric that is the mean of a column of ``results.csv`` (one value per held-out image) also gets an interval over images, and
a line that compares each variant with the first one, image by image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from engine.config.expansion import Variant
from engine.config.sections import Evaluation
from engine.results.comparison import on_screen
from engine.runs.run_folder import RunFolder
from semfid.io.files import write_whole
from semfid.io.pair_table import read_frame
from semfid.stats import Cell, Column, Resamples, interval, to_csv
from semfid.stats.tables import Row, Value, cell_text

Values = NDArray[np.float64]


@dataclass(frozen=True)
class TaskResults:
    """One row per variant, in the order of the sweep.

    Attributes:
        notes: comparisons with the first variant, and how to read the table.
    """

    rows: list[Row]
    columns: list[Column]
    notes: list[str]

    @property
    def screen(self) -> str:
        return on_screen(self.rows, self.columns, self.notes)


def compare_tasks(finished: Sequence[tuple[Variant, RunFolder]], evaluation: Evaluation) -> TaskResults:
    """Metrics of finished runs, averaged over seeds; a metric that a variant does not have is empty.

    Args:
        evaluation: ``bootstraps`` and ``level`` of the intervals over images.
    """
    by_label: dict[str, list[RunFolder]] = {}
    for variant, folder in finished:
        by_label.setdefault(variant.label, []).append(folder)
    metrics = {label: [folder.image_metrics() for folder in folders] for label, folders in by_label.items()}
    names = list(dict.fromkeys(name for runs in metrics.values() for run in runs for name in run["figures"]))
    images, tables = _per_image(
        {label: [_results(folder) for folder in folders] for label, folders in by_label.items()}
    )
    resamples = Resamples.draw(images, evaluation.bootstraps, 0) if len(images) else None
    rows: list[Row] = []
    notes: list[str] = []
    for label, runs in metrics.items():
        row: dict[str, Value | Cell] = {"variant": label, "images": int(runs[0]["images"]), "seeds": len(runs)}
        for name in names:
            found = [run["figures"].get(name) for run in runs]
            values = np.array([np.nan if value is None else value for value in found], dtype=float)
            low, high = _interval(tables[label].get(name), float(values.mean()), resamples, evaluation)
            row[name] = Cell(float(values.mean()), low, high, note="-")
            row[f"{name}_std"] = Cell(float(values.std(ddof=1)) if len(runs) > 1 else float("nan"), note="-")
        rows.append(row)
        if len(rows) > 1 and resamples is not None:
            notes += _against(str(rows[0]["variant"]), label, tables, names, resamples, evaluation)
    columns = [Column("variant", "variant"), Column("images", "images"), Column("seeds", "seeds")]
    for name in names:
        columns += [Column(name, name, digits=4), Column(f"{name}_std", "± seeds", digits=4)]
    if resamples is not None:
        level = f"{evaluation.level:.0%}"
        notes.append(f"[low, high]: {level} interval over {len(images)} images ({evaluation.bootstraps} resamples).")
    return TaskResults(rows, columns, notes)


def _results(folder: RunFolder) -> pd.DataFrame:
    path = folder.path / "results.csv"
    if not path.is_file():
        return pd.DataFrame({"image": []})
    return pd.read_csv(path).assign(image=read_frame(path)["image"])  # names are text, and NA is one


def _per_image(found: Mapping[str, Sequence[pd.DataFrame]]) -> tuple[list[str], dict[str, dict[str, Values]]]:
    """Names of the images, and per variant and column the mean over seeds of each image's value.

    Both empty where runs were tested on different images: nothing is then compared image by image.
    """
    every = [table.sort_values("image").reset_index(drop=True) for tables in found.values() for table in tables]
    images = every[0]["image"].tolist()
    if not images or any(table["image"].tolist() != images for table in every):
        return [], {label: {} for label in found}
    means: dict[str, dict[str, Values]] = {}
    for label, tables in found.items():
        ordered = [table.sort_values("image") for table in tables]
        shared = [name for name in ordered[0].columns if name != "image" and all(name in table for table in ordered)]
        means[label] = {name: np.mean([table[name].to_numpy(float) for table in ordered], axis=0) for name in shared}
    return images, means


def _bootstrapped(values: Values, resamples: Resamples) -> Values:
    """Mean of the images' values in each resample, (n_resamples,)."""
    weight = resamples.multiplicity[:, resamples.row_source].astype(np.float64)  # (n_resamples, N)
    return np.asarray(weight @ values / weight.sum(axis=1))


def _interval(
    values: Values | None, mean: float, resamples: Resamples | None, evaluation: Evaluation
) -> tuple[float | None, float | None]:
    if values is None or resamples is None or not np.isclose(values.mean(), mean):  # a column of another meaning
        return None, None
    return interval(_bootstrapped(values, resamples), evaluation.level)


def _against(
    first: str,
    label: str,
    tables: Mapping[str, Mapping[str, Values]],
    names: Sequence[str],
    resamples: Resamples,
    evaluation: Evaluation,
) -> list[str]:
    """``b minus a: judged -0.031 [-0.033, -0.029], ...``; metrics that are equal for every image are left out."""
    words = []
    for name in names:
        before, after = tables[first].get(name), tables[label].get(name)
        if before is None or after is None or bool((before == after).all()):
            continue
        low, high = interval(_bootstrapped(after - before, resamples), evaluation.level)
        words.append(f"{name} {cell_text(Cell(float((after - before).mean()), low, high), 4)}")
    return [f"{label} minus {first}, image by image: {', '.join(words)}."] if words else []


def write_task_results(results: TaskResults, folder: Path) -> None:
    """``results.csv`` and ``results.md``."""
    write_whole(folder / "results.csv", to_csv(results.rows, results.columns).encode())
    write_whole(folder / "results.md", f"{results.screen}\n".encode())
