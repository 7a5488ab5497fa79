"""The folder of a build.

build.json          the builder and the settings that the content depends on
journals/           a line per finished unit, a file per shard (see `data_tools.builders.core.journal`)
<files of units>    each put in place whole
<tables>            merged from the journals; their hashes in tables.json
.work/              locks, and files on their way
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from data_tools.builders.core.errors import UnitError
from data_tools.builders.core.journal import FileRecord, latest_entries
from semfid.errors import UserError
from semfid.io.files import put_in_place
from semfid.io.locks import lock, try_lock
from semfid.io.sharding import Shard
from semfid.io.system_faults import remedy

FIX = "choose another folder as `out`"
STAMP, JOURNALS, TABLES, WORK = "build.json", "journals", "tables.json", ".work"


class BuildFolder:
    """A build's folder, for one shard of it."""

    def __init__(self, path: Path, shard: Shard) -> None:
        self.path, self.shard = path, shard
        self.journals = path / JOURNALS
        self._on_their_way = path / WORK / "files" / shard.name

    def settle(self, builder: str, settings: Mapping[str, Any]) -> None:
        """Write the stamp of a new folder (or of one that nothing was made in), or hold an old one against it.

        Args:
            settings: nested mappings of what the content depends on; not where it lies or how fast it is made.

        Raises:
            UserError: a folder of other settings (the first that differs is named), or one that no builder made.
        """
        stamp = json.loads(json.dumps({"builder": builder, "settings": settings}))
        file = self.path / STAMP
        if file.is_file():
            before = read_stamp(self.path)
            differing = _first_difference(before, stamp)
            if differing is None:
                return
            if self.shard.count > 1 or any(entry.files for entry in latest_entries(self.journals).values()):
                key, old, new = differing
                raise UserError(
                    f"{self.path} was built with {key}={_shown(old)}, and now it is {_shown(new)}; set it back, choose "
                    "another `out`, or remove the folder"
                )
            # nothing was made of the old settings
        elif self.path.is_dir() and any(not one.name.startswith(".") for one in self.path.iterdir()):
            raise UserError(f"{self.path} has files in it that no builder made; choose a new folder as `out`")
        self.put(STAMP, (json.dumps(stamp, indent=1, sort_keys=True) + "\n").encode())

    def put(self, name: str, content: bytes) -> FileRecord:
        """Put a whole file in place by rename, and say what it is.

        The disk is not waited for, which would take longer than to write: what a power cut leaves has not the size that the
        journal says, and is made again.

        Raises:
            UserError: the disk is full, or the folder cannot be written.
            UnitError: the disk takes no name of this length.
        """
        target = self.path / name
        try:
            put_in_place(target, content, self._on_their_way, wait=False)
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                raise UnitError(
                    f"{len(os.fsencode(target.name))} bytes are too long for a name on this disk; shorten the names of the "
                    "photo and its folders"
                ) from error
            raise UserError(
                f"cannot write {target}: {error.strerror}; nothing is lost: {remedy(error, 'choose another disk')}, and run the "
                "same command again"
            ) from error
        return name, hashlib.sha256(content).hexdigest(), len(content)

    def has(self, files: tuple[FileRecord, ...]) -> bool:
        """Whether all files are there in their sizes."""
        for name, _, size in files:
            try:
                if (self.path / name).stat().st_size != size:
                    return False
            except OSError:
                return False
        return True

    def put_table(self, name: str, content: bytes) -> None:
        """Put a merged table in place and note its hash for `verify`. Only under `merging`."""
        _, digest, size = self.put(name, content)
        tables = read_tables(self.path)
        tables[name] = [digest, size]
        self.put(TABLES, (json.dumps(tables, indent=1, sort_keys=True) + "\n").encode())

    def drop_table(self, name: str) -> None:
        """Remove a table that has no rows any more. Only under `merging`."""
        tables = read_tables(self.path)
        if tables.pop(name, None) is not None:
            self.put(TABLES, (json.dumps(tables, indent=1, sort_keys=True) + "\n").encode())
            (self.path / name).unlink(missing_ok=True)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keep other builders off this shard; the hold ends with the process, however it ends.

        Raises:
            UserError: another process builds this shard, or the same folder in another number of shards.
        """
        busy = f"another process is building shard {self.shard.name} of {self.path}; let it finish"
        with lock(self._lock_file(self.shard.name), FIX, busy):
            for other in sorted((self.path / WORK).glob("*-of-*.lock")):
                number = other.stem.rpartition("-")[2]
                if number != str(self.shard.count):
                    busy = (
                        f"other processes are building {self.path} in {number} shards; let them finish, or build with "
                        f"--shard i/{number}"
                    )
                    with lock(other, FIX, busy):
                        pass
            self._clear()
            yield
            shutil.rmtree(self._on_their_way, ignore_errors=True)

    @contextlib.contextmanager
    def merging(self) -> Iterator[None]:
        """Wait until no other shard is writing the tables."""
        with lock(self._lock_file("merge"), FIX):
            yield

    def _lock_file(self, name: str) -> Path:
        return self.path / WORK / f"{name}.lock"

    def _clear(self) -> None:
        """Remove what killed builders had on its way."""
        shutil.rmtree(self._on_their_way, ignore_errors=True)
        for left in (self.path / WORK / "files").glob("*"):
            with try_lock(self._lock_file(left.name), FIX) as taken:
                if taken:
                    shutil.rmtree(left, ignore_errors=True)


def read_stamp(path: Path) -> dict[str, Any]:
    """The stamp of a build's folder.

    Raises:
        UserError: there is none, or it is broken.
    """
    file = path / STAMP
    try:
        stamp = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path} is not the folder of a build: it has no {STAMP}") from error
    except (ValueError, OSError) as error:
        raise UserError(f"{file} cannot be read ({error}); choose another folder as `out`") from error
    if not isinstance(stamp, dict):
        raise UserError(f"{file} does not hold a mapping; choose another folder as `out`")
    return stamp


def read_tables(path: Path) -> dict[str, list[Any]]:
    """Name to [sha256, bytes] of the merged tables; none yet: empty."""
    try:
        return json.loads((path / TABLES).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise UserError(f"{path / TABLES} is not JSON ({error}); remove it and build again") from error


_ABSENT = object()


def _first_difference(old: Any, new: Any, key: str = "") -> tuple[str, Any, Any] | None:
    if isinstance(old, dict) and isinstance(new, dict):
        for name in sorted({*old, *new}):
            inner = f"{key}.{name}" if key else str(name)
            found = _first_difference(old.get(name, _ABSENT), new.get(name, _ABSENT), inner)
            if found is not None:
                return found
        return None
    return None if old == new else (key.removeprefix("settings."), old, new)


def _shown(value: Any) -> str:
    return "(not set)" if value is _ABSENT else json.dumps(value)
