"""Files that are whole or not there."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from semfid.errors import UserError
from semfid.io.listing import on_disk
from semfid.io.system_faults import remedy


def write_whole(path: Path, content: bytes) -> None:
    """Put a whole file in place by rename.

    Raises:
        ScoringError: the disk is full or the folder cannot be written.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            temporary = file.name
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError as error:
        if temporary is not None and os.path.exists(temporary):
            os.unlink(temporary)
        raise UserError(f"cannot write {path}: {error.strerror}; {remedy(error, 'choose another folder')}") from error


def content_digest(path: str | Path) -> bytes:
    """16-byte digest of a file's bytes; raises an OSError where it cannot be read."""
    with open(on_disk(Path(path)), "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).digest()
