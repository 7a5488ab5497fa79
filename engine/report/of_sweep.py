"""The report of a sweep that has run: its tables, its data's images, its runs' heat maps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from engine.ablation import Sweep
from engine.report.heatmaps import map_drawer
from engine.report.write import Origins, Paths, paths_by_pair, write_report
from engine.results import Results
from engine.workbench import Workbench


def report_of_sweep(sweep: Sweep, results: Sequence[Results], bench: Workbench, failures: Sequence[str] = ()) -> Path:
    """Write ``<output>/<name>/report.html``.

    Args:
        bench: with the data that the sweep ran on.

    Raises:
        UserError: the folder cannot be written to.
    """
    configs = {(variant.label, variant.seed): variant.config for variant in sweep.variants}

    def paths(result: Results) -> Paths:
        known = [configs[run.label, run.seed] for run in result.runs if (run.label, run.seed) in configs]
        data = bench.data((known or [sweep.variants[0].config])[0])
        return paths_by_pair(
            result, data.table.frame["pair_id"].tolist(), data.dataset.reference, data.dataset.candidate
        )

    folder = Path(str(sweep.config["output"])) / str(sweep.config["name"])
    return write_report(
        folder, str(sweep.config["name"]), results, sweep.config["evaluation"], Origins(paths, map_drawer), failures
    )
