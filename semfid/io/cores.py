"""How many cores there are for this process, and whether it may start copies of itself."""

from __future__ import annotations

import multiprocessing
import os
import sys
from pathlib import Path

CORES = "SEMFID_CORES"
"""Environment variable: cores that a process may use, where it shares the machine with others."""
_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def cores() -> int:
    """Cores that this process may use: its affinity, `CORES`, and a container's quota of processor time."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    given = os.environ.get(CORES, "")
    if given.isdecimal():
        count = max(1, min(count, int(given)))
    try:
        quota, period = _QUOTA.read_text().split()
        return max(1, min(count, int(quota) // int(period)))
    except (OSError, ValueError):  # no quota ("max"), another system
        return count


def can_fork() -> bool:
    """Whether a worker starts as a copy of this process, in milliseconds and without its main module being run again.

    A process that is a worker itself may start none.
    """
    return sys.platform == "linux" and not multiprocessing.current_process().daemon
