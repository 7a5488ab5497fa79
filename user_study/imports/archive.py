"""Opening a zip that somebody sent: nothing leaves its folder, nothing grows beyond its bounds, nothing is executed."""

from __future__ import annotations

import stat
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from semfid.io.listing import unlisted
from semfid.io.system_faults import remedy, said
from user_study.core.errors import StudyError

MOST_FILES = 50_000
MOST_BYTES = 20 * 1024**3  # unpacked, all files
MOST_BYTES_OF_ONE = 512 * 1024**2
MOST_RATIO = 200  # unpacked / packed of a file above SMALL; pictures hardly shrink, bombs shrink a thousandfold
SMALL = 1024**2
CHUNK = 1024**2
ARCHIVES = {".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".zst"}


@dataclass(frozen=True)
class Limits:
    """Bounds of an archive: number of files, bytes of all and of one of them unpacked, and how far a file may shrink."""

    files: int = MOST_FILES
    total: int = MOST_BYTES
    one: int = MOST_BYTES_OF_ONE
    ratio: int = MOST_RATIO


def unpack(archive: Path, out: Path, limits: Limits | None = None) -> list[str]:
    """Unpack a zip into a new folder.

    Sizes are counted while unpacking, because the sizes that an archive states may be wrong.

    Returns:
        Names of entries that were left out: archives inside the archive, links, hidden files of file managers.

    Raises:
        StudyError: no zip, encrypted or damaged, a path that leads out of the folder, more than `limits` allow.
    """
    limits = limits or Limits()
    left_out = []
    try:
        with zipfile.ZipFile(archive) as packed:
            entries = packed.infolist()
            if len(entries) > limits.files:
                raise StudyError(f"{archive}: {len(entries)} files; {limits.files} at most: send several archives")
            targets: set[str] = set()
            total = 0
            for entry in entries:
                target = out / inside(entry.filename, archive)
                if entry.is_dir():
                    continue
                if _unwanted(entry):
                    left_out.append(entry.filename)
                    continue
                if str(target) in targets:
                    raise StudyError(f"{archive}: {shown(entry.filename)} occurs twice; pack the folder again")
                targets.add(str(target))
                total += _unpack_one(packed, entry, target, archive, limits, limits.total - total)
    except (zipfile.BadZipFile, NotImplementedError, EOFError, zipfile.LargeZipFile) as error:
        raise StudyError(f"{archive}: cannot be read as a zip ({error}); pack the folder again") from error
    except RuntimeError as error:  # zipfile's way to say that a password is needed
        raise StudyError(f"{archive}: {error}; pack it without a password") from error
    except OSError as error:
        raise StudyError(
            f"{archive}: cannot be unpacked ({said(error)}); {remedy(error, 'choose another folder')}"
        ) from error
    return left_out


def inside(name: str, archive: Path) -> PurePosixPath:
    """The path of an entry, if it stays in the folder that it is unpacked to.

    Raises:
        StudyError: an absolute path, a drive, or one that climbs out.
    """
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or "\0" in name or (path.parts and ":" in path.parts[0]):
        raise StudyError(f"{archive}: the path {shown(name)} leads out of the archive; nothing was unpacked from it")
    return path


def shown(name: str) -> str:
    """A file's name for a message: no control characters, not endless."""
    printable = "".join(char if char.isprintable() else "?" for char in name)
    return repr(printable if len(printable) <= 120 else f"{printable[:117]}...")


def _unwanted(entry: zipfile.ZipInfo) -> bool:
    path = PurePosixPath(entry.filename.replace("\\", "/"))
    mode = entry.external_attr >> 16
    link = stat.S_ISLNK(mode) if mode else False
    hidden = any(unlisted(part) for part in path.parts)
    return link or hidden or path.suffix.lower() in ARCHIVES


def _unpack_one(
    packed: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path, archive: Path, limits: Limits, room: int
) -> int:
    """Write one file; returns its size in bytes."""
    allowed = min(limits.one, room)
    if entry.compress_size * limits.ratio > SMALL:
        allowed = min(allowed, entry.compress_size * limits.ratio)
    else:
        allowed = min(allowed, SMALL)
    target.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with packed.open(entry) as source, target.open("xb") as file:
        while chunk := source.read(CHUNK):
            written += len(chunk)
            if written > allowed:
                raise StudyError(
                    f"{archive}: {shown(entry.filename)} unpacks to more than {allowed:,} bytes of {entry.compress_size:,} "
                    "packed ones; that is no picture. Give the folder instead of the archive if it is"
                )
            file.write(chunk)
    return written
