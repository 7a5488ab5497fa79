"""What the rest of a build will take, from what its first units took."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

AFTER_UNITS, AFTER_SECONDS = 5, 30.0


def estimate_line(made: int, seconds: float, size: int, left: int, free: int) -> str:
    """``0.8 s and 0.61 MB a unit; 900 left: 12 min and 0.5 GB, of 120 GB free``.

    Args:
        made, seconds, size: units made so far, their seconds, their bytes.
        left: units still to be made here.
        free: bytes free on the disk.
    """
    per_unit, per_size = seconds / max(1, made), size / max(1, made)
    line = f"{per_unit:.2g} s and {per_size / 1e6:.2f} MB a unit"
    if left:
        need = per_size * left
        line += f"; {left} left: {spoken(per_unit * left)} and {_disk(need)}, of {_disk(free)} free"
        if need > free:
            line += " - THE DISK WILL NOT DO"
    return line


class Estimator:
    """A watch of `Worker.run` that says the estimate once: after the first units, or after half a minute."""

    def __init__(self, folder: Path, say: Callable[[str], None], what: str) -> None:
        self.folder, self.say, self.what, self.said = folder, say, what, False

    def __call__(self, made: int, seconds: float, size: int, left: int) -> None:
        if not self.said and left and (made >= AFTER_UNITS or seconds >= AFTER_SECONDS):
            self.said = True
            free = shutil.disk_usage(self.folder).free
            self.say(f"{self.what}: {estimate_line(made, seconds, size, left, free)}")


def spoken(seconds: float) -> str:
    """A length of time in the unit that suits it."""
    for unit, length in (("days", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"


def _disk(size: float) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"
