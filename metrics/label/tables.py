"""Tables that labels are added to: their paths, and the folders that one process at a time works in."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from semfid.io.locks import lock


def displayed(path: Path) -> str:
    """A path as messages give it."""
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)


def relative(path: Path, base: Path) -> str:
    """As a table in the folder `base` writes it."""
    return Path(os.path.relpath(path, base)).as_posix()


def rebased(path: str, old: Path, new: Path) -> str:
    """A table's path, for a table in another folder."""
    if not path.strip() or old.resolve() == new.resolve():
        return path
    return path if Path(path).is_absolute() else relative((old / path).resolve(), new.resolve())


@contextlib.contextmanager
def locked(folder: Path, wait: bool = False) -> Iterator[None]:
    """Keep other processes out; the lock ends with the process, however it ends.

    Args:
        wait: for the process that has it, in place of an error.

    Raises:
        UserError: another process has it, or the folder cannot be written.
    """
    busy = "" if wait else f"another process is working in {folder}; wait for it, or set folder="
    with lock(folder / ".lock", "set folder=", busy):
        yield
