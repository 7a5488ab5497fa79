"""Which distinct pictures a table holds: by content, not by file name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from semfid.errors import ImageError, UserError
from semfid.io.images import DECODER, file_hash, pixel_hash, read_image
from semfid.io.jsonl import JsonLines, SharedLines
from semfid.progress import Advance

_EVERY = 64  # new images between two writes


@dataclass(frozen=True)
class Picture:
    """One distinct picture.

    Attributes:
        name: `images.pixel_hash` of it.
        size: (width, height).
        path: a file that shows it.
    """

    name: str
    size: tuple[int, int]
    path: Path


def catalogue(
    paths: Sequence[Path], ledger: JsonLines | SharedLines, advance: Advance
) -> tuple[dict[Path, Picture], dict[Path, str]]:
    """Decode each file once and name what it shows; files seen before are only hashed.

    Args:
        ledger: remembers what the bytes of a file show (see `images_file`).

    Returns:
        The picture of each readable path, and what is wrong with the others.
    """
    known = _known(ledger)
    found: dict[Path, Picture] = {}
    faults: dict[Path, str] = {}
    fresh: list[Mapping[str, object]] = []
    distinct = list(dict.fromkeys(paths))
    for done, path in enumerate(distinct, start=1):
        try:
            file = file_hash(path).hex()
            if file not in known:
                image = read_image(path)
                known[file] = pixel_hash(image), image.size
                name, (width, height) = known[file]
                fresh.append({"file": file, "image": name, "width": width, "height": height})
            found[path] = Picture(*known[file], path)
        except ImageError as error:
            faults[path] = str(error)
        if fresh and (len(fresh) == _EVERY or done == len(distinct)):
            ledger.append(fresh)
            fresh = []
        advance(done, len(distinct))
    return found, faults


def images_file(folder: Path) -> JsonLines:
    """The memory of one process, which holds the folder."""
    ledger = JsonLines(folder / f"images-{DECODER}.jsonl")
    ledger.repair()
    return ledger


def images_cache(folder: Path) -> SharedLines:
    """A memory that any number of processes share."""
    return SharedLines(folder, f"{DECODER}-")


def _known(ledger: JsonLines | SharedLines) -> dict[str, tuple[str, tuple[int, int]]]:
    try:
        return {str(one["file"]): (str(one["image"]), (int(one["width"]), int(one["height"]))) for one in ledger.read()}
    except (KeyError, ValueError, TypeError) as error:
        raise UserError(f"{ledger} is not what semfid wrote ({error!r}); remove it") from error
