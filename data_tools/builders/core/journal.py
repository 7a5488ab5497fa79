"""What was made: one JSON line per finished unit, in a file per shard.

    {"id", "stage", "sample", "variant", "status", "reason", "tries", "at", "seconds", "files": [[path, sha256, bytes], ...],
     "facts": {...}}

status is ``done``, ``rejected`` (made, and found wanting) or ``error``. Of several lines on one slot the latest counts. Facts
stay on disk until they are asked for: a hundred thousand of them fill no memory.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from data_tools.builders.core.work_items import Slot, Unit
from semfid.errors import UserError
from semfid.io.jsonl import append_lines, repair, whole_lines
from semfid.io.system_faults import remedy

Status = Literal["done", "rejected", "error"]
FileRecord = tuple[str, str, int]


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of a journal.

    Attributes:
        files: (path under the build's folder, sha256, bytes) of each file of the unit.
        place: journal, first byte and length of the line.
    """

    id: str
    slot: Slot
    status: Status
    reason: str
    tries: int
    at: float
    seconds: float
    files: tuple[FileRecord, ...]
    place: tuple[Path, int, int]

    def facts(self) -> dict[str, Any]:
        """What the unit recorded beside its files, read from the journal."""
        path, start, length = self.place
        with path.open("rb") as file:
            file.seek(start)
            return json.loads(file.read(length))["facts"]


class Journal:
    """The one journal that a process writes; open it under the shard's lock.

    A last line without an end, from a process that was killed, is cut off.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            repair(path)
            append_lines(path, b"")  # a folder that cannot be written is said before anything is made
        except OSError as error:
            raise _unwritable(path, error) from error

    def append(
        self,
        unit: Unit,
        status: Status,
        *,
        reason: str = "",
        tries: int = 1,
        seconds: float = 0.0,
        files: Sequence[FileRecord] = (),
        facts: Mapping[str, Any] | None = None,
    ) -> Entry:
        """Write one line, in one go. It is not waited for: a line that a power cut takes is work done again.

        Raises:
            UserError: the disk is full; no part of the line stays.
        """
        at = time.time()
        content = {
            **{"id": unit.id, "stage": unit.stage, "sample": unit.sample, "variant": unit.variant, "status": status},
            **{"reason": reason, "tries": tries, "at": at, "seconds": round(seconds, 4), "files": files},
            "facts": facts or {},
        }
        line = json.dumps(content, ensure_ascii=False).encode() + b"\n"
        try:
            start = append_lines(self.path, line)
        except OSError as error:
            raise _unwritable(self.path, error) from error
        return Entry(
            unit.id, unit.slot, status, reason, tries, at, seconds, tuple(files), (self.path, start, len(line))
        )


def latest_entries(journals: Path) -> dict[Slot, Entry]:
    """The latest line of every slot, over all journals of a folder; lines still being written are left out.

    Raises:
        UserError: a line that is none of a journal's; names file and line.
    """
    found: dict[Slot, Entry] = {}
    for path in sorted(journals.glob("*.jsonl")):
        for entry in _entries(path):
            before = found.get(entry.slot)
            if before is None or entry.at >= before.at:
                found[entry.slot] = entry
    return found


def _entries(path: Path) -> Iterator[Entry]:
    memo = dict[str, str]()

    def same(text: str) -> str:  # one string for the many lines that repeat it
        return memo.setdefault(text, text)

    for number, (start, line) in enumerate(whole_lines(path), start=1):
        try:
            row = json.loads(line)
            yield Entry(
                row["id"],
                (same(row["stage"]), same(row["sample"]), same(row["variant"])),
                row["status"],
                same(row["reason"]),
                row["tries"],
                row["at"],
                row["seconds"],
                tuple((name, digest, size) for name, digest, size in row["files"]),
                (path, start, len(line)),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path}, line {number}: not a journal's line ({error}); remove the line") from error


def _unwritable(path: Path, error: OSError) -> UserError:
    return UserError(
        f"cannot write {path}: {error.strerror}; nothing is lost: {remedy(error, 'choose another disk')}, and run the same "
        "command again"
    )
