"""Variants one after another in this process, or several at a time in processes of their own."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import traceback
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import Queue
from typing import Literal

import torch

from engine.config.expansion import Variant
from engine.rank_zero import log
from engine.runs.context import RunContext
from engine.runs.run import run_variant
from engine.runs.run_folder import RunFolder
from engine.runs.sweep import Sweep
from semfid.errors import UserError
from semfid.io.cores import CORES, cores


@dataclass(frozen=True)
class VariantOutcome:
    """How a variant ended.

    Attributes:
        error: one line; empty where it is done.
    """

    variant: Variant
    state: Literal["done", "failed"]
    error: str = ""

    @property
    def line(self) -> str:
        """Variant and error."""
        return f"{self.variant.title}: {self.error}"


def run_here(sweep: Sweep, context: RunContext) -> list[VariantOutcome]:
    """Every variant that is not done, one after another."""
    # variants of one backbone follow each other, so that it is built once
    order = [variant for _, variant in sorted(sweep.alive(), key=lambda item: (_backbone(item[1]), item[0]))]
    context.coming = [variant.config for variant in order]
    outcomes = []
    for number, variant in enumerate(order, start=1):
        title = f"[{number}/{len(order)}] {variant.title}"
        outcomes.append(_run_one(variant, context, title))
        if outcomes[-1].state == "failed":
            log.info(f"{title}: FAILED, {outcomes[-1].error}")
    return outcomes


def _backbone(variant: Variant) -> str:
    backbone = variant.config.needed_model.backbone
    return "" if backbone is None else backbone.text


def _run_one(variant: Variant, context: RunContext, title: str) -> VariantOutcome:
    try:
        run_variant(variant, context, title)
    except UserError as error:
        return VariantOutcome(variant, "failed", str(error))
    except Exception as error:  # noqa: BLE001 - a fault in one variant must not take its neighbours with it
        return VariantOutcome(variant, "failed", fault_line(error, _folder(variant, context)))
    return VariantOutcome(variant, "done")


def _folder(variant: Variant, context: RunContext) -> RunFolder:
    return RunFolder.of(variant, context.data_hash(variant.config))


def fault_line(error: Exception, folder: RunFolder) -> str:
    """One line for a fault of ours; the traceback goes to ``error.txt``."""
    _write_error(folder, traceback.format_exc())
    return f"{type(error).__name__}: {error} (see {folder.path}/error.txt)"


def _write_error(folder: RunFolder, text: str) -> None:
    with contextlib.suppress(OSError):  # the disk may be what is wrong
        (folder.path / "error.txt").write_text(text, encoding="utf-8", errors="backslashreplace")


class ProcessPool:
    """Variants in processes of their own, each ``semfid run FILE --variant I``, `jobs` at a time, one GPU each."""

    def __init__(self, sweep: Sweep, context: RunContext, jobs: int) -> None:
        self.sweep, self.context, self.jobs = sweep, context, jobs
        gpus = torch.cuda.device_count() if jobs > 1 else 0
        self._slots: Queue[dict[str, str]] = Queue()  # what the environment of a process adds, for each that may run
        for slot in range(jobs):
            self._slots.put({"CUDA_VISIBLE_DEVICES": str(slot % gpus)} if gpus else {})
        self._processes: list[subprocess.Popen[str]] = []

    def run(self) -> list[VariantOutcome]:
        """Every variant that is not done."""
        waiting = [item for item in self.sweep.alive() if _folder(item[1], self.context).state != "done"]
        with ThreadPoolExecutor(self.jobs) as executor:
            futures = [executor.submit(self._run_one, number, variant) for number, variant in waiting]
            try:
                return [future.result() for future in futures]
            except KeyboardInterrupt:
                executor.shutdown(wait=False, cancel_futures=True)
                for process in self._processes:
                    process.terminate()
                raise

    def _run_one(self, number: int, variant: Variant) -> VariantOutcome:
        title = f"[{number}/{len(self.sweep.variants)}] {variant.title}"
        log.info(f"{title}: started")
        slot = self._slots.get()
        try:
            code, errors = self._process(number, slot)
        finally:
            self._slots.put(slot)
        if code == 0:
            log.info(f"{title}: done")
            return VariantOutcome(variant, "done")
        folder = _folder(variant, self.context)
        if folder.path.is_dir():
            _write_error(folder, errors)
        outcome = VariantOutcome(variant, "failed", last_line(errors, code))
        log.info(f"{title}: FAILED, {outcome.error}")
        return outcome

    def _process(self, number: int, slot: dict[str, str]) -> tuple[int, str]:
        """Exit code, and what went to standard error."""
        own = str(max(1, cores() // self.jobs))
        threads = {"OMP_NUM_THREADS": own, CORES: own}
        process = subprocess.Popen(
            command_of(self.sweep, number),
            env={**os.environ, **threads, **slot},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="backslashreplace",  # whatever encoding its words have
        )
        self._processes.append(process)
        errors = process.communicate()[1]
        return process.returncode, errors


def command_of(sweep: Sweep, number: int) -> Sequence[str]:
    """The command that runs one variant of a sweep."""
    return [sys.executable, "-m", "semfid", "run", str(sweep.file), *sweep.overrides, "--variant", str(number)]


def last_line(errors: str, code: int) -> str:
    """What a process said last."""
    return (errors.strip().splitlines() or [f"exit code {code}"])[-1]
