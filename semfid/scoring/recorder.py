"""Outcomes go to disk in threads while the next ones are computed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from semfid.io.cores import cores
from semfid.scoring.folder import Scored
from semfid.scoring.results import Row

MOST_PIXELS = 16 * 512 * 512
"""Of maps that wait to be written; beyond it, scoring waits."""
MOST = 256  # outcomes that wait


class Recorder:
    """A context in which outcomes are recorded; leaving it waits for what was given, whatever else happened.

    Args:
        draw: makes an outcome's row, and writes its maps; several at once, in any order.
        keep: what is done with each row when its maps are on disk; one after another, in the order of the outcomes.
    """

    def __init__(self, draw: Callable[[Scored], Row], keep: Callable[[Scored, Row], None]) -> None:
        self.draw, self.keep = draw, keep
        self._drawing = ThreadPoolExecutor(min(4, cores()))
        self._keeping = ThreadPoolExecutor(1)
        self._coming: deque[tuple[int, Future[None]]] = deque()

    def add(self, scored: Scored) -> None:
        """Record an outcome.

        Raises:
            UserError: an earlier one could not be written.
        """
        row = self._drawing.submit(self.draw, scored)
        pixels = 0 if scored.map is None else scored.map.size
        self._coming.append((pixels, self._keeping.submit(lambda: self.keep(scored, row.result()))))
        while self._coming and (
            self._coming[0][1].done()
            or len(self._coming) > MOST
            or (len(self._coming) > 1 and sum(own for own, _ in self._coming) > MOST_PIXELS)
        ):
            self._coming.popleft()[1].result()

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self._drawing.shutdown()
        self._keeping.shutdown()
        if error is None:
            for _, future in self._coming:
                future.result()
