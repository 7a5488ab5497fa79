"""Statistics of frozen trunks, on disk.

One entry is one statistic of one pair (or image), keyed by what determines it: the trunk's weights, the preprocessing,
the arithmetic, the statistic's kind, and the bytes of the image files. Entries lie in chunk files that appear by rename,
so processes may read and write the same cache at the same time: at worst both compute the same entry.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from pairs import write_atomically
from registry import UserError

KEY_BYTES = 16


@dataclass(frozen=True)
class CacheKey:
    """Everything but the images that an entry depends on.

    Attributes:
        trunk: `Backbone.identity`.
        preprocessing: decoding and resizing.
        precision: arithmetic of the trunk.
        statistic: kind, taps and normalisation.
    """

    trunk: str
    preprocessing: str
    precision: str
    statistic: str

    def folder(self) -> str:
        parts = (self.trunk, f"{self.preprocessing}-{self.precision}", self.statistic)
        return "/".join(re.sub(r"[^A-Za-z0-9._-]", "_", part) for part in parts)


class StatisticsCache:
    """Chunk files below one folder.

    Args:
        root: folder of the cache.
        max_bytes: the least recently used chunks are removed beyond it.
    """

    def __init__(self, root: Path, max_bytes: int) -> None:
        self.root, self.max_bytes = root, max_bytes

    def lookup(self, key: CacheKey, entries: Sequence[bytes]) -> tuple[np.ndarray, Tensor | None]:
        """What is there of the entries.

        Args:
            entries: 16-byte digests, one per row wanted.

        Returns:
            ``found`` (n,) bool, and (n, ...) float32 values with unset rows where not found (None: nothing found).
        """
        wanted: dict[bytes, list[int]] = {}
        for row, entry in enumerate(entries):
            wanted.setdefault(entry, []).append(row)
        found = np.zeros(len(entries), dtype=bool)
        values: Tensor | None = None
        for path in sorted((self.root / key.folder()).glob("*.safetensors")):
            try:
                with safe_open(path, framework="pt") as chunk:
                    keys = [bytes(row) for row in chunk.get_tensor("keys").numpy()]
                    hits = [
                        (place, row)
                        for place, name in enumerate(keys)
                        for row in wanted.get(name, ())
                        if not found[row]
                    ]
                    if not hits:
                        continue
                    stored = chunk.get_tensor("values")
            except (
                FileNotFoundError,
                SafetensorError,
                OSError,
            ):  # removed by another process, or damaged: compute anew
                continue
            if values is None:
                values = torch.empty((len(entries), *stored.shape[1:]), dtype=torch.float32)
            places, rows = (torch.tensor(column) for column in zip(*hits, strict=True))
            values[rows] = stored[places]
            found[rows.numpy()] = True
            with contextlib.suppress(OSError):  # evicted meanwhile
                os.utime(path)
        return found, values

    def add(self, key: CacheKey, entries: Sequence[bytes], values: Tensor) -> None:
        """Store entries as one chunk, then keep to the size limit.

        Raises:
            UserError: the disk is full.
        """
        if not entries:
            return
        keys = torch.from_numpy(np.frombuffer(b"".join(entries), dtype=np.uint8).reshape(-1, KEY_BYTES).copy())
        content = save({"keys": keys, "values": values.float().contiguous()})
        write_atomically(self.root / key.folder() / f"{uuid.uuid4().hex}.safetensors", content)
        self._evict()

    @contextlib.contextmanager
    def filling(self, key: CacheKey) -> Iterator[None]:
        """Hold the right to fill a folder: a process that waited finds the entries and need not compute them again."""
        folder = self.root / key.folder()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = open(folder / ".lock", "w")  # noqa: SIM115 - held for the life of the context
        except OSError as error:
            raise UserError(f"cannot write {folder}: {error.strerror}; free some space or set cache.folder=") from error
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _evict(self) -> None:
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
