"""The pass of images through a frozen backbone that fills the cache of features, under a Lightning Trainer."""

from __future__ import annotations

import hashlib
import itertools
from collections import deque
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import lightning as L
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from backbones import Backbone
from datamodules.base import PairDataModule
from engine.training.chunks import Chunk, NamedPair, plan_chunks, share_of_pairs
from heads.features import Features, backbone_features, rows_of
from heads.inputs import HeadInput, combined
from semfid.errors import UserError
from semfid.io.on_host import OnHost
from semfid.io.shared_memory import AHEAD, Shared
from semfid.io.vector_cache import VectorCache
from semfid.progress import Advance

FLUSH_BYTES = 64 << 20


_Entries = tuple[HeadInput, Sequence[bytes], OnHost]
"""An input, keys of some of its entries, and their values, (n, ...)."""


class Images(Dataset[Tensor]):
    """Decodes by content name."""

    def __init__(self, data: PairDataModule, path_of: dict[str, str]) -> None:
        self.dataset, self.path_of = data.dataset, path_of

    def __getitem__(self, content: str) -> Tensor:
        return self.dataset.image(self.path_of[content])

    def __len__(self) -> int:
        return len(self.path_of)


class Decoded(NamedTuple):
    """Images of a chunk, those of one size in one tensor: a worker hands over tensors, and each takes its time.

    Attributes:
        stacks: (b, 3, H, W) uint8, one a size.
        places: numbers in the chunk of the images of each.
    """

    stacks: tuple[Tensor, ...]
    places: tuple[tuple[int, ...], ...]


def by_size(images: Sequence[Tensor]) -> Decoded:
    """Images (3, H, W) with equal sizes together, in the order of their first."""
    sizes: dict[torch.Size, list[int]] = {}
    for index, image in enumerate(images):
        sizes.setdefault(image.shape, []).append(index)
    places = tuple(tuple(own) for own in sizes.values())
    return Decoded(tuple(torch.stack([images[index] for index in own]) for own in places), places)


class _Chunks(torch.utils.data.Sampler[list[str]]):
    def __init__(self, chunks: Sequence[Chunk]) -> None:
        self.chunks = chunks

    def __iter__(self) -> Iterator[list[str]]:
        return (list(chunk.new) for chunk in self.chunks)

    def __len__(self) -> int:
        return len(self.chunks)


class FeaturePass(L.LightningModule):
    """Runs chunks through a backbone under a Lightning Trainer, so that devices and precision are the YAML's."""

    def __init__(
        self,
        backbone: Backbone,
        pairs: Sequence[NamedPair],
        images_per_pass: int,
        images: Images,
        inputs: Sequence[HeadInput],
        sink: Sink,
        workers: int,
        advance: Advance,
    ) -> None:
        super().__init__()
        self.backbone, self.inputs, self.sink = backbone, tuple(inputs), sink
        self.pairs, self.images_per_pass = pairs, images_per_pass
        self.images, self.workers, self.advance = images, workers, advance
        self.images_seen = 0
        self._held: dict[str, Features] = {}
        self._computed: list[_Entries] = []
        self._coming: deque[list[_Entries]] = deque()
        self._mine: Sequence[Chunk] = ()

    def predict_dataloader(self) -> DataLoader[Tensor]:
        # another run may have filled the cache between two processes' looks at it: all follow rank 0's
        self.pairs, self.inputs = self.trainer.strategy.broadcast((self.pairs, self.inputs))
        mine = share_of_pairs(self.pairs, self.trainer.global_rank, self.trainer.world_size)
        # Lightning refuses a loader that is empty on some processes alone: there, one chunk of nothing
        self._mine = plan_chunks(mine, self.images_per_pass) or [Chunk((), (), frozenset())]
        return DataLoader(
            self.images,
            batch_sampler=_Chunks(self._mine),  # type: ignore[arg-type]
            num_workers=self.workers,
            collate_fn=Shared(by_size),
            prefetch_factor=AHEAD if self.workers else None,
            pin_memory=self.trainer.strategy.root_device.type == "cuda",
        )

    def predict_step(self, batch: Decoded, batch_idx: int) -> None:
        chunk = self._mine[batch_idx]
        for content, features in zip(chunk.new, self._features(batch, len(chunk.new)), strict=True):
            self._held[content] = features
        self._emit_images(chunk)
        self._emit_pairs(chunk)
        # copies: a slice would keep its whole batch alive
        self._held = {
            content: features if content not in chunk.new else _copied(features)
            for content, features in self._held.items()
            if content in chunk.carry
        }
        self._store(0 if self.device.type == "cpu" else 1)
        self.advance(batch_idx + 1, len(self._mine))

    def on_predict_end(self) -> None:
        self._store(0)
        self.sink.flush()

    def _store(self, ahead: int) -> None:
        """Entries go to the sink, but for those of the last chunks, which a device may still be computing."""
        self._coming.append(self._computed)
        self._computed = []
        while len(self._coming) > ahead:
            for own, entries, arriving in self._coming.popleft():
                for entry, value in zip(entries, arriving.get(), strict=True):
                    self.sink.put(own, entry, value)

    def _features(self, decoded: Decoded, count: int) -> list[Features]:
        """Features of each image, as a batch of one; images of equal size share a pass."""
        needs = {need for own in self.inputs for need in own.needs}
        out: list[Features] = [{} for _ in range(count)]
        for stack, indices in zip(*decoded, strict=True):
            self.images_seen += len(indices)
            batch = stack.to(self.device, non_blocking=True).float() / 255.0  # (b, 3, H, W)
            features = backbone_features(self.backbone, batch, needs)
            for place, index in enumerate(indices):
                out[index] = rows_of(features, slice(place, place + 1))
        return out

    def _emit_images(self, chunk: Chunk) -> None:
        for own in self.inputs:
            if own.per_image:
                for content in chunk.new:
                    value = own.of_features(self._held[content])[0].float()  # (1, D)
                    self._computed.append((own, [bytes.fromhex(content)], OnHost(value)))

    def _emit_pairs(self, chunk: Chunk) -> None:
        wholes = combined(own for own in self.inputs if not own.per_image)
        if wholes:
            # reference by reference: its features are expanded, not copied, against the stack of its candidates
            for _, group in itertools.groupby(chunk.pairs, key=lambda pair: pair[1]):
                self._emit_group(wholes, list(group))

    def _emit_group(self, wholes: Sequence[HeadInput], pairs: Sequence[NamedPair]) -> None:
        """Comparisons of the pairs of one reference."""
        reference = self._held[pairs[0][1]]
        sizes: dict[tuple[torch.Size, ...], list[NamedPair]] = {}
        for pair in pairs:
            sizes.setdefault(_shapes(self._held[pair[2]]), []).append(pair)
        for shapes, group in sizes.items():
            if shapes != _shapes(reference):
                raise UserError(
                    "a pair's images have different sizes; scale one to the other's size, or set data.resize: squash"
                )
            candidates = _stacked([self._held[pair[2]] for pair in group])
            for whole in wholes:
                cached = whole.cached(whole.of_features(reference), whole.of_features(candidates))
                entries = [pair_entry(pair[1], pair[2]) for pair in group]
                for part, values in zip(whole.parts(), cached, strict=True):
                    self._computed.append((part, entries, OnHost(values.detach())))


def pair_entry(reference: str, candidate: str) -> bytes:
    """Key of a pair from the content names (hex) of its images."""
    return hashlib.blake2b(f"{reference}{candidate}".encode(), digest_size=16).digest()


def _shapes(features: Features) -> tuple[torch.Size, ...]:
    return tuple(tap.shape for taps in features.values() for tap in taps)


def _stacked(each: Sequence[Features]) -> Features:
    return {need: [torch.cat(tap) for tap in zip(*(own[need] for own in each), strict=True)] for need in each[0]}


def _copied(features: Features) -> Features:
    return {need: [tap.clone() for tap in taps] for need, taps in features.items()}


class Sink:
    """Collects entries and hands them to the cache, or keeps them where there is none.

    Args:
        folders: of each input in the cache.
    """

    def __init__(self, cache: VectorCache | None, folders: dict[HeadInput, str]) -> None:
        self.cache, self.folders = cache, folders
        self.kept: dict[tuple[HeadInput, bytes], Tensor] = {}
        self._bytes = 0

    def put(self, own: HeadInput, entry: bytes, value: Tensor) -> None:
        value = value.detach().cpu().clone()
        self.kept[own, entry] = value
        self._bytes += value.nbytes
        if self.cache is not None and self._bytes > FLUSH_BYTES:
            self.flush()

    def flush(self) -> None:
        if self.cache is None:
            return
        for own, folder in self.folders.items():
            entries = [entry for kind, entry in self.kept if kind == own]
            if entries:
                self.cache.add(folder, entries, torch.stack([self.kept[own, entry] for entry in entries]))
        self.kept, self._bytes = {}, 0
