"""Files of JSON values, one a line, that grow at their end: the ledgers of work that may be killed at any time.

A last line without an end, from a process that was killed, does not count; the one process that writes cuts it off.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from semfid.errors import UserError
from semfid.io.system_faults import remedy


def append_lines(path: Path, content: bytes, wait: bool = False) -> int:
    """Write whole lines at the end of a file, in one go; its folder is made.

    Args:
        wait: for the disk. Else a line that a power cut takes is work done again.

    Returns:
        the place of the first byte.

    Raises:
        OSError: the disk is full or the folder cannot be written; no part of the lines stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab", buffering=0) as file:
        start = os.fstat(file.fileno()).st_size
        try:
            if file.write(content) != len(content):
                raise OSError(28, os.strerror(28))
            if wait:
                os.fsync(file.fileno())
        except OSError:
            os.ftruncate(file.fileno(), start)
            raise
    return start


def whole_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The place and the content of each finished line; none where there is no file."""
    if not path.is_file():
        return
    start = 0
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield start, line
            start += len(line)


def repair(path: Path) -> None:
    """Cut off a last line that was not finished. Only for the one process that writes."""
    if not path.is_file():
        return
    with path.open("r+b") as file:
        end = size = file.seek(0, os.SEEK_END)
        while end > 0:  # backwards, for a file may be long
            first = max(0, end - 65536)
            file.seek(first)
            found = file.read(end - first).rfind(b"\n")
            if found >= 0:
                end = first + found + 1
                break
            end = first
        if end < size:
            file.truncate(end)


class JsonLines:
    """A file of JSON objects, one a line."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __str__(self) -> str:
        return str(self.path)

    def read(self) -> list[dict[str, Any]]:
        """All objects; none where there is no file.

        Raises:
            UserError: a line that is not a JSON object; names file and line.
        """
        return list(self._objects())

    def append(self, objects: Sequence[Mapping[str, Any]]) -> None:
        """Write lines at the end, in one go, and wait for the disk.

        Raises:
            UserError: the disk is full or the folder cannot be written.
        """
        content = "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in objects).encode()
        try:
            append_lines(self.path, content, wait=True)
        except OSError as error:
            raise UserError(f"cannot write {self.path}: {error.strerror}; {remedy(error, 'set folder=')}") from error

    def repair(self) -> None:
        """Cut off a last line that was not finished. Only for the one process that writes."""
        repair(self.path)

    def _objects(self) -> Iterator[dict[str, Any]]:
        for number, (_, line) in enumerate(whole_lines(self.path), start=1):
            try:
                found = json.loads(line)
            except ValueError as error:
                raise UserError(f"{self.path}, line {number}: not JSON ({error}); repair or remove the line") from error
            if not isinstance(found, dict):
                raise UserError(f"{self.path}, line {number}: not a JSON object; repair or remove the line")
            yield found


class SharedLines:
    """JSON lines of any number of processes: each appends to a file of its own, so that none can spoil another's.

    Args:
        folder: where the files lie.
        stem: their names begin with it.
    """

    def __init__(self, folder: Path, stem: str = "") -> None:
        self.folder, self.stem = folder, stem
        self._own = JsonLines(folder / f"{stem}{uuid.uuid4().hex}.jsonl")

    def __str__(self) -> str:
        return str(self.folder / f"{self.stem}*.jsonl")

    def read(self) -> list[dict[str, Any]]:
        """The objects of all files.

        Raises:
            UserError: a line that is not a JSON object; names file and line.
        """
        return [one for path in sorted(self.folder.glob(f"{self.stem}*.jsonl")) for one in JsonLines(path).read()]

    def append(self, objects: Sequence[Mapping[str, Any]]) -> None:
        """As `JsonLines.append`, to this process's file."""
        self._own.append(objects)
