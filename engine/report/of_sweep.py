"""The report of a sweep that has run: its tables, its data's images, its runs' heat maps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from datamodules import PairDataModule
from engine.report.gallery import MapSource
from engine.report.heatmaps import map_drawer, open_maker
from engine.report.map_pairs import MapPairs
from engine.report.write import Origins, Paths, paths_by_pair, write_report
from engine.results.pairs import Results
from engine.runs.context import RunContext
from engine.runs.sweep import Sweep


def report_of_sweep(
    sweep: Sweep, results: Sequence[Results], context: RunContext, failures: Sequence[str] = ()
) -> Path:
    """Write ``<output>/<name>/report.html``.

    Args:
        context: with the data that the sweep ran on.

    Raises:
        UserError: the folder cannot be written to.
    """
    configs = {(variant.label, variant.seed): variant.config for variant in sweep.variants}

    def data_of(result: Results) -> PairDataModule:
        known = [configs[run.label, run.seed] for run in result.runs if (run.label, run.seed) in configs]
        if known:
            return context.data(known[0])
        tested = set(
            result.runs[0].predictions["pair_id"]
        )  # of training-free metrics alone: the data that has these pairs
        every = [context.data(variant.config) for variant in sweep.variants]
        return next((data for data in every if tested <= set(data.table.frame["pair_id"])), every[0])

    def paths(result: Results) -> Paths:
        data = data_of(result)
        return paths_by_pair(
            result, data.table.frame["pair_id"].tolist(), data.dataset.reference, data.dataset.candidate
        )

    def maps(result: Results) -> MapSource:
        return MapSource(MapPairs(data_of(result)), open_maker)

    config, origins = sweep.config, Origins(paths, map_drawer, maps)
    return write_report(config.folder, config.name, results, config.evaluation, origins, failures)
