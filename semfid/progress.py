"""How far long work is, on standard error: tqdm's bar on a terminal, a line now and then elsewhere or without tqdm."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

Advance = Callable[[int, int], None]
"""Called with how many are done, and how many there are."""
Stage = Callable[[str], AbstractContextManager[Advance]]
"""Progress of a piece of work by its title."""
LINE_EVERY_S = 10.0


@contextlib.contextmanager
def progress(title: str, shown: bool = True) -> Iterator[Advance]:
    """Show how far a piece of work is; nothing where there is nothing to do.

    Args:
        title: what is being done.
        shown: whether this process shows it.
    """
    if not shown:
        yield lambda done, total: None
        return
    meter = (_bar(title) if sys.stderr.isatty() else None) or _Lines(title)
    try:
        yield meter.advance
    finally:
        meter.close()


def silent(title: str) -> AbstractContextManager[Advance]:
    """A `Stage` that shows nothing."""
    return progress(title, shown=False)


def write_line(text: str) -> None:
    """A line on standard error, above the bars that are there."""
    bars = sys.modules.get("tqdm")
    if bars is not None and sys.stderr.isatty():
        bars.tqdm.write(text, file=sys.stderr)
    else:
        print(text, file=sys.stderr, flush=True)


class _Lines:
    """A line at most every `LINE_EVERY_S` seconds, and one at the end."""

    def __init__(self, title: str) -> None:
        self.title, self.ended = title, False
        self.start = self.last = time.monotonic()

    def advance(self, done: int, total: int) -> None:
        now = time.monotonic()
        if not total or self.ended or (done < total and now - self.last < LINE_EVERY_S):
            return
        self.last, self.ended = now, done >= total
        rate = done / max(1e-6, now - self.start)
        left = f", {(total - done) / rate:.0f} s left" if done < total and rate > 0 else ""
        write_line(f"{self.title}: {done}/{total} ({rate:.1f}/s{left})")

    def close(self) -> None:
        pass


class _Bar:
    """A bar of tqdm, from the first piece of work on."""

    def __init__(self, title: str, make: Callable[..., Any]) -> None:
        self.title, self.make = title, make
        self.bar: Any = None

    def advance(self, done: int, total: int) -> None:
        if self.bar is None and total:
            self.bar = self.make(desc=self.title, total=total, file=sys.stderr, dynamic_ncols=True)
        if self.bar is not None:
            self.bar.total = total
            self.bar.update(done - self.bar.n)

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()


def _bar(title: str) -> _Bar | None:
    try:
        from tqdm import tqdm
    except ModuleNotFoundError:
        return None
    return _Bar(title, tqdm)
