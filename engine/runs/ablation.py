"""All variants of an experiment: run what is missing, compare."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from engine.config.expansion import Variant
from engine.config.pretraining_section import pretraining_name
from engine.rank_zero import log
from engine.results.images import TaskResults, compare_tasks, write_task_results
from engine.results.map_metrics import add_map_metrics, maps_wanted
from engine.results.pairs import Results, compare_variants, write_results
from engine.results.run_result import RunResult
from engine.runs.baselines import baseline_variants, run_baseline
from engine.runs.context import RunContext
from engine.runs.execution import ProcessPool, VariantOutcome, command_of, fault_line, last_line, run_here
from engine.runs.pretraining import pretrained, pretraining_run
from engine.runs.run_folder import RunFolder
from engine.runs.sweep import Sweep, check_data
from semfid.errors import UserError


def ablate(
    sweep: Sweep, jobs: int = 1, context: RunContext | None = None
) -> tuple[Sequence[Results | TaskResults], list[str]]:
    """Run every variant and baseline that is not done and compare all that are.

    Variants run one after another in this process, or `jobs` at a time (one GPU each) in processes of their own, as does
    every variant that itself spans several processes.

    Args:
        context: data and backbones that are at hand already.

    Returns:
        the tables, and a line per failed variant.
    """
    context = context or RunContext()
    check_data(sweep, context, images=False)
    for variant in sweep.variants:
        context.data_hash(variant.config)  # a missing image is named before anything is trained
    finished, outcomes = _run_baselines(sweep, context)
    sweep, lost = _pretrain(sweep, context)
    outcomes += lost
    in_processes = jobs > 1 or any(variant.config.trainer.processes > 1 for variant in sweep.variants)
    outcomes += ProcessPool(sweep, context, jobs).run() if in_processes else run_here(sweep, context)
    results: Sequence[Results | TaskResults]
    if sweep.variants[0].config.task_class is not None:
        results = _task_results(sweep, context)
    else:
        learned, more = _learned(sweep, context)
        results = _pair_results(sweep, [*finished, *learned])
        outcomes += more
    return results, [outcome.line for outcome in outcomes if outcome.state == "failed"]


def _run_baselines(sweep: Sweep, context: RunContext) -> tuple[list[RunResult], list[VariantOutcome]]:
    """Every training-free metric on every data set of the sweep."""
    local = any(variant.config.needs_maps for variant in sweep.variants)  # learn from maps
    baselines: dict[Path, Variant] = {}
    # a sweep over data asks for the baselines on each data set; folds drawn again do not change what trains on nothing
    for variant in (variant for variant in sweep.variants if variant.repeat == 0):
        data_choices = {key: value for key, value in variant.choices.items() if key.split(".")[0] == "data"}
        for baseline in baseline_variants(variant.config, sweep.config.baselines, data_choices):
            baselines.setdefault(RunFolder.of(baseline, context.data_hash(variant.config)).path, baseline)
    finished, outcomes = [], []
    for baseline in baselines.values():
        data = context.data(baseline.config)
        wanted = maps_wanted(baseline.config, local, data)
        try:
            folder = run_baseline(baseline, context)
            if wanted:
                add_map_metrics(baseline, context, folder)
        except UserError as error:
            outcomes.append(VariantOutcome(baseline, "failed", str(error)))
            log.info(f"{baseline.label}: FAILED, {error}")
            continue
        finished.append(RunResult.read(folder.path, baseline.label, 0, data.leaky, learned=False, maps=wanted))
    return finished, outcomes


def _learned(sweep: Sweep, context: RunContext) -> tuple[list[RunResult], list[VariantOutcome]]:
    """The learned variants that are done, with the metrics of their maps; those whose maps fail."""
    finished, outcomes = [], []
    for variant, folder in _done(sweep, context):
        data = context.data(variant.config)
        wanted = maps_wanted(variant.config, variant.config.needs_maps, data)
        try:
            if wanted:
                add_map_metrics(variant, context, folder)
        except UserError as error:
            said = f"it is trained, but its maps are not: {error}"
            outcomes.append(VariantOutcome(variant, "failed", said))
        finished.append(RunResult.read(folder.path, variant.label, variant.seed, data.leaky, learned=True, maps=wanted))
    return finished, outcomes


def _done(sweep: Sweep, context: RunContext) -> list[tuple[Variant, RunFolder]]:
    folders = [(variant, RunFolder.of(variant, context.data_hash(variant.config))) for _, variant in sweep.alive()]
    return [(variant, folder) for variant, folder in folders if folder.state == "done"]


def _pair_results(sweep: Sweep, finished: Sequence[RunResult]) -> list[Results]:
    results = compare_variants(finished, sweep.config.evaluation) if finished else []
    if results:
        write_results(results, sweep.config.folder)
    return results


def _task_results(sweep: Sweep, context: RunContext) -> list[TaskResults]:
    done = _done(sweep, context)
    if not done:
        return []
    results = compare_tasks(done, sweep.config.evaluation)
    write_task_results(results, sweep.config.folder)
    return [results]


def _pretrain(sweep: Sweep, context: RunContext) -> tuple[Sweep, list[VariantOutcome]]:
    """Train the backbones that variants ask for by name, each once; the variants then name their files."""
    failed: dict[Path, str] = {}
    variants, outcomes, lost = list(sweep.variants), [], set()
    for index, variant in enumerate(sweep.variants):
        name = pretraining_name(variant.config)
        if name is None:
            continue
        try:
            run, folder = pretraining_run(variant.config, name, context)
            if folder.path in failed:
                raise UserError(failed[folder.path])
            try:
                variants[index] = _pretrained(sweep, index, name, run, folder, context)
            except UserError as error:
                failed[folder.path] = str(error)
                raise
        except UserError as error:
            lost.add(index)
            outcomes.append(VariantOutcome(variant, "failed", f"its pretraining '{name}' failed: {error}"))
            title = f"[{index + 1}/{len(variants)}] {variant.title}"
            log.info(f"{title}: FAILED, its pretraining failed: {error}")
    return replace(sweep, variants=variants, lost=frozenset(lost)), outcomes


def _pretrained(sweep: Sweep, index: int, name: str, run: Variant, folder: RunFolder, context: RunContext) -> Variant:
    """A variant with the weights of its pretraining, which runs in that folder.

    Raises:
        UserError: the pretraining failed.
    """
    try:
        if run.config.trainer.processes > 1 and folder.state != "done":
            _pretrain_in_processes(sweep, index + 1, name)
        return pretrained(sweep.variants[index], context)
    except UserError:
        raise
    except Exception as error:  # a fault in one pretraining must not take the other variants with it
        raise UserError(fault_line(error, folder)) from error


def _pretrain_in_processes(sweep: Sweep, number: int, name: str) -> None:
    """A pretraining that spans several processes, by ``semfid run FILE --variant I --pretraining``."""
    log.info(f"pretraining {name}: started")
    done = subprocess.run(
        [*command_of(sweep, number), "--pretraining"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="backslashreplace",  # whatever encoding its words have
    )
    if done.returncode != 0:
        raise UserError(last_line(done.stderr, done.returncode))
