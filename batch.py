"""What a datamodule yields and a lightning module takes."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class PairBatch(NamedTuple):
    """B pairs. A named tuple, so that Lightning moves it between devices as it is.

    Attributes:
        reference: (B, 3, H, W) float32 RGB in [0, 1].
        candidate: (B, 3, H, W) float32 RGB in [0, 1].
        difference: (B,) label in [0, 1], NaN where there is none.
        map: (B, 1, H, W) difference map in [0, 1], or None.
        weight: (B,) weight of the pair in the loss, mean 1 over the table.
        pair_id: B names.
        source_id: B names.
        row: (B,) int64 row of the pair in the datamodule's table; puts predictions of many processes back in order.
        total: size of the whole batch over all processes, so that a loss is the same on 1 and on N of them; infinite for a
            pair that only fills up a process's share.
    """

    reference: Tensor
    candidate: Tensor
    difference: Tensor
    map: Tensor | None
    weight: Tensor
    pair_id: tuple[str, ...]
    source_id: tuple[str, ...]
    row: Tensor
    total: float
