"""Batches of units made by several processes, each a copy of this one; results come in the order of the batches.

Process k of n makes the batches k, k + n, k + 2 n, ... and waits with a finished one until it is asked for: nothing is sent to
it, and at most one result of each waits.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import cv2
import torch

from data_tools.builders.core.attempt import Made, Maker, attempt
from data_tools.builders.core.work_items import Unit
from semfid.errors import UserError
from semfid.io.cores import can_fork, cores

LEAST_UNITS = 4
"""Units of a process, at least: fewer do not pay for starting it."""


@dataclass(frozen=True)
class Batch:
    """A batch that was made.

    Attributes:
        results: one per unit.
        seconds: that it took.
    """

    units: Sequence[Unit]
    results: Sequence[Made | BaseException]
    seconds: float


def process_count(workers: int | str, units: int) -> int:
    """Processes for so many units; 0: this one makes them itself.

    Args:
        workers: ``auto``: one for each core, no more than the work pays for; a number: as it is.
    """
    if workers != "auto":
        return min(int(workers), units)
    found = min(cores(), units // LEAST_UNITS) if can_fork() else 0
    return found if found > 1 else 0


def made(make: Maker, batches: Sequence[Sequence[Unit]], processes: int) -> Generator[Batch, None, None]:
    """The batches in their order, made one after another where `processes` is 0.

    Raises:
        UserError: a process was ended; whatever the maker raises beside UNIT_FAULTS.
    """
    if processes == 0:
        for batch in batches:
            yield _make(make, batch)
        return
    context = multiprocessing.get_context("fork")
    ends: list[Connection] = []
    running: list[Any] = []
    try:
        # set here, and inherited: a copy that ends OpenCV's pool waits for threads that it does not have, without end
        with one_thread():
            for number in range(processes):
                ours, theirs = context.Pipe(duplex=False)
                process = context.Process(target=_serve, args=(make, batches[number::processes], theirs), daemon=True)
                process.start()
                theirs.close()  # else its end would not be seen
                ends.append(ours)
                running.append(process)
        for number in range(len(batches)):
            yield _received(ends[number % processes])
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.join()
        for end in ends:
            end.close()


def _received(end: Connection) -> Batch:
    try:
        found = end.recv()
    except EOFError as error:
        raise UserError(
            "a process that makes units was ended, by the system or for lack of memory; set workers=0 and go on"
        ) from error
    if isinstance(found, BaseException):
        raise found
    batch: Batch = found
    return batch


def _serve(make: Maker, batches: Sequence[Sequence[Unit]], end: Connection) -> None:
    """Life of a process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one that started it ends it
    for batch in batches:
        try:
            found: Batch | Exception = _make(make, batch)
        except Exception as error:  # noqa: BLE001 - raised again where it is received
            found = error
        end.send(found)
        if isinstance(found, Exception):
            return


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Keep OpenCV and torch to one thread: copies of their pools do not work, every core has a process, and sums of several
    threads would end in other digits than those of one.
    """
    before = cv2.getNumThreads(), torch.get_num_threads()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before[0])
        torch.set_num_threads(before[1])


def _make(make: Maker, units: Sequence[Unit]) -> Batch:
    start = time.monotonic()
    results = attempt(make, units)
    return Batch(units, results, time.monotonic() - start)
