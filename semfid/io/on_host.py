"""Results of a device as they arrive in the host's memory."""

from __future__ import annotations

import torch
from torch import Tensor


class OnHost:
    """A tensor on its way to the host. The copy is queued at once: behind what computes the tensor, before what is queued later.

    Args:
        values: on any device. From a GPU they are copied to pinned memory without waiting.
    """

    def __init__(self, values: Tensor) -> None:
        self._ready: torch.cuda.Event | None = None
        if values.is_cuda:
            self._values = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
            self._values.copy_(values, non_blocking=True)
            self._ready = torch.cuda.Event()
            self._ready.record(torch.cuda.current_stream(values.device))
        else:
            self._values = values.cpu()

    def get(self) -> Tensor:
        """The values on the host; waits until they are there."""
        if self._ready is not None:
            self._ready.synchronize()
        return self._values
