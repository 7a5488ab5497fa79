"""All variants of an experiment: validate everything, run what is missing, compare."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from queue import Empty, Queue
from typing import Any

import pandas as pd
import torch

from engine.runs.baselines import baseline_variants, run_baseline
from engine.config.check import check_config, make_trainer
from engine.config.schema import Variant, load_experiment
from engine.config.expansion import expand
from engine.config.module_types import needs_maps, task_class
from engine.results.map_metrics import add_map_figures, any_local, check_maps, maps_wanted
from engine.runs.pretraining import pretrained, pretraining_run
from engine.config.pretraining_section import pretraining_config, pretraining_name
from engine.rank_zero import log, progress
from engine.results.pairs import Finished, Results, compare_variants, write_results
from engine.runs.run import Workbench, run_variant
from engine.runs.run_folder import RunFolder
from engine.results.images import TaskResults, compare_tasks, write_task_results
from semfid.errors import UserError
from registry import load_plugins


@dataclass(frozen=True)
class Sweep:
    """An experiment, read and validated.

    Attributes:
        file: the YAML.
        overrides: as given on the command line.
        config: resolved, with its sweep.
        variants: all of them, checked.
        lost: numbers (from 0) of those whose pretraining failed; they are not run.
    """

    file: Path
    overrides: tuple[str, ...]
    config: dict[str, Any]
    variants: list[Variant]
    lost: frozenset[int] = frozenset()

    def alive(self) -> list[tuple[int, Variant]]:
        """The variants that learn and can run, with their numbers (from 1)."""
        return [
            (index + 1, variant)
            for index, variant in enumerate(self.variants)
            if variant.config["model"] and index not in self.lost
        ]


def read_sweep(file: str | Path, overrides: Sequence[str]) -> Sweep:
    """Read an experiment and check every variant: names, keywords, types, devices.

    Raises:
        UserError: one line with the file, the key and the fix.
    """
    config = load_experiment(file, overrides)
    try:
        load_plugins(config["plugins"])
    except UserError as error:
        raise UserError(f"{file}: {error}") from error
    variants = expand(config, str(file))
    known: set[str] = set()
    for number, variant in enumerate(variants, start=1):
        try:
            check_config(variant.config, known)
        except UserError as error:
            which = f" (variant {number}: {variant.label})" if len(variants) > 1 else ""
            raise UserError(f"{file}: {error}{which}") from error
    if len({task_class(variant.config) is None for variant in variants}) > 1:
        raise UserError(
            f"{file}: some variants learn from pairs and some from single images; make them two experiments"
        )
    return Sweep(Path(file), tuple(overrides), config, variants)


def check_data(sweep: Sweep, bench: Workbench, images: bool) -> None:
    """Read the tables of all variants; with `images`, decode every image too.

    Raises:
        UserError: the first fault; figures of maps asked for where there are none.
    """
    seen = set()
    configs = [variant.config for variant in sweep.variants]
    for config in configs:
        check_maps(config, bench)
    if images:  # a pretraining without data fails its variants only
        names = [(config, pretraining_name(config)) for config in configs]
        configs += [pretraining_config(config, name) for config, name in names if name is not None]
    for config in configs:
        data = bench.source(config)
        if not images or id(data) in seen:
            continue
        seen.add(id(data))
        with progress("checking images") as advance:
            data.check_images(advance)
        log.info(f"{data.describe()}: fine")


def ablate(
    sweep: Sweep, jobs: int = 1, bench: Workbench | None = None
) -> tuple[Sequence[Results | TaskResults], list[str]]:
    """Run every variant and baseline that is not done and compare all that are.

    Variants run one after another in this process, or `jobs` at a time (one GPU each) in processes of their own, as does
    every variant that itself spans several processes.

    Args:
        bench: data and trunks that are at hand already.

    Returns:
        the tables, and a line per failed variant.
    """
    bench = bench or Workbench()
    check_data(sweep, bench, images=False)
    for variant in sweep.variants:
        bench.data_hash(variant.config)  # a missing image is named before anything is trained
    local = any_local([variant.config for variant in sweep.variants])
    finished, failures = _run_baselines(sweep, bench, local)
    sweep, lost = _pretrain(sweep, bench)
    failures += lost
    in_processes = jobs > 1 or any(make_trainer(variant.config).world_size > 1 for variant in sweep.variants)
    if in_processes:
        failures += _run_processes(sweep, bench, jobs)
    else:
        failures += _run_here(sweep, bench)
    if task_class(sweep.variants[0].config) is not None:
        return _task_results(sweep, bench), failures
    for _, variant in sweep.alive():
        folder = RunFolder.of(variant, bench.data_hash(variant.config))
        if folder.state == "done":
            data = bench.data(variant.config)
            wanted = maps_wanted(variant.config, needs_maps(variant.config), data)
            if wanted:
                failures += _map_failures(variant, bench, folder)
            finished.append(_finished(folder, variant.label, variant.seed, data.leaky, learned=True, maps=wanted))
    results = compare_variants(finished, sweep.config["evaluation"]) if finished else []
    if results:
        write_results(results, Path(sweep.config["output"]) / str(sweep.config["name"]))
    return results, failures


def _run_baselines(sweep: Sweep, bench: Workbench, local: bool) -> tuple[list[Finished], list[str]]:
    """Every training-free metric on every data set of the sweep; those that fail become lines.

    Args:
        local: whether a variant of the sweep learns from maps.
    """
    baselines: dict[str, Variant] = {}
    # a sweep over data asks for the baselines on each data set; folds drawn again do not change what trains on nothing
    for variant in (variant for variant in sweep.variants if variant.repeat == 0):
        data_choices = {key: value for key, value in variant.choices.items() if key.split(".")[0] == "data"}
        for baseline in baseline_variants(variant.config, sweep.config["baselines"], data_choices):
            baselines.setdefault(str(RunFolder.of(baseline, bench.data_hash(variant.config)).path), baseline)
    finished, failures = [], []
    for baseline in baselines.values():
        data = bench.data(baseline.config)
        wanted = maps_wanted(baseline.config, local, data)
        try:
            folder = run_baseline(baseline, bench)
            if wanted:
                add_map_figures(baseline, bench, folder, learned=False)
        except UserError as error:
            failures.append(f"{baseline.label}: {error}")
            log.info(f"{baseline.label}: FAILED, {error}")
            continue
        finished.append(_finished(folder, baseline.label, 0, data.leaky, learned=False, maps=wanted))
    return finished, failures


def _map_failures(variant: Variant, bench: Workbench, folder: RunFolder) -> list[str]:
    """Add the figures of a finished run's maps; a line where that fails."""
    try:
        add_map_figures(variant, bench, folder)
    except UserError as error:
        return [f"{variant.label} seed={variant.seed}: it is trained, but its maps are not: {error}"]
    return []


def _pretrain(sweep: Sweep, bench: Workbench) -> tuple[Sweep, list[str]]:
    """Train the trunks that variants ask for by name, each once; the variants then name their files."""
    failed: dict[Path, str] = {}
    variants, failures, lost = list(sweep.variants), [], set()
    for index, variant in enumerate(sweep.variants):
        name = pretraining_name(variant.config)
        if name is None:
            continue
        try:
            run, folder = pretraining_run(variant.config, name, bench)
            if folder.path in failed:
                raise UserError(failed[folder.path])
            try:
                if make_trainer(run.config).world_size > 1 and folder.state != "done":
                    _pretrain_in_processes(sweep, index + 1, name)
                variants[index] = pretrained(variant, bench)
            except UserError as error:
                failed[folder.path] = str(error)
                raise
            except Exception as error:  # a fault in one pretraining must not take the other variants with it
                _write_error(folder, traceback.format_exc())
                failed[folder.path] = f"{type(error).__name__}: {error} (see {folder.path}/error.txt)"
                raise UserError(failed[folder.path]) from error
        except UserError as error:
            lost.add(index)
            failures.append(f"{variant.label} seed={variant.seed}: its pretraining '{name}' failed: {error}")
            log.info(
                f"[{index + 1}/{len(variants)}] {variant.label} seed={variant.seed}: FAILED, its pretraining failed: {error}"
            )
    return replace(sweep, variants=variants, lost=frozenset(lost)), failures


def _pretrain_in_processes(sweep: Sweep, number: int, name: str) -> None:
    """A pretraining that spans several processes, by ``semfid run FILE --variant I --pretraining``."""
    command = [sys.executable, "-m", "semfid", "run", str(sweep.file), *sweep.overrides]
    log.info(f"pretraining {name}: started")
    done = subprocess.run(
        [*command, "--variant", str(number), "--pretraining"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="backslashreplace",  # whatever encoding its words have
    )
    if done.returncode != 0:
        raise UserError((done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1])


def _task_results(sweep: Sweep, bench: Workbench) -> list[TaskResults]:
    folders = [(variant, RunFolder.of(variant, bench.data_hash(variant.config))) for _, variant in sweep.alive()]
    done = [(variant, folder) for variant, folder in folders if folder.state == "done"]
    if not done:
        return []
    results = compare_tasks(done, sweep.config["evaluation"])
    write_task_results(results, Path(sweep.config["output"]) / str(sweep.config["name"]))
    return [results]


def _run_here(sweep: Sweep, bench: Workbench) -> list[str]:
    failures = []
    # variants of one trunk follow each other, so that it is built once
    order = sorted(sweep.alive(), key=lambda item: (repr(item[1].config["model"].get("backbone")), item[0]))
    bench.coming = [variant.config for _, variant in order]
    for number, (_, variant) in enumerate(order, start=1):
        title = f"[{number}/{len(order)}] {variant.label} seed={variant.seed}"
        try:
            run_variant(variant, bench, title)
        except UserError as error:
            failures.append(f"{variant.label} seed={variant.seed}: {error}")
        except Exception as error:  # noqa: BLE001 - a fault in one variant must not take its neighbours with it
            folder = RunFolder.of(variant, bench.data_hash(variant.config))
            _write_error(folder, traceback.format_exc())
            failures.append(
                f"{variant.label} seed={variant.seed}: {type(error).__name__}: {error} (see {folder.path}/error.txt)"
            )
        if failures and failures[-1].startswith(f"{variant.label} seed={variant.seed}: "):
            log.info(f"{title}: FAILED, {failures[-1].split(': ', 1)[1]}")
    return failures


def _run_processes(sweep: Sweep, bench: Workbench, jobs: int) -> list[str]:
    """Each variant as ``semfid run FILE --variant I`` in a process of its own."""
    gpus = [str(index) for index in range(torch.cuda.device_count())]
    waiting: Queue[tuple[int, Variant]] = Queue()
    for number, variant in sweep.alive():
        if RunFolder.of(variant, bench.data_hash(variant.config)).state != "done":
            waiting.put((number, variant))
    failures: list[str] = []

    def work(slot: int) -> None:
        while True:
            try:
                number, variant = waiting.get_nowait()
            except Empty:
                return
            command = [
                sys.executable,
                "-m",
                "semfid",
                "run",
                str(sweep.file),
                *sweep.overrides,
                "--variant",
                str(number),
            ]
            environment = {**os.environ, "OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // jobs))}
            if gpus and jobs > 1:
                environment["CUDA_VISIBLE_DEVICES"] = gpus[slot % len(gpus)]
            log.info(f"[{number}/{len(sweep.variants)}] {variant.label} seed={variant.seed}: started")
            process = subprocess.Popen(
                command,
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                errors="backslashreplace",
            )
            processes.append(process)
            errors = process.communicate()[1]
            folder = RunFolder.of(variant, bench.data_hash(variant.config))
            if process.returncode != 0:
                last = (errors.strip().splitlines() or [f"exit code {process.returncode}"])[-1]
                if folder.path.is_dir():
                    _write_error(folder, errors)
                failures.append(f"{variant.label} seed={variant.seed}: {last}")
                log.info(f"[{number}/{len(sweep.variants)}] {variant.label} seed={variant.seed}: FAILED, {last}")
            else:
                log.info(f"[{number}/{len(sweep.variants)}] {variant.label} seed={variant.seed}: done")

    processes: list[subprocess.Popen[str]] = []
    slots = [threading.Thread(target=work, args=(slot,)) for slot in range(jobs)]
    for slot in slots:
        slot.start()
    try:
        for slot in slots:
            slot.join()
    except KeyboardInterrupt:
        with contextlib.suppress(Empty):
            while True:
                waiting.get_nowait()
        for process in processes:
            process.terminate()
        raise
    return failures


def _write_error(folder: RunFolder, text: str) -> None:
    with contextlib.suppress(OSError):  # the disk may be what is wrong
        (folder.path / "error.txt").write_text(text, encoding="utf-8", errors="backslashreplace")


def _finished(folder: RunFolder, label: str, seed: int, leaky: bool, learned: bool, maps: bool) -> Finished:
    text = {"pair_id": str, "source_id": str, "origin": str}
    return Finished(
        label,
        seed,
        pd.read_csv(folder.path / "predictions.csv", dtype=text, keep_default_na=False),
        leaky,
        learned,
        folder.path,
        maps,
    )
