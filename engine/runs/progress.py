"""Progress of long work: a bar with rate and time left on a terminal, a line per finished item elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from lightning.pytorch.utilities import rank_zero_only

LINE_EVERY_S = 10.0


class Advance(Protocol):
    """Call with (done, total)."""

    def __call__(self, done: int, total: int) -> None: ...


def is_rank_zero() -> bool:
    """Whether this process is the one that writes and speaks."""
    return not getattr(rank_zero_only, "rank", 0)


def say(text: str) -> None:
    """A line on standard error, from one process only."""
    if is_rank_zero():
        print(text, file=sys.stderr, flush=True)


@contextmanager
def progress(title: str) -> Iterator[Advance]:
    """Show how far a loop is. Without a terminal: a line at most every ten seconds, and one at the end."""
    if not is_rank_zero():
        yield lambda done, total: None
    elif sys.stderr.isatty():
        with _bar(title) as advance:
            yield advance
    else:
        yield _lines(title)


@contextmanager
def _bar(title: str) -> Iterator[Advance]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"))
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=None, rate="")
        start = time.monotonic()

        def advance(done: int, total: int) -> None:
            rate = done / max(1e-6, time.monotonic() - start)
            bar.update(task, completed=done, total=total, rate=f"{rate:.1f}/s")

        yield advance


def _lines(title: str) -> Advance:
    start = last = time.monotonic()

    def advance(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if done < total and now - last < LINE_EVERY_S:
            return
        last = now
        rate = done / max(1e-6, now - start)
        left = f", {(total - done) / rate:.0f} s left" if done < total and rate > 0 else ""
        say(f"{title}: {done}/{total} ({rate:.1f}/s{left})")

    return advance
