"""Inputs of heads for all pairs of a datamodule, computed with a frozen backbone: every distinct image goes through it once.

Pairs are visited photo by photo, in the chunks of `engine.training.chunks`. Under several processes each takes whole groups of
connected pairs and writes what it computed into the cache, where all find it. An entry of the cache is one input of one pair (or
image), keyed by what determines it: the backbone's weights, the preprocessing, the arithmetic, the input, and the bytes of the
image files.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

import lightning as L
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from backbones import Backbone
from datamodules.base import PairDataModule
from engine.training.feature_pass import FeaturePass, Images, Sink, pair_entry
from heads.inputs import HeadInput
from semfid.errors import UserError
from semfid.io.vector_cache import VectorCache
from semfid.progress import Advance
from semfid.scoring.arithmetic import float32_products

IMAGES_PER_PASS = 32  # fixed, so that metrics do not depend on data.batch_size, nor memory
LARGE_IMAGES_PER_PASS = 8  # of images that are not S x S: their features are held at their own size


def extract(
    backbone: Backbone,
    data: PairDataModule,
    inputs: Sequence[HeadInput],
    trainer: L.Trainer,
    cache: VectorCache | None,
    advance: Advance,
    tf32: bool = False,
) -> dict[HeadInput, Tensor]:
    """Inputs of all pairs of a datamodule, in the order of its table.

    Args:
        inputs: parts, see `HeadInput.parts`.
        tf32: whether a GPU computes float32 products in TF32; such entries of the cache are others.

    Returns:
        per input (N, D), or (N, 2, D) where it is one of images; on every process. Float32; grids in float16.

    Raises:
        UserError: a bad image, images of different sizes under ``resize: none``, several processes without a cache.
    """
    if trainer.world_size > 1 and cache is None:
        raise UserError("cache.enabled: false needs a single device; several processes meet in the cache")
    content = {path: digest.hex() for path, digest in data.image_hashes().items()}
    x = [content[path] for path in data.dataset.reference]
    y = [content[path] for path in data.dataset.candidate]
    of_images = [bytes.fromhex(name) for name in (*x, *y)]  # all references, then all candidates
    of_pairs = [pair_entry(a, b) for a, b in zip(x, y, strict=True)]
    around = f"{data.preprocessing}-{trainer.precision}{'-tf32' if tf32 else ''}"
    wanted = [
        _Wanted(own, cache_folder(backbone.identity, around, str(own)), of_images if own.per_image else of_pairs, cache)
        for own in inputs
    ]
    # several processes meet even where nothing is missing: each has looked by itself, and rank 0 may have seen less
    if any(own.missing for own in wanted) or trainer.world_size > 1:
        with contextlib.ExitStack() as locks:
            if cache is not None and trainer.world_size == 1:
                for folder in sorted(own.folder for own in wanted):
                    locks.enter_context(cache.filling(folder))
                for own in wanted:  # what another process computed while this one waited
                    own.look()
            with float32_products(tf32):
                _compute(backbone, data, wanted, list(zip(x, y, strict=True)), trainer, cache, advance)
    return {own.input: own.rows(len(x)) for own in wanted}


def cache_folder(*parts: str) -> str:
    """Folder of what these determine, below the cache's root."""
    return "/".join(re.sub(r"[^A-Za-z0-9._-]", "_", part) for part in parts)


@dataclass
class _Wanted:
    """One input, and what is there of its entries.

    Attributes:
        input: which.
        folder: in the cache.
        entries: keys of all rows.
        hit: (n,) which of them are there.
        values: (n, D), unset where they are not; None where nothing is.
    """

    input: HeadInput
    folder: str
    entries: Sequence[bytes]
    cache: VectorCache | None

    def __post_init__(self) -> None:
        self.look()

    def look(self) -> None:
        self.hit: NDArray[np.bool_] = np.zeros(len(self.entries), dtype=bool)
        self.values: Tensor | None = None
        if self.cache is not None:
            self.hit, self.values = self.cache.lookup(self.folder, self.entries)

    @property
    def missing(self) -> bool:
        return not self.hit.all()

    def missing_rows(self, pairs: int) -> set[int]:
        """Rows of the pairs with entries that are not there."""
        return set((np.flatnonzero(~self.hit) % pairs).tolist())

    def fill(self, sink: Sink) -> None:
        """Rows that the cache does not hold (there is none, or they were evicted meanwhile) come from the sink."""
        if self.cache is not None:
            self.look()
        for row in np.flatnonzero(~self.hit).tolist():
            value = sink.kept.get((self.input, self.entries[row]))
            if value is None:
                raise UserError("cache.max_gb is too small for the statistics of this experiment; raise it")
            if self.values is None:
                self.values = torch.empty((len(self.entries), *value.shape), dtype=value.dtype)
            self.values[row] = value
        self.hit[:] = True

    def rows(self, pairs: int) -> Tensor:
        """(N, D), or (N, 2, D) of references and candidates."""
        values = torch.empty(0) if self.values is None else self.values
        return torch.stack([values[:pairs], values[pairs:]], dim=1) if self.input.per_image else values


def _compute(
    backbone: Backbone,
    data: PairDataModule,
    inputs: Sequence[_Wanted],
    pairs: list[tuple[str, str]],
    trainer: L.Trainer,
    cache: VectorCache | None,
    advance: Advance,
) -> None:
    """Run the backbone for what was not found, and fill that in."""
    wanted = [own for own in inputs if own.missing]
    distinct: dict[tuple[str, str], int] = {}
    for row in sorted(set().union(*(own.missing_rows(len(pairs)) for own in wanted))):
        distinct.setdefault(pairs[row], row)
    if not distinct and trainer.world_size == 1:
        return
    many = LARGE_IMAGES_PER_PASS if data.loader.resize in ("none", "bounded") else IMAGES_PER_PASS
    missing = [(row, a, b) for (a, b), row in distinct.items()]
    known = data.loader.resize != "none"  # else images are of any size
    largest = min(many, 2 * len(missing)) * 3 * data.loader.image_size**2 * trainer.world_size if known else 0  # bytes
    distinct_images = len({name for _, *names in missing for name in names}) // trainer.world_size
    workers = data.workers_for(distinct_images, -(-2 * len(missing) // many), largest)
    sink = Sink(cache, {own.input: own.folder for own in inputs})
    images = Images(data, {digest.hex(): path for path, digest in data.image_hashes().items()})
    needed = [own.input for own in wanted]
    passed = FeaturePass(backbone, missing, many, images, needed, sink, workers, advance)
    trainer.predict(passed, return_predictions=False)
    if trainer.world_size > 1:
        trainer.strategy.barrier("statistics")
    backbone.to("cpu")
    for own in wanted:
        own.fill(sink)
