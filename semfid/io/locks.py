"""Locks between processes. They end with the process that holds them, however it ends; their files stay."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from semfid.errors import UserError
from semfid.io.system_faults import remedy


@contextlib.contextmanager
def lock(file: Path, fix: str, busy: str = "") -> Iterator[None]:
    """Keep other processes out while the context lasts.

    Args:
        file: of the lock; made with its folder.
        fix: how a user chooses another folder, for the message.
        busy: the message where another process holds the lock; empty: wait for it.

    Raises:
        UserError: another process holds it, or the folder cannot be written.
    """
    with try_lock(file, fix, wait=not busy) as taken:
        if not taken:
            raise UserError(busy)
        yield


@contextlib.contextmanager
def try_lock(file: Path, fix: str, wait: bool = False) -> Iterator[bool]:
    """As `lock`, and say whether it was taken in place of an error."""
    one = FileLock(file, timeout=-1 if wait else 0)
    taken = True
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        one.acquire()
    except Timeout:
        taken = False
    except OSError as error:
        raise UserError(f"cannot write {file.parent}: {error.strerror}; {remedy(error, fix)}") from error
    try:
        yield taken
    finally:
        if taken:
            one.release()
