"""How many processes decode images beside the one that computes."""

from __future__ import annotations

from typing import Literal

from semfid.io.cores import can_fork, cores
from semfid.io.shared_memory import AHEAD, free_room

Workers = int | Literal["auto"]
"""``auto``: `auto_workers`; a number is taken as it is."""

IMAGES_PER_WORKER = 256
"""Images that pay for starting a worker: at 224 pixels several times as long to decode (benchmarks/input_speed.py)."""


def auto_workers(images: int, batches: int, batch_bytes: int = 0, beside: int = 1) -> int:
    """Cores minus one; fewer where the work is smaller than starting them, or where shared memory has no room.

    Args:
        images: to be decoded, of an epoch.
        batches: that they come in.
        batch_bytes: of the largest batch, of all processes together; 0: not known.
        beside: processes on this machine that each have workers.
    """
    if not can_fork():
        return 0
    found = min(cores() // max(1, beside) - 1, images // IMAGES_PER_WORKER, batches)
    if found > 0 and batch_bytes:
        found = min(found, int(min(free_room() // (2 * AHEAD * batch_bytes), found)))  # half of the room, for others
    return max(0, found)
