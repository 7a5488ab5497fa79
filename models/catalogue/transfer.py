"""One file from afar: resumed where it broke off, checked against its hash, whole or not there."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

Fill = Callable[[BinaryIO, int], None]
"""Called with a file open for writing and the position from which bytes are to be appended."""
_CHUNK = 1 << 20


class WrongHashError(Exception):
    """Content that is not what was promised; the text is the file's name."""


def partial(path: Path) -> Path:
    """Where an unfinished download lies."""
    return path.with_name(f"{path.name}.semfid-part")


def fetch(path: Path, digest: str, size: int | None, fill: Fill, name: str) -> None:
    """Put a file in place by rename, once its content is right.

    What an interrupted call has left is not downloaded again.

    Args:
        digest: as `matches`.
        size: bytes; None: not known.
        fill: gets the bytes.
        name: of the file, for the message.

    Raises:
        WrongHashError: other content; what was downloaded is removed.
        OSError: the disk is full or the folder cannot be written.
    """
    part = partial(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    start = part.stat().st_size if part.is_file() else 0
    if size is not None and start > size:
        part.unlink()
        start = 0
    if size is None or start < size or not part.is_file():
        with part.open("ab") as target:
            fill(target, start)
    if not matches(part, digest):
        part.unlink()
        raise WrongHashError(name)
    part.replace(path)


def matches(path: Path, digest: str) -> bool:
    """Whether a file has this hash: sha256 in hex, its first 8 digits, or git's blob hash (40 digits)."""
    if len(digest) == 40:
        return _hash(path, hashlib.sha1(b"blob %d\0" % path.stat().st_size)) == digest
    return sha256(path).startswith(digest)


def sha256(path: Path) -> str:
    """Of a file's content, in hex."""
    return _hash(path, hashlib.sha256())


def _hash(path: Path, digest: hashlib._Hash) -> str:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
