"""Third stage: every distinct caption is embedded once."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.image_index import Advance
from models.text_encoders import TextEmbedder
from semfid.errors import UserError
from semfid.io.arrays import ARRAY_FAULTS
from semfid.io.files import write_whole

CHUNK = 4096  # sentences to a file


@dataclass(frozen=True)
class Embedded:
    """Sentences and their vectors.

    Attributes:
        row: of each sentence in `vectors`.
        vectors: (N, D) float32, unit length or zero.
    """

    row: dict[str, int]
    vectors: NDArray[np.float32]

    def of(self, texts: Iterable[str]) -> NDArray[np.float32]:
        """(len(texts), D); a blank sentence has a row of zeros, as has one without any word that counts."""
        rows = [self.row.get(text, -1) for text in texts]
        found = self.vectors[rows] if len(self.vectors) else np.zeros((len(rows), self.vectors.shape[1]), np.float32)
        found[[row < 0 for row in rows]] = 0.0
        return found


def embed_texts(texts: Iterable[str], folder: Path, embedder: TextEmbedder, advance: Advance) -> Embedded:
    """Embed the sentences that have no vector yet; blank ones get none.

    They are sorted and cut into files of `CHUNK`, so that an interrupted run goes on with the same batches.
    """
    row: dict[str, int] = {}
    parts: list[NDArray[np.float32]] = [np.zeros((0, embedder.dim), dtype=np.float32)]
    for path in sorted(folder.glob("*.npz")):
        _take(*_read(path), row, parts)
    missing = sorted({text for text in texts if text.strip()} - row.keys())
    for start in range(0, len(missing), CHUNK):
        chunk = missing[start : start + CHUNK]
        vectors = embedder.embed(chunk)
        content = json.dumps(chunk, ensure_ascii=False).encode()
        buffer = io.BytesIO()
        np.savez(buffer, texts=np.frombuffer(content, dtype=np.uint8), vectors=vectors)
        write_whole(folder / f"{hashlib.blake2b(content, digest_size=16).hexdigest()}.npz", buffer.getvalue())
        _take(chunk, vectors, row, parts)
        advance(start + len(chunk), len(missing))
    return Embedded(row, np.concatenate(parts))


def _take(
    texts: list[str], vectors: NDArray[np.float32], row: dict[str, int], parts: list[NDArray[np.float32]]
) -> None:
    first = sum(len(part) for part in parts)
    parts.append(vectors)
    row.update({text: first + index for index, text in enumerate(texts)})


def _read(path: Path) -> tuple[list[str], NDArray[np.float32]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return json.loads(file["texts"].tobytes()), file["vectors"]
    except ARRAY_FAULTS as error:
        raise UserError(f"{path} is not what semfid wrote ({error}); remove it") from error
