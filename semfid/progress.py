"""Progress without a library: the wheel carries none. One line that is written over on a terminal, a line now and then
elsewhere."""

from __future__ import annotations

import sys
import time

LINE_EVERY_S = 10.0


class Progress:
    """Says how far a loop is, on standard error.

    Args:
        title: what is being done.
        total: how many there are.
    """

    def __init__(self, title: str, total: int) -> None:
        self.title, self.total, self.done = title, total, 0
        self._start = self._last = time.monotonic()
        self._terminal = sys.stderr.isatty()

    def advance(self) -> None:
        """One more is done."""
        self.done += 1
        now = time.monotonic()
        if now - self._last >= (0.1 if self._terminal else LINE_EVERY_S) and self.done < self.total:
            self._last = now
            rate = self.done / max(1e-6, now - self._start)
            self._write(
                f"{self.title}: {self.done}/{self.total} ({rate:.1f}/s, {(self.total - self.done) / rate:.0f} s left)"
            )

    def close(self) -> None:
        """The last line."""
        rate = self.done / max(1e-6, time.monotonic() - self._start)
        self._write(f"{self.title}: {self.done}/{self.total} ({rate:.1f}/s)")
        if self._terminal:
            print(file=sys.stderr)

    def _write(self, text: str) -> None:
        if self._terminal:
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
        else:
            print(text, file=sys.stderr, flush=True)
