"""Room for the batches that worker processes hand over: they lie in /dev/shm, and containers have little of it.

Without a look, torch shares a batch in a thread of the worker; where there is no room, the batch is lost and the training
waits for it without end. Here a worker shares what it collates before it hands it over, and an error reaches the training.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Generic, TypeVar

from torch import Tensor
from torch.utils.data import get_worker_info

from semfid.errors import UserError

Batch = TypeVar("Batch")

PLACE = Path("/dev/shm")
AHEAD = 2  # batches that each worker has ready, torch's default
KEY = "data.workers="  # what sets the workers, in front of their number


def fix(key: str) -> str:
    """What a user can do where there is no room."""
    return f"set {key}0, or give the container more (docker run --shm-size=2g)"


def free_room() -> float:
    """Bytes that are free for batches; infinite where a system shares memory otherwise."""
    return shutil.disk_usage(PLACE).free if PLACE.is_dir() else math.inf


def check_room(workers: int, batches: int, batch_bytes: int, key: str = KEY) -> None:
    """Check that the batches that workers have ready fit into shared memory.

    Args:
        workers: of this loader.
        batches: that it gives in an epoch.
        batch_bytes: of a batch of all training processes together, which share the memory.
        key: that sets the workers.

    Raises:
        UserError: they do not; names the key.
    """
    if workers == 0:
        return
    need, free = min(batches, AHEAD * workers) * batch_bytes, free_room()
    if need > free:
        raise UserError(
            f"{key}{workers} keeps up to {_megabytes(need)} of batches in {PLACE}, which has {_megabytes(free)} free; "
            f"{fix(key)}"
        )


class Shared(Generic[Batch]):
    """A collate function whose batches lie in shared memory before a worker hands them over.

    Args:
        collate: items to a tensor, or to a tuple or list with tensors in it.
        key: that sets the workers.
    """

    def __init__(self, collate: Callable[[Any], Batch], key: str = KEY) -> None:
        self.collate, self.key = collate, key

    def __call__(self, items: Any) -> Batch:
        """Collate.

        Raises:
            UserError: as `collate`; in a worker, no room.
        """
        batch = self.collate(items)
        worker = get_worker_info()
        if worker is None:
            return batch
        try:
            for tensor in _tensors(batch):
                tensor.share_memory_()
        except (RuntimeError, OSError) as error:
            why = " ".join(str(error).split())
            raise UserError(
                f"{self.key}{worker.num_workers}: {PLACE} cannot take another batch ({why}); {fix(self.key)}"
            ) from error
        return batch


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from _tensors(part)


def _megabytes(count: float) -> str:
    return f"{count / 1e6:.3g} MB"
