"""From image files to statistics of a frozen trunk: every distinct image goes through the trunk once.

Pairs are visited photo by photo, in the chunks of `engine.training.chunks`. Under several processes each takes whole groups of
connected pairs and writes what it computed into the cache, where all find it.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import lightning as L
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from backbones import Backbone
from datamodules.base import PairDataModule
from datamodules.shared_memory import Shared, check_room
from engine.training.cache import CacheKey, StatisticsCache
from engine.training.chunks import Chunk, NamedPair, plan_chunks, share_of_pairs
from heads import Head
from heads.contract import Consumes, Normalize, Taps
from heads.grid_head import flat, stride_of
from heads.statistics import differences_for, is_sided, pool
from semfid.errors import UserError
from semfid.progress import Advance
from semfid.scoring.local_evidence import difference_grids

FLUSH_BYTES = 64 << 20
IMAGES_PER_PASS = 32  # fixed, so that figures do not depend on data.batch_size, nor memory
LARGE_IMAGES_PER_PASS = 8  # of images that are not S x S: their features are held at their own size
PER_PAIR = ("pooled_squared_differences", "difference_grids")


@dataclass(frozen=True)
class Statistic:
    """One kind of fixed-size statistic that heads consume.

    Attributes:
        pooling: of squared differences over positions, one of `heads.statistics.parse_poolings`, or a grid head's.
    """

    consumes: Consumes
    taps: Taps
    normalize: Normalize
    pooling: str = "mean"

    @classmethod
    def of(cls, head: Head) -> tuple[Statistic, ...]:
        """What `head` is fed, one statistic per pooling, to be laid side by side; equal for heads that can share."""
        if head.consumes == "embeddings":
            return (cls("embeddings", "stages", "none"),)
        if head.consumes in PER_PAIR:
            return tuple(cls(head.consumes, head.taps, head.normalize, pooling) for pooling in head.poolings)
        return (cls(head.consumes, head.taps, "none"),)

    @property
    def per_image(self) -> bool:
        return self.consumes not in PER_PAIR

    def __str__(self) -> str:
        pooling = "" if self.pooling == "mean" else f"-{self.pooling}"  # means were kept before there were others
        return f"{self.consumes}-{self.taps}-{self.normalize}{pooling}"


class _Images(Dataset[Tensor]):
    """Decodes by content name."""

    def __init__(self, data: PairDataModule, path_of: dict[str, str]) -> None:
        self.dataset, self.path_of = data.dataset, path_of

    def __getitem__(self, content: str) -> Tensor:
        return self.dataset.image(self.path_of[content])

    def __len__(self) -> int:
        return len(self.path_of)


def _as_list(images: Sequence[Tensor]) -> list[Tensor]:
    return list(images)


class _Chunks(torch.utils.data.Sampler[list[str]]):
    def __init__(self, chunks: Sequence[Chunk]) -> None:
        self.chunks = chunks

    def __iter__(self) -> Iterator[list[str]]:
        return (list(chunk.new) for chunk in self.chunks)

    def __len__(self) -> int:
        return len(self.chunks)


class StatisticsExtractor(L.LightningModule):
    """Runs chunks through a trunk under a Lightning Trainer, so that devices and precision are the YAML's."""

    def __init__(
        self,
        trunk: Backbone,
        pairs: Sequence[NamedPair],
        images_per_pass: int,
        images: _Images,
        statistics: Sequence[Statistic],
        sink: _Sink,
        workers: int,
        advance: Advance,
    ) -> None:
        super().__init__()
        self.trunk, self.statistics, self.sink = trunk, tuple(statistics), sink
        self.pairs, self.images_per_pass = pairs, images_per_pass
        self.images, self.workers, self.advance = images, workers, advance
        self.images_seen = 0
        self._held: dict[str, dict[str, Any]] = {}
        self._mine: Sequence[Chunk] = ()

    def predict_dataloader(self) -> DataLoader[Tensor]:
        # another run may have filled the cache between two processes' looks at it: all follow rank 0's
        self.pairs, self.statistics = self.trainer.strategy.broadcast((self.pairs, self.statistics))
        mine = share_of_pairs(self.pairs, self.trainer.global_rank, self.trainer.world_size)
        # Lightning refuses a loader that is empty on some processes alone: there, one chunk of nothing
        self._mine = plan_chunks(mine, self.images_per_pass) or [Chunk((), (), frozenset())]
        return DataLoader(
            self.images,
            batch_sampler=_Chunks(self._mine),  # type: ignore[arg-type]
            num_workers=self.workers,
            collate_fn=Shared(_as_list),
        )

    def predict_step(self, batch: list[Tensor], batch_idx: int) -> None:
        chunk = self._mine[batch_idx]
        for content, described in zip(chunk.new, self._describe(batch), strict=True):
            self._held[content] = described
        self._emit_pairs(chunk)
        # copies: a slice would keep its whole batch alive
        self._held = {
            content: described if content not in chunk.new else _copied(described)
            for content, described in self._held.items()
            if content in chunk.carry
        }
        self.advance(batch_idx + 1, len(self._mine))

    def on_predict_end(self) -> None:
        self.sink.flush()

    def _describe(self, images: list[Tensor]) -> list[dict[str, Any]]:
        """Features per tap kind and embedding of each image; images of equal size share a pass."""
        out: list[dict[str, Any]] = [{} for _ in images]
        by_shape: dict[torch.Size, list[int]] = {}
        for index, image in enumerate(images):
            by_shape.setdefault(image.shape, []).append(index)
        for indices in by_shape.values():
            batch = torch.stack([images[i] for i in indices]).to(self.device).float() / 255.0  # (b, 3, H, W)
            self.images_seen += len(indices)
            for name, value in self._pass(batch).items():
                for place, index in enumerate(indices):
                    out[index][name] = (
                        [tap[place : place + 1] for tap in value] if isinstance(value, list) else value[place]
                    )
        return out

    def _pass(self, batch: Tensor) -> dict[str, Any]:
        kinds = {(s.consumes == "embeddings", s.taps) for s in self.statistics}
        embeds = any(embedding for embedding, _ in kinds)
        result: dict[str, Any] = {}
        for taps in sorted({taps for embedding, taps in kinds if not embedding}):
            if embeds and "embedding" not in result:
                result[taps], result["embedding"] = self.trunk.features_and_embedding(batch, taps)
            else:
                result[taps] = self.trunk.features(batch, taps)
        if embeds and "embedding" not in result:
            result["embedding"] = self.trunk.embed(batch)
        return result

    def _emit_pairs(self, chunk: Chunk) -> None:
        same_differences: dict[tuple[Taps, Normalize, bool], list[Statistic]] = {}
        for statistic in self.statistics:
            if not statistic.per_image:
                kind = statistic.taps, statistic.normalize, is_sided([statistic.pooling])
                same_differences.setdefault(kind, []).append(statistic)
                continue
            for content in chunk.new:
                described = self._held[content]
                value = (
                    described["embedding"] if statistic.consumes == "embeddings" else pool(described[statistic.taps])[0]
                )
                self.sink.put(statistic, bytes.fromhex(content), value)
        for statistics in same_differences.values():
            # reference by reference: its features are expanded, not copied, against the stack of its candidates
            for _, group in itertools.groupby(chunk.pairs, key=lambda pair: pair[1]):
                self._emit_group(statistics, list(group))

    def _emit_group(self, statistics: Sequence[Statistic], pairs: Sequence[tuple[int, str, str]]) -> None:
        """Statistics of one kind of differences that differ in their pooling, of pairs of one reference."""
        taps, normalize = statistics[0].taps, statistics[0].normalize
        x = self._held[pairs[0][1]][taps]
        sizes: dict[torch.Size, list[tuple[int, str, str]]] = {}
        for pair in pairs:
            sizes.setdefault(self._held[pair[2]][taps][0].shape, []).append(pair)
        for shape, group in sizes.items():
            if shape != x[0].shape:
                raise UserError(
                    "a pair's images have different sizes; scale one to the other's size, or set data.resize: squash"
                )
            y = [torch.cat(tap) for tap in zip(*(self._held[p[2]][taps] for p in group), strict=True)]
            differences = differences_for([statistic.pooling for statistic in statistics], x, y, normalize)
            for statistic in statistics:
                for pair, value in zip(group, self._of_pairs(statistic, differences), strict=True):
                    self.sink.put(statistic, pair_entry(pair[1], pair[2]), value)

    def _of_pairs(self, statistic: Statistic, differences: Sequence[Tensor]) -> Tensor:
        """(b, D) of squared differences (b, C_l, H_l, W_l) per tap, as `differences_for` the pooling gives them."""
        if statistic.consumes == "difference_grids":
            return flat(difference_grids(differences, self.trunk.strides, stride_of(statistic.pooling)))
        return pool(differences, [statistic.pooling])


def _copied(described: dict[str, Any]) -> dict[str, Any]:
    return {
        name: [tap.clone() for tap in value] if isinstance(value, list) else value.clone()
        for name, value in described.items()
    }


class _Sink:
    """Collects entries and hands them to the cache, or keeps them where there is none."""

    def __init__(self, cache: StatisticsCache | None, keys: dict[Statistic, CacheKey]) -> None:
        self.cache, self.keys = cache, keys
        self.kept: dict[tuple[Statistic, bytes], Tensor] = {}
        self._bytes = 0

    def put(self, statistic: Statistic, entry: bytes, value: Tensor) -> None:
        dtype = torch.float16 if statistic.consumes == "difference_grids" else torch.float32
        value = value.detach().to(dtype).cpu().clone()
        self.kept[statistic, entry] = value
        self._bytes += value.nbytes
        if self.cache is not None and self._bytes > FLUSH_BYTES:
            self.flush()

    def flush(self) -> None:
        if self.cache is None:
            return
        for statistic, key in self.keys.items():
            entries = [entry for kind, entry in self.kept if kind == statistic]
            if entries:
                self.cache.add(key, entries, torch.stack([self.kept[statistic, entry] for entry in entries]))
        self.kept, self._bytes = {}, 0


def pair_entry(reference: str, candidate: str) -> bytes:
    """Key of a pair from the content names (hex) of its images."""
    return hashlib.blake2b(f"{reference}{candidate}".encode(), digest_size=16).digest()


def extract(
    trunk: Backbone,
    data: PairDataModule,
    statistics: Sequence[Statistic],
    trainer: L.Trainer,
    cache: StatisticsCache | None,
    advance: Advance,
) -> dict[Statistic, Tensor]:
    """Statistics of all pairs of a datamodule, in the order of its table.

    Returns:
        per statistic (N, D), or (N, 2, D) for per-image statistics; on every process. Float32; grids in float16.

    Raises:
        UserError: a bad image, images of different sizes under ``resize: none``, several processes without a cache.
    """
    content = {path: digest.hex() for path, digest in data.image_hashes().items()}
    x = [content[path] for path in data.dataset.reference]
    y = [content[path] for path in data.dataset.candidate]
    entries: dict[Statistic, list[bytes]] = {}
    keys: dict[Statistic, CacheKey] = {}
    for statistic in statistics:
        keys[statistic] = CacheKey(trunk.identity, data.preprocessing, str(trainer.precision), str(statistic))
        entries[statistic] = (
            [bytes.fromhex(name) for name in (*x, *y)]
            if statistic.per_image
            else [pair_entry(a, b) for a, b in zip(x, y, strict=True)]
        )
    if trainer.world_size > 1 and cache is None:
        raise UserError("cache.enabled: false needs a single device; several processes meet in the cache")
    found = {statistic: _lookup(cache, keys[statistic], entries[statistic]) for statistic in statistics}
    # several processes meet even where nothing is missing: each has looked by itself, and rank 0 may have seen less
    if not all(hit.all() for hit, _ in found.values()) or trainer.world_size > 1:
        with contextlib.ExitStack() as locks:
            if cache is not None and trainer.world_size == 1:
                for key in sorted(keys.values(), key=str):
                    locks.enter_context(cache.filling(key))
                # what another process computed while this one waited
                found = {statistic: _lookup(cache, keys[statistic], entries[statistic]) for statistic in statistics}
            found |= _compute(trunk, data, found, keys, entries, list(zip(x, y, strict=True)), trainer, cache, advance)
    return {statistic: _shape(statistic, values, len(x)) for statistic, (_, values) in found.items()}


Found = dict[Statistic, tuple[Any, Tensor | None]]


def _compute(
    trunk: Backbone,
    data: PairDataModule,
    found: Found,
    keys: dict[Statistic, CacheKey],
    entries: dict[Statistic, list[bytes]],
    pairs: list[tuple[str, str]],
    trainer: L.Trainer,
    cache: StatisticsCache | None,
    advance: Advance,
) -> Found:
    """Run the trunk for what was not found; the statistics that this completes."""
    wanted = [statistic for statistic, (hit, _) in found.items() if not hit.all()]
    rows: set[int] = set()
    for statistic in wanted:  # per-image entries list all references, then all candidates
        rows.update(((~found[statistic][0]).nonzero()[0] % len(pairs)).tolist())
    distinct: dict[tuple[str, str], int] = {}
    for row in sorted(rows):
        distinct.setdefault(pairs[row], row)
    if not distinct and trainer.world_size == 1:
        return {}
    many = LARGE_IMAGES_PER_PASS if data.loader.resize in ("none", "bounded") else IMAGES_PER_PASS
    missing = [(row, a, b) for (a, b), row in distinct.items()]
    if data.loader.resize != "none":  # else images are of any size
        chunks, size = -(-2 * len(missing) // many), 3 * data.loader.image_size**2
        check_room(data.loader.workers, chunks, min(many, 2 * len(missing)) * size * trainer.world_size)
    sink = _Sink(cache, keys)
    images = _Images(data, {digest.hex(): path for path, digest in data.image_hashes().items()})
    extractor = StatisticsExtractor(trunk, missing, many, images, wanted, sink, data.loader.workers, advance)
    trainer.predict(extractor, return_predictions=False)
    if trainer.world_size > 1:
        trainer.strategy.barrier("statistics")
    trunk.to("cpu")
    completed: Found = {}
    for statistic in wanted:
        hit, values = found[statistic] if cache is None else _lookup(cache, keys[statistic], entries[statistic])
        completed[statistic] = _fill(statistic, hit, values, entries[statistic], sink)
    return completed


def _lookup(cache: StatisticsCache | None, key: CacheKey, entries: Sequence[bytes]) -> tuple[Any, Tensor | None]:
    return (np.zeros(len(entries), dtype=bool), None) if cache is None else cache.lookup(key, entries)


def _fill(
    statistic: Statistic, hit: Any, values: Tensor | None, entries: Sequence[bytes], sink: _Sink
) -> tuple[Any, Tensor]:
    """Rows that the cache does not hold (there is none, or they were evicted meanwhile) come from the sink."""
    for row, entry in enumerate(entries):
        if hit[row]:
            continue
        value = sink.kept.get((statistic, entry))
        if value is None:
            raise UserError("cache.max_gb is too small for the statistics of this experiment; raise it")
        if values is None:
            values = torch.empty((len(entries), *value.shape), dtype=value.dtype)
        values[row] = value
        hit[row] = True
    assert values is not None
    return hit, values


def _shape(statistic: Statistic, values: Tensor | None, count: int) -> Tensor:
    assert values is not None
    return torch.stack([values[:count], values[count:]], dim=1) if statistic.per_image else values
