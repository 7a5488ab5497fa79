"""A unit of work: what one step makes of one sample in one variant.

The slot (stage, sample, variant) names the unit for people, seeds and shards. The id is a hash of everything that its result
depends on, so a finished unit whose source, settings or weights have changed is seen to be stale.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Slot = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Unit:
    """One piece of work.

    Attributes:
        stage: name of the step.
        sample: name of the source photo; units of one sample lie in one shard.
        variant: which of the sample's results.
        id: 32 hex digits, see `make_unit`.
        work: what the builder needs to make it; not looked at here.
    """

    stage: str
    sample: str
    variant: str
    id: str
    work: Any = None

    @property
    def slot(self) -> Slot:
        return self.stage, self.sample, self.variant


def make_unit(stage: str, sample: str, variant: str, recipe: str, inputs: Sequence[str] = (), work: Any = None) -> Unit:
    """A unit with its id.

    Args:
        recipe: `recipe_of` the settings, weights and code version that the stage uses.
        inputs: content hashes of the files it reads, or ids of the units whose results it reads.
    """
    text = "\x1f".join((stage, sample, variant, recipe, *inputs))
    return Unit(stage, sample, variant, hashlib.blake2b(text.encode(), digest_size=16).hexdigest(), work)


def recipe_of(settings: Mapping[str, Any]) -> str:
    """Hash of settings that JSON can spell, whatever the order of their keys."""
    return hashlib.blake2b(json.dumps(settings, sort_keys=True).encode(), digest_size=16).hexdigest()


def file_state(path: Path) -> str:
    """Size and time of a file, as inputs of a unit; ``absent`` where there is none."""
    try:
        found = path.stat()
    except OSError:
        return "absent"
    return f"{found.st_size} {found.st_mtime_ns}"


def seed_sequence(root: int, stage: str, sample: str, variant: str) -> np.random.SeedSequence:
    """The seed of a slot: it depends on neither order, shard nor process."""
    return np.random.SeedSequence([root, *(zlib.crc32(part.encode()) for part in (stage, sample, variant))])


def generator(root: int, stage: str, sample: str, variant: str) -> np.random.Generator:
    """A generator of one's own for a slot."""
    return np.random.default_rng(seed_sequence(root, stage, sample, variant))
