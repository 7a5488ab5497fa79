"""What all tables of results share: who is best and who cannot be told from the best, cells, the screen, the files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from engine.config.sections import Evaluation
from semfid.stats import Cell, Column, interval, not_distinguishable_from_best, to_csv, to_latex, to_markdown
from semfid.stats.tables import Row

FloatArray = npt.NDArray[np.float64]


class Summary(Protocol):
    """A variant over its seeds; see `semfid.stats.VariantSummary` and `semfid.stats.MapSummary`."""

    @property
    def mean(self) -> Mapping[str, float]: ...

    @property
    def seed_std(self) -> Mapping[str, float]: ...

    @property
    def samples(self) -> Mapping[str, FloatArray]: ...


@dataclass(frozen=True)
class Ranking:
    """Variants in the order of one metric.

    Attributes:
        names: best first; those without a value last.
        marks: ``*`` for a variant that cannot be told from the best, else empty; empty where there is one variant alone.
        p_values: of the comparison with the best, adjusted by Holm's method; 1 for the best, NaN without a value.
    """

    names: list[str]
    marks: Mapping[str, str]
    p_values: Mapping[str, float]

    @classmethod
    def by(cls, metric: str, summaries: Mapping[str, Summary], evaluation: Evaluation) -> Ranking:
        """Rank variants that were tested on the same pairs, higher is better."""
        names = list(summaries)
        observed = np.array([summaries[name].mean[metric] for name in names])
        samples = np.stack([summaries[name].samples[metric] for name in names])
        same, p_values = not_distinguishable_from_best(observed, samples, alpha=evaluation.alpha)
        marks = {name: "*" if marked and len(names) > 1 else "" for name, marked in zip(names, same, strict=True)}
        ranking = sorted(names, key=lambda name: -np.nan_to_num(summaries[name].mean[metric], nan=-2.0))
        return cls(ranking, marks, dict(zip(names, p_values.tolist(), strict=True)))


def metric_cells(
    metrics: Sequence[str], summary: Summary, ranked: str, mark: str, note: str, evaluation: Evaluation
) -> dict[str, Cell]:
    """A cell of each metric, with its interval over sources where there are resamples of it.

    Args:
        ranked: the metric that the table is ordered by, which gets the mark; its spread over seeds becomes
            ``<ranked>_seed_std``.
        note: what is printed in place of a value that does not exist.
    """
    cells: dict[str, Cell] = {}
    for name in metrics:
        low, high = interval(summary.samples[name], evaluation.level) if name in summary.samples else (None, None)
        cells[name] = Cell(summary.mean[name], low, high, mark if name == ranked else "", note)
    cells[f"{ranked}_seed_std"] = Cell(summary.seed_std[ranked], note="-")
    return cells


def mean_cell(values: Sequence[float | None], note: str = "-") -> Cell:
    """The mean over seeds; `note` where a seed has no value (null in JSON)."""
    return Cell(float(np.mean([np.nan if value is None else value for value in values])), note=note)


def on_screen(rows: Sequence[Row], columns: Sequence[Column], notes: Sequence[str], bare: Sequence[str] = ()) -> str:
    """A table and its notes for the terminal.

    Args:
        bare: columns that are printed without their intervals.
    """
    return "\n".join([to_markdown([_without_intervals(row, bare) for row in rows], columns), *notes])


def _without_intervals(row: Row, names: Sequence[str]) -> Row:
    cells = {name: row[name] for name in names}
    return {**row, **{name: Cell(c.value, note=c.note) for name, c in cells.items() if isinstance(c, Cell)}}


def table_files(
    name: str, suffix: str, rows: Sequence[Row], columns: Sequence[Column], notes: Sequence[str]
) -> dict[str, str]:
    """File name to content: ``<name><suffix>.csv``, ``.md`` and ``.tex``."""
    return {
        f"{name}{suffix}.csv": to_csv(rows, columns),
        f"{name}{suffix}.md": "\n".join([to_markdown(rows, columns), *notes, ""]),
        f"{name}{suffix}.tex": to_latex(rows, columns),
    }


def origin_files(name: str, suffix: str, rows: Sequence[Row], columns: Sequence[Column]) -> dict[str, str]:
    """File name to content: ``<name>_by_origin<suffix>.csv`` and ``.md``; none where there are no rows."""
    if not rows:
        return {}
    return {
        f"{name}_by_origin{suffix}.csv": to_csv(rows, columns),
        f"{name}_by_origin{suffix}.md": to_markdown(rows, columns),
    }
