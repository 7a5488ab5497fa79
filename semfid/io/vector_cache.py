"""Vectors on disk, by what they were made of.

Entries lie in chunk files that appear by rename, so processes may read and write the same cache at the same time, and may be
killed: at worst two compute the same entry.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from semfid.errors import UserError
from semfid.io.files import write_whole
from semfid.io.locks import lock
from semfid.progress import Advance

KEY_BYTES = 16
EMBEDDINGS = Path(".cache/embeddings")


def text_key(text: str) -> bytes:
    """Key of a sentence."""
    return hashlib.blake2b(text.encode(), digest_size=KEY_BYTES).digest()


def folder_name(identity: str) -> str:
    """A folder's name for an identity: readable, and another one for every other identity."""
    readable = re.sub(r"[^A-Za-z0-9._-]+", "_", identity)[:80]
    return f"{readable}-{hashlib.blake2b(identity.encode(), digest_size=6).hexdigest()}"


class VectorCache:
    """Chunk files below one folder.

    Args:
        root: folder of the cache.
        max_bytes: the least recently used chunks are removed beyond it; None: none is.
    """

    def __init__(self, root: Path, max_bytes: int | None = None) -> None:
        self.root, self.max_bytes = root, max_bytes
        self._known: dict[str, tuple[dict[Path, None], dict[bytes, tuple[Path, int]]]] = {}  # see `_places`

    def lookup(self, folder: str, entries: Sequence[bytes]) -> tuple[NDArray[np.bool_], Tensor | None]:
        """What is there of the entries.

        Args:
            folder: below the root; all entries of one have one shape.
            entries: 16-byte digests, one per row wanted.

        Returns:
            ``found`` (n,) bool, and (n, ...) values with unset rows where not found (None: nothing found); float32, or
            float16 where that was added.
        """
        wanted: dict[bytes, list[int]] = {}
        for row, entry in enumerate(entries):
            wanted.setdefault(entry, []).append(row)
        found = np.zeros(len(entries), dtype=bool)
        values: Tensor | None = None
        places = self._places(folder)
        hits: dict[Path, list[tuple[int, int]]] = {}  # place in the chunk, row
        for entry, rows in wanted.items():
            if entry in places:
                path, place = places[entry]
                hits.setdefault(path, []).extend((place, row) for row in rows)
        for path in sorted(hits):
            keys, stored = _tensor(path, "keys"), _tensor(path, "values")
            if (
                keys is None or stored is None or len(keys) != len(stored)
            ):  # evicted meanwhile, or damaged: compute anew
                continue
            if values is None:
                values = torch.empty((len(entries), *stored.shape[1:]), dtype=stored.dtype)
            taken, into = (torch.tensor(column) for column in zip(*hits[path], strict=True))
            values[into] = stored[taken]
            found[into.numpy()] = True
            with contextlib.suppress(OSError):  # evicted meanwhile
                os.utime(path)
        return found, values

    def _places(self, folder: str) -> dict[bytes, tuple[Path, int]]:
        """Where each entry of a folder lies. The keys of a chunk are read once: chunks never change, and there can be many."""
        known, places = self._known.setdefault(folder, ({}, {}))
        present = set((self.root / folder).glob("*.safetensors"))
        if known.keys() - present:  # evicted
            known.clear()
            places.clear()
        for path in sorted(present - known.keys()):
            keys = _tensor(path, "keys")
            known[path] = None
            for place, key in enumerate([] if keys is None else keys.numpy()):
                places[bytes(key)] = path, place  # the latest: an older chunk may have been damaged since
        return places

    def add(self, folder: str, entries: Sequence[bytes], values: Tensor) -> None:
        """Store entries as one chunk, then keep to the size limit.

        Args:
            values: one row per entry; float16 stays so, the rest becomes float32.

        Raises:
            UserError: the disk is full.
        """
        if not entries:
            return
        keys = torch.from_numpy(np.frombuffer(b"".join(entries), dtype=np.uint8).reshape(-1, KEY_BYTES).copy())
        kept = values if values.dtype == torch.float16 else values.float()
        content = save({"keys": keys, "values": kept.contiguous()})
        write_whole(self.root / folder / f"{uuid.uuid4().hex}.safetensors", content)
        self._evict()

    @contextlib.contextmanager
    def filling(self, folder: str) -> Iterator[None]:
        """Hold the right to fill a folder: a process that waited finds the entries and need not compute them again."""
        with lock(self.root / folder / ".lock", "set cache.folder="):
            yield

    def _evict(self) -> None:
        if self.max_bytes is None:
            return
        chunks = []
        for path in self.root.rglob("*.safetensors"):
            try:
                status = path.stat()
            except FileNotFoundError:  # another process evicts too
                continue
            chunks.append((status.st_mtime, status.st_size, path))
        total = sum(size for _, size, _ in chunks)
        for _, size, path in sorted(chunks)[:-1]:  # the newest stays, whatever the limit
            if total <= self.max_bytes:
                return
            path.unlink(missing_ok=True)
            total -= size


def _tensor(path: Path, name: str) -> Tensor | None:
    """A tensor of a chunk; None of one that is gone or damaged."""
    try:
        with safe_open(path, framework="pt") as chunk:
            return chunk.get_tensor(name)  # type: ignore[no-any-return]
    except (FileNotFoundError, SafetensorError, OSError):
        return None


def cached_rows(
    cache: VectorCache | None,
    identity: str,
    keys: Sequence[bytes],
    compute: Callable[[list[int]], NDArray[np.float32]],
    dim: int,
    chunk: int,
    advance: Advance | None = None,
) -> NDArray[np.float32]:
    """(len(keys), dim): the cache's rows, and those that had to be computed, each distinct key once.

    Args:
        cache: None: nothing is kept.
        identity: of what makes the vectors; part of what they are stored under.
        compute: places in `keys` to (n, dim) rows.
        chunk: rows to compute, and to store, at a time.
        advance: told after each chunk how many of the missing rows are done.

    Raises:
        UserError: vectors that are not finite, which are not kept.
    """
    rows = np.zeros((len(keys), dim), dtype=np.float32)
    first: dict[bytes, int] = {}
    for place, key in enumerate(keys):
        first.setdefault(key, place)
    folder = folder_name(identity)
    distinct = list(first)
    missing = distinct
    if cache is not None and distinct:
        found, values = cache.lookup(folder, distinct)
        if values is not None:
            hits = np.flatnonzero(found)
            rows[[first[distinct[hit]] for hit in hits]] = values.numpy()[hits]
        missing = [key for key, there in zip(distinct, found, strict=True) if not there]
    for start in range(0, len(missing), chunk):
        batch = missing[start : start + chunk]
        places = [first[key] for key in batch]
        rows[places] = compute(places)
        if not np.isfinite(rows[places]).all():
            raise UserError(f"{identity} gave vectors that are not numbers; set its precision to float32")
        if cache is not None:
            cache.add(folder, batch, torch.from_numpy(rows[places]))
        if advance is not None:
            advance(start + len(batch), len(missing))
    return rows[[first[key] for key in keys]]
