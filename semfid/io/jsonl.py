"""Files of JSON objects, one a line."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from semfid.errors import UserError
from semfid.io.system_faults import remedy


class JsonLines:
    """A file of JSON objects, one a line, that grows at its end.

    A last line without an end, from a process that was killed, is cut off when the file is opened.
    """

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
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with open(self.path, "ab") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise UserError(f"cannot write {self.path}: {error.strerror}; {remedy(error, 'set folder=')}") from error

    def mend(self) -> None:
        """Cut off a last line that was not finished. Only for the one process that writes."""
        if not self.path.is_file():
            return
        content = self.path.read_bytes()
        end = content.rfind(b"\n") + 1
        if end < len(content):
            with open(self.path, "r+b") as file:
                file.truncate(end)

    def _objects(self) -> Iterator[dict[str, Any]]:
        if not self.path.is_file():
            return
        content = self.path.read_bytes()
        for number, line in enumerate(content[: content.rfind(b"\n") + 1].split(b"\n")[:-1], start=1):
            try:
                found = json.loads(line)
            except ValueError as error:
                raise UserError(f"{self.path}, line {number}: not JSON ({error}); mend or remove the line") from error
            if not isinstance(found, dict):
                raise UserError(f"{self.path}, line {number}: not a JSON object; mend or remove the line")
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
