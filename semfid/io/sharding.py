"""Which part of the work this process does."""

from __future__ import annotations

import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

from semfid.errors import UserError


@dataclass(frozen=True)
class Shard:
    """Part `index` (from 0) of `count`."""

    index: int = 0
    count: int = 1

    def holds(self, sample: str) -> bool:
        """Whether the units of a sample are this shard's."""
        return zlib.crc32(sample.encode()) % self.count == self.index

    @property
    def name(self) -> str:
        return f"{self.index}-of-{self.count}"


def parse_shard(text: str) -> Shard:
    """``2/8`` is the third of eight.

    Raises:
        UserError: anything else.
    """
    index, slash, count = text.partition("/")
    if not (slash and index.isdecimal() and count.isdecimal() and int(index) < int(count)):
        raise UserError(f"--shard {text}: give i/n with i from 0 to n-1, such as 0/4")
    return Shard(int(index), int(count))


def shard_of_process(environment: Mapping[str, str] | None = None) -> Shard:
    """The shard that torchrun (RANK, WORLD_SIZE) or srun (SLURM_PROCID, SLURM_NTASKS) gives this process; else all."""
    env = os.environ if environment is None else environment
    for index, count in (("RANK", "WORLD_SIZE"), ("SLURM_PROCID", "SLURM_NTASKS")):
        if env.get(index, "").isdecimal() and env.get(count, "").isdecimal() and int(env[index]) < int(env[count]):
            return Shard(int(env[index]), int(env[count]))
    return Shard()
