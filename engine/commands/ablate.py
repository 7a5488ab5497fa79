"""`semfid ablate`: every variant of an experiment, and its table."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.commands.naming import naming
from engine.report import report_of_sweep
from engine.results.images import TaskResults
from engine.results.pairs import Results
from engine.runs.ablation import ablate as run_all
from engine.runs.context import RunContext
from engine.runs.sweep import Sweep, check_data, read_sweep

log = logging.getLogger("semfid")


@dataclass(frozen=True)
class Ablation:
    """An experiment that was run.

    Attributes:
        results: a table per set of data, of all variants that are done.
        failures: a line per variant that failed.
    """

    sweep: Sweep
    context: RunContext
    results: Sequence[Results | TaskResults]
    failures: list[str]

    @property
    def folder(self) -> Path:
        """Where the tables and the runs are."""
        return self.sweep.config.folder

    def write_report(self) -> Path | None:
        """The page about the results of pairs; None where there are none."""
        tables = [result for result in self.results if isinstance(result, Results)]
        if not tables:
            return None
        with naming(self.sweep.file):
            return report_of_sweep(self.sweep, tables, self.context, self.failures)


def ablate(experiment: str | Path, overrides: Sequence[str] = (), *, jobs: int = 1) -> Ablation:
    """Run what is missing of an experiment.

    Args:
        experiment: its YAML.
        overrides: ``key=value``, such as ``model.optimizer.lr=1e-3``.
        jobs: variants side by side, one per GPU.

    Raises:
        UserError: a mistake in the file, or in what it leads to; names the file.
    """
    sweep, context = read_sweep(experiment, overrides), RunContext()
    with naming(sweep.file):
        results, failures = run_all(sweep, jobs, context)
    return Ablation(sweep, context, results, failures)


def check(experiment: str | Path, overrides: Sequence[str] = ()) -> Sweep:
    """Validate configuration and data, read every image, train nothing.

    Raises:
        UserError: as `ablate`.
    """
    sweep = read_sweep(experiment, overrides)
    with naming(sweep.file):
        check_data(sweep, RunContext(), images=True)
    return sweep


def command(arguments: argparse.Namespace) -> int:
    """Run or check, and print; exit code 1 where a variant failed."""
    if arguments.check:
        sweep = check(arguments.experiment, arguments.overrides)
        print(f"{sweep.file}: {len(sweep.variants)} variants, configuration and data are fine")
        return 0
    done = ablate(arguments.experiment, arguments.overrides, jobs=arguments.jobs)
    for result in done.results:
        print(result.screen)
        if isinstance(result, Results) and result.maps is not None:
            print(result.maps.screen)
    if done.results:
        print(f"tables: {done.folder}/results.*; runs: {done.folder}/")
    report = done.write_report()
    if report is not None:
        print(f"report: {report}")
    for failure in done.failures:
        log.warning(f"FAILED {failure}")
    return 1 if done.failures else 0
