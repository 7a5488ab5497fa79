"""The one place where the study asks for the time."""

from __future__ import annotations

import time


def _elapsed_ms() -> int:
    """Milliseconds that only ever grow, sleep of the machine included where the system counts it."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic_ns() // 1_000_000 if clock is None else time.clock_gettime_ns(clock) // 1_000_000


class Clock:
    """UTC in epoch milliseconds, read from the wall once and then carried on by the monotonic clock.

    Leases are decided by these times: somebody who turns the machine's clock must not end them or make them eternal.
    """

    def __init__(self) -> None:
        self._offset = time.time_ns() // 1_000_000 - _elapsed_ms()

    def now_ms(self) -> int:
        """Epoch milliseconds; never less than before."""
        return _elapsed_ms() + self._offset


_CLOCK = Clock()


def now_ms() -> int:
    """UTC in epoch milliseconds; never goes back while the program runs."""
    return _CLOCK.now_ms()
