"""The table of maps: how well each variant says where the meaning changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from engine.config.sections import Evaluation
from engine.results.comparison import Ranking, mean_cell, metric_cells, on_screen
from engine.results.map_metrics import FILE, count_changed
from engine.results.run_result import RunResult, by_variant, run_note
from engine.runs.run_files import MapSection
from engine.runs.run_folder import RunFolder
from semfid.errors import UserError
from semfid.stats import (
    MAP_METRICS,
    Cell,
    Column,
    MapSummary,
    Resamples,
    summarise_maps,
)
from semfid.stats.tables import Row, Value

PIXELS = "average_precision_pixels"

IN_FILE = (*MAP_METRICS, "changed", "predicted")  # of maps.csv

MAP_COLUMNS = (
    Column("variant", "variant"),
    Column("n", "images"),
    Column("n_changed", "changed"),
    Column("sources", "sources"),
    Column("seeds", "runs"),
    Column("average_precision", "AP", better="higher"),
    Column("average_precision_seed_std", "± runs"),
    Column("p_holm", "p (Holm)"),
    Column(PIXELS, "AP, all pixels", better="higher"),
    Column("iou", "IoU", better="higher"),
    Column("hit", "pointing", better="higher"),
    Column("srcc", "map SRCC", better="higher"),
    Column("mse", "map MSE", digits=4, better="lower"),
    Column("note", "note"),
)
MAP_SCREEN = ("variant", "seeds", "average_precision", "p_holm", PIXELS, "iou", "hit", "srcc", "mse", "note")
BARE = ("iou", "hit", "srcc", "mse")  # without their intervals where room is short

MAP_ORIGIN_COLUMNS = (
    Column("variant", "variant"),
    Column("origin", "origin"),
    Column("n", "images"),
    Column("n_changed", "changed"),
    Column("average_precision", "AP"),
    Column(PIXELS, "AP, all pixels"),
    Column("iou", "IoU"),
    Column("hit", "pointing"),
    Column("srcc", "map SRCC"),
    Column("mse", "map MSE", digits=4),
)


@dataclass(frozen=True)
class MapResults:
    """Maps of every variant that gives them, on the same pairs.

    Attributes:
        rows: one per variant, best average precision first.
        origins: one per variant and origin.
        notes: how to read the table, one line each.
        runs: what the table is made of, the first seed of a variant first.
    """

    rows: list[Row]
    origins: list[Row]
    notes: list[str]
    runs: list[RunResult]

    @property
    def screen(self) -> str:
        """What the terminal shows: the columns that fit, and the notes."""
        shown = [column for column in MAP_COLUMNS if column.name in MAP_SCREEN]
        return on_screen(self.rows, shown, self.notes, BARE)


def compare_maps(finished: Sequence[RunResult], evaluation: Evaluation) -> MapResults | None:
    """The table of those runs that have ``maps.csv``; None where none has.

    Args:
        finished: runs that were tested on the same pairs.

    Raises:
        UserError: metrics of other pairs.
    """
    runs = by_variant([run for run in finished if run.maps and (run.path / FILE).is_file()])
    if not runs:
        return None
    tables = {run.path: read_map_metrics(run) for own in runs.values() for run in own}
    first = tables[next(iter(runs.values()))[0].path]
    resamples = Resamples.draw(first["source_id"].to_numpy(), evaluation.bootstraps, 0)
    summaries = {name: _summary([tables[run.path] for run in own], resamples) for name, own in runs.items()}
    ranking = Ranking.by("average_precision", summaries, evaluation)
    sizes = {"n": len(first), "n_changed": count_changed(first), "sources": len(resamples.sources)}
    rows: list[Row] = []
    for name in ranking.names:
        row = _row(summaries[name], runs[name], tables, evaluation, ranking.marks[name])
        rows.append({"variant": name, **sizes, **row, "p_holm": Cell(ranking.p_values[name], note="-")})
    return MapResults(
        rows,
        _origin_rows({name: runs[name] for name in ranking.names}) if evaluation.by_origin else [],
        _notes(first, len(resamples.sources), evaluation),
        [run for name in ranking.names for run in runs[name]],
    )


def read_map_metrics(run: RunResult) -> pd.DataFrame:
    """``maps.csv`` of a run, sorted by pair_id.

    Raises:
        UserError: metrics of other pairs than its predictions.
    """
    text = {"pair_id": str, "source_id": str, "origin": str}
    # keep_default_na: an origin may be called "None"; an empty or "nan" metric is one that does not exist
    table = pd.read_csv(run.path / FILE, dtype=text, keep_default_na=False, na_values={key: [""] for key in IN_FILE})
    table = table.sort_values("pair_id").reset_index(drop=True)
    if table["pair_id"].tolist() != sorted(run.predictions["pair_id"].astype(str)):
        raise UserError(f"{run.path / FILE}: its metrics are of other pairs; remove the file and run again")
    return table


def _summary(tables: Sequence[pd.DataFrame], resamples: Resamples) -> MapSummary:
    return summarise_maps({name: [table[name] for table in tables] for name in MAP_METRICS}, resamples)


def _row(
    summary: MapSummary,
    runs: Sequence[RunResult],
    tables: Mapping[Any, pd.DataFrame],
    evaluation: Evaluation,
    mark: str,
) -> Row:
    row: dict[str, Value | Cell] = {"seeds": len(runs)}
    row |= metric_cells(MAP_METRICS, summary, "average_precision", mark, "-", evaluation)
    row[PIXELS] = mean_cell([_section(run)["pooled"][PIXELS] for run in runs])
    constant = max(_constant(tables[run.path]) for run in runs)
    notes = run_note(runs)
    row["note"] = ", ".join([*notes, *([f"no SRCC of {constant} constant maps"] if constant else [])])
    return row


def _constant(table: pd.DataFrame) -> int:
    """Changed images whose predicted map is constant: the mean SRCC leaves them out."""
    return int((table["srcc"].isna() & (table["changed"] > 0) & (table["changed"] < 1)).sum())


def _section(run: RunResult) -> MapSection:
    """The section ``maps`` of a run's metrics.json."""
    try:
        return RunFolder(run.path).pair_metrics()["maps"]
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{run.path}: metrics.json has no metrics of maps; remove {FILE} and run again") from error


def _origin_rows(runs: Mapping[str, Sequence[RunResult]]) -> list[Row]:
    rows: list[Row] = []
    for name, own in runs.items():
        found = [_section(run).get("origin", {}) for run in own]
        for origin in found[0]:
            seeds = [each[origin] for each in found]
            row: dict[str, Value | Cell] = {
                "variant": name,
                "origin": origin,
                **{k: seeds[0][k] for k in ("n", "n_changed")},
            }
            for metric in (*MAP_METRICS, PIXELS):
                row[metric] = mean_cell([seed[metric] for seed in seeds])
            rows.append(row)
    return rows


def _notes(first: pd.DataFrame, sources: int, evaluation: Evaluation) -> list[str]:
    changed = count_changed(first)
    return [
        f"maps of {len(first)} images, {changed} with a changed region (target >= 0.5). AP: average precision of an image's "
        f"pixels, mean over changed images; [low, high]: {evaluation.level:.0%} interval over {sources} sources "
        f"({evaluation.bootstraps} resamples). *: not distinguishable from the best AP (paired by source, Holm, alpha "
        f"{evaluation.alpha:g}).",
        "AP, all pixels: one ranking of all pixels, so that false alarms on unchanged images count; it needs one scale over "
        "images. IoU: prediction >= 0.5. pointing: the largest prediction lies in the changed region. SRCC and MSE: per image, "
        "where they exist.",
    ]
