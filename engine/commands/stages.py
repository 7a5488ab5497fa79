"""Progress of the stages of a command."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from semfid.progress import Progress


@contextlib.contextmanager
def stage(title: str) -> Iterator[Callable[[int, int], None]]:
    """Progress of one stage on standard error; silent where there is nothing to do."""
    bar: Progress | None = None

    def advance(done: int, total: int) -> None:
        nonlocal bar
        bar = bar or Progress(title, total)  # its clock starts with the work
        bar.total = total
        while bar.done < done:
            bar.advance()

    yield advance
    if bar is not None and bar.total:
        bar.close()
