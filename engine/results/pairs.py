"""From predictions to the table: metrics with intervals, who beats whom, the noise ceiling, rows per origin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from engine.config.sections import Evaluation
from engine.results.comparison import Ranking, mean_cell, metric_cells, on_screen, origin_files, table_files
from engine.results.maps import MAP_COLUMNS, MAP_ORIGIN_COLUMNS, MapResults, compare_maps
from engine.results.run_result import RunResult as RunResult
from engine.results.run_result import by_variant, run_note
from engine.runs.run_files import PairMetricsFile
from semfid.errors import UserError
from semfid.io.files import write_whole
from semfid.stats import (
    Ceiling,
    Cell,
    Column,
    Resamples,
    VariantSummary,
    best_srcc,
    bootstrap_metrics,
    by_group,
    fold_spread,
    interval,
    is_binary,
    noise_ceiling,
    score_metrics,
    summarise,
)
from semfid.stats.binary import BINARY
from semfid.stats.tables import Row, Value

METRICS = ("srcc", "krcc", "plcc", "plcc_logistic", "mse", "mae", "rmse", "rmse_logistic")
WITH_INTERVAL = ("srcc", "plcc", "plcc_logistic", "rmse", "mse", "mae", *BINARY)

COLUMNS = (
    Column("variant", "variant"),
    Column("n", "pairs"),
    Column("sources", "sources"),
    Column("seeds", "runs"),
    Column("srcc", "SRCC", better="higher"),
    Column("srcc_seed_std", "± runs"),
    Column("srcc_fold_std", "± folds"),
    Column("p_holm", "p (Holm)"),
    Column("auc", "AUC", better="higher"),
    Column("average_precision", "AP", better="higher"),
    Column("krcc", "KRCC", better="higher"),
    Column("plcc", "PLCC", better="higher"),
    Column("plcc_logistic", "PLCC logistic", better="higher"),
    Column("mse", "MSE", digits=4, better="lower"),
    Column("mae", "MAE", better="lower"),
    Column("rmse", "RMSE", better="lower"),
    Column("rmse_logistic", "RMSE logistic", better="lower"),
    Column("note", "note"),
)
SCREEN = ("variant", "seeds", "srcc", "srcc_seed_std", "p_holm", "auc", "krcc", "plcc", "mse", "note")


def columns_of(rows: Sequence[Row]) -> list[Column]:
    """Those of `COLUMNS` that some row has something in: metrics of two kinds are of binary labels only."""
    return [column for column in COLUMNS if column.name not in BINARY or any(column.name in row for row in rows)]


def compute_metrics(predictions: pd.DataFrame, evaluation: Evaluation) -> PairMetricsFile:
    """Everything that ``metrics.json`` holds for one run.

    Raises:
        UserError: a prediction that is not finite; names the pair.
    """
    label, score, source, pair = _columns(predictions)
    pooled = score_metrics(label, score, source, pair)
    resamples = Resamples.draw(source, evaluation.bootstraps, 0)
    samples = bootstrap_metrics(label, score, resamples, krcc=False)  # the table has KRCC's interval
    content: PairMetricsFile = {
        "pooled": pooled.as_dict(),
        "interval": {name: interval(samples[name], evaluation.level) for name in WITH_INTERVAL if name in samples},
        "level": evaluation.level,
        "bootstraps": evaluation.bootstraps,
    }
    folds = predictions["fold"].to_numpy()
    if len(set(folds.tolist())) > 1:
        content["folds"] = {str(fold): values for fold, values in fold_spread(label, score, folds).items()}
    if evaluation.by_origin and "origin" in predictions.columns:
        groups = by_group(label, score, source, pair, predictions["origin"].astype(str).to_numpy(), logistic=False)
        content["origin"] = {name: found.as_dict() for name, found in groups.items()}
    return content


@dataclass(frozen=True)
class Results:
    """One table: every variant on the same pairs.

    Attributes:
        rows: one per variant, learned ones first, best SRCC first.
        origins: one per variant and origin.
        ceiling: None where the data has no votes.
        notes: how to read the table, one line each.
        runs: what the table is made of.
        maps: of the runs that have metrics of maps; None where none has.
    """

    rows: list[Row]
    origins: list[Row]
    ceiling: Ceiling | None
    notes: list[str]
    runs: list[RunResult]
    maps: MapResults | None = None

    @property
    def screen(self) -> str:
        """What the terminal shows: the columns that fit, and the notes."""
        shown = [column for column in columns_of(self.rows) if column.name in SCREEN]
        return on_screen(self.rows, shown, self.notes, bare=("krcc", "plcc"))


def compare_variants(finished: Sequence[RunResult], evaluation: Evaluation) -> list[Results]:
    """Tables of variants that were tested on the same pairs; several where the sweep changes the data."""
    groups: dict[tuple[Any, ...], list[RunResult]] = {}
    for run in finished:
        key = tuple(zip(run.predictions["pair_id"], run.predictions["difference"].round(9), strict=True))
        groups.setdefault(tuple(sorted(key)), []).append(run)
    return [_table(runs, evaluation) for runs in groups.values()]


def _table(finished: Sequence[RunResult], evaluation: Evaluation) -> Results:
    by_label = by_variant(finished)
    ordered = {run.label: run.predictions.sort_values("pair_id").reset_index(drop=True) for run in finished}
    first = next(iter(ordered.values()))
    label, _, source, pair = _columns(first)
    resamples = Resamples.draw(source, evaluation.bootstraps, 0)
    summaries: dict[str, VariantSummary] = {}
    for name, runs in by_label.items():
        scores = np.stack([_aligned(run, pair) for run in runs])
        summaries[name] = summarise(label, scores, source, pair, resamples)
    ranking = Ranking.by("srcc", summaries, evaluation)
    metrics = (*METRICS, *(BINARY if is_binary(label) else ()))
    table = [_row(name, by_label[name], summaries[name], ranking, metrics, evaluation) for name in ranking.names]
    ceiling = (
        noise_ceiling(first["yes_votes"].to_numpy(), first["votes"].to_numpy()) if "votes" in first.columns else None
    )
    return Results(
        table,
        _origin_rows(by_label, ranking.names, evaluation),
        ceiling,
        _notes(table, label, ceiling, evaluation, finished),
        list(finished),
        compare_maps(finished, evaluation),
    )


def _row(
    name: str,
    runs: Sequence[RunResult],
    summary: VariantSummary,
    ranking: Ranking,
    metrics: Sequence[str],
    evaluation: Evaluation,
) -> Row:
    row: dict[str, Value | Cell] = {"variant": name, "n": summary.n, "sources": summary.sources, "seeds": summary.seeds}
    note = "constant" if summary.constant else ""
    row |= metric_cells(metrics, summary, "srcc", ranking.marks[name], note, evaluation)
    spreads = []
    for run in runs:
        folds = run.predictions["fold"].to_numpy()
        if len(set(folds.tolist())) > 1:
            label, score, _, _ = _columns(run.predictions)
            spreads.append(np.std([fold["srcc"] for fold in fold_spread(label, score, folds).values()], ddof=1))
    row["srcc_fold_std"] = Cell(float(np.mean(spreads)) if spreads else float("nan"), note="-")
    row["p_holm"] = Cell(ranking.p_values[name], note="-")
    row["note"] = ", ".join(run_note(runs))
    return row


def _origin_rows(
    by_label: Mapping[str, Sequence[RunResult]], ranking: Sequence[str], evaluation: Evaluation
) -> list[Row]:
    rows: list[Row] = []
    for name in ranking:
        runs = by_label[name]
        if not evaluation.by_origin or "origin" not in runs[0].predictions.columns:
            continue
        found = [
            by_group(*_columns(run.predictions), run.predictions["origin"].astype(str).to_numpy(), logistic=False)
            for run in runs
        ]
        labels = runs[0].predictions.groupby("origin")["difference"].mean()
        for origin in found[0]:
            seeds = [groups[origin] for groups in found]
            constant = any(seed.constant for seed in seeds)
            row: dict[str, Value | Cell] = {
                "variant": name,
                "origin": origin,
                "n": seeds[0].n,
                "sources": seeds[0].sources,
            }
            row["difference"] = float(labels[origin])
            for metric in ("srcc", "mse"):
                row[metric] = mean_cell([getattr(seed, metric) for seed in seeds], "constant" if constant else "")
            rows.append(row)
    return rows


ORIGIN_COLUMNS = (
    Column("variant", "variant"),
    Column("origin", "origin"),
    Column("n", "pairs"),
    Column("sources", "sources"),
    Column("difference", "mean difference"),
    Column("srcc", "SRCC"),
    Column("mse", "MSE", digits=4),
)


def _notes(
    rows: Sequence[Row],
    label: Any,
    ceiling: Ceiling | None,
    evaluation: Evaluation,
    finished: Sequence[RunResult],
) -> list[str]:
    lines = [
        f"[low, high]: {evaluation.level:.0%} interval over {rows[0]['sources']} sources ({evaluation.bootstraps} "
        f"resamples). *: not distinguishable from the best SRCC (paired by source, Holm, alpha {evaluation.alpha:g})."
    ]
    if any(int(str(row["seeds"])) > 1 for row in rows):
        lines.append(
            "± runs: standard deviation over a variant's runs, which differ in their seed or in how folds were drawn."
        )
    if is_binary(label):
        lines.append(
            f"labels are 0 or 1: AUC and AP (average precision) tell how well the two kinds are told apart; a perfect ranking "
            f"without ties has SRCC {best_srcc(label):.3f}."
        )
    if ceiling is not None:
        low, high = ceiling.srcc_interval
        lines.append(
            f"noise ceiling of these labels ({ceiling.votes_median:g} votes a pair): SRCC {ceiling.srcc:.3f} "
            f"[{low:.2f}, {high:.2f}], MSE floor {ceiling.mse_floor:.4f}; split halves {ceiling.split_half_srcc:.3f}."
        )
    if any(run.leaky for run in finished):
        lines.append("LEAKY: the split ignores sources (data.split.by: row); pairs of one photo stand on both sides.")
    return lines


def write_results(results: Sequence[Results], folder: Path) -> list[Path]:
    """``results.csv``, ``.md`` and ``.tex``, and ``results_by_origin.csv`` and ``.md``; numbered where there are several.

    Tables of maps are written beside them as ``results_maps`` and ``results_maps_by_origin``.
    """
    written = []
    for number, result in enumerate(results):
        suffix = f"_{number + 1}" if len(results) > 1 else ""
        files = table_files("results", suffix, result.rows, columns_of(result.rows), result.notes)
        files |= origin_files("results", suffix, result.origins, ORIGIN_COLUMNS)
        if (maps := result.maps) is not None:
            files |= table_files("results_maps", suffix, maps.rows, MAP_COLUMNS, maps.notes)
            files |= origin_files("results_maps", suffix, maps.origins, MAP_ORIGIN_COLUMNS)
        for name, text in files.items():
            write_whole(folder / name, text.encode())
            written.append(folder / name)
    return written


def _columns(predictions: pd.DataFrame) -> tuple[Any, Any, Any, Any]:
    return (
        predictions["difference"].to_numpy(dtype=float),
        predictions["predicted"].to_numpy(dtype=float),
        predictions["source_id"].astype(str).to_numpy(),
        predictions["pair_id"].astype(str).to_numpy(),
    )


def _aligned(run: RunResult, pair: Any) -> Any:
    table = run.predictions.sort_values("pair_id")
    if table["pair_id"].astype(str).tolist() != list(pair):
        raise UserError(f"{run.path}: its predictions are of other pairs; remove the folder and run again")
    return table["predicted"].to_numpy(dtype=float)
