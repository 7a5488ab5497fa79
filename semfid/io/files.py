"""Files that are whole or not there."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from semfid.errors import UserError
from semfid.io.listing import on_disk
from semfid.io.system_faults import remedy


def write_whole(path: Path, content: bytes, fix: str = "choose another folder") -> None:
    """Put a whole file in place by rename, and wait for the disk.

    Args:
        fix: what a user can do where the folder cannot be written, for the message.

    Raises:
        UserError: the disk is full or the folder cannot be written.
    """
    try:
        put_in_place(path, content)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}; {remedy(error, fix)}") from error


def put_in_place(path: Path, content: bytes, temporary_folder: Path | None = None, wait: bool = True) -> None:
    """Write a temporary file, then rename it; a process killed before that leaves no file of this name.

    Args:
        temporary_folder: on the same disk; None: the folder of `path`.
        wait: for the disk to hold the content.

    Raises:
        OSError: the disk is full, the folder cannot be written, or the name is too long.
    """
    folder = temporary_folder or path.parent
    for one in {path.parent, folder}:
        one.mkdir(parents=True, exist_ok=True)
    file = tempfile.NamedTemporaryFile(dir=folder, prefix=".", suffix=".tmp", delete=False)  # noqa: SIM115 - renamed below
    try:
        with file:
            file.write(content)
            file.flush()
            if wait:
                os.fsync(file.fileno())
        Path(file.name).chmod(0o644)
        Path(file.name).replace(path)
    except BaseException:
        Path(file.name).unlink(missing_ok=True)
        raise


def content_digest(path: str | Path) -> bytes:
    """16-byte digest of a file's bytes; raises an OSError where it cannot be read."""
    with on_disk(Path(path)).open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).digest()
