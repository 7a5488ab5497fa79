"""Folders that are written whole: a stamp holds the settings, files appear by rename, the table comes last."""

from __future__ import annotations

import io
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from data_tools.synthetic.render import check_size
from semfid.errors import UserError
from semfid.io.files import write_whole
from semfid.io.system_faults import remedy

STAMP = "scenes.json"
VERSION = 1  # raise it when the same config gives other pixels or labels


@dataclass(frozen=True)
class SceneSetConfig:
    """What a set of scenes holds.

    Attributes:
        scenes: number of scenes.
        candidates_per_scene: pairs made from each (pair sets only).
        size: side of the images in pixels, 64 .. 512.
        seed: of the scenes; scene i of a seed is always the same.
        votes: answers per pair (pair sets only).
        first: index of the first scene; sets that share a seed are disjoint when their index ranges are.
    """

    scenes: int = 200
    candidates_per_scene: int = 5
    size: int = 128
    seed: int = 0
    votes: int = 30
    first: int = 0


def check_config(config: SceneSetConfig) -> None:
    """Raise a UserError that names the first setting that cannot be."""
    for name, least in (("scenes", 1), ("candidates_per_scene", 1), ("votes", 1), ("seed", 0), ("first", 0)):
        value = getattr(config, name)
        if value < least:
            raise UserError(f"scenes: {name}={value} must be {least} or more")
    check_size(config.size)


def open_folder(out: Path, kind: str, config: SceneSetConfig, last: str) -> bool:
    """Make or reopen the folder of a set.

    Args:
        kind: what is written: ``pairs``, ``coco`` or ``images``.
        last: the file that is written last, relative to `out`.

    Returns:
        True when the set is complete already.

    Raises:
        UserError: a bad setting; `out` is a file, cannot be written, or holds something else.
    """
    check_config(config)
    stamp = (json.dumps({"kind": kind, "version": VERSION, **asdict(config)}, indent=1) + "\n").encode()
    path = out / STAMP
    try:
        out.mkdir(parents=True, exist_ok=True)
        found = path.read_bytes() if path.is_file() else None
        others = [] if found is not None else sorted([entry.name for entry in out.iterdir()])
    except (FileExistsError, NotADirectoryError) as error:
        raise UserError(f"{out} is a file or lies below one; choose a folder for the scenes") from error
    except OSError as error:
        raise UserError(
            f"cannot use the folder {out}: {error.strerror}; {remedy(error, 'choose another one')}"
        ) from error
    others = [name for name in others if not name.startswith(f".{STAMP}.")]  # cut off while the stamp was written
    if others:
        raise UserError(f"{out} holds other files ({others[0]}) and no {STAMP}; choose an empty folder for the scenes")
    if found is None:
        write_whole(path, stamp)
    elif found == stamp:
        _sweep(out)
    else:
        raise UserError(
            f"{out} was made with other settings ({_differences(found, stamp)}); delete it or choose another folder"
        )
    return (out / last).is_file()


def _sweep(out: Path) -> None:
    """Remove what killed writers left unfinished; a writer that lives writes its file again (see `put`)."""
    for path in out.rglob(".*.part"):
        path.unlink(missing_ok=True)


def put(path: Path, content: bytes) -> None:
    """Write a file by rename, without waiting for the disk: after a power cut the set's table is missing too.

    Raises:
        UserError: the disk is full or the folder cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)
        try:
            temporary.replace(path)
        except FileNotFoundError:  # swept away by a second process that resumes the same folder
            temporary.write_bytes(content)
            temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise UserError(f"cannot write {path}: {error.strerror}; {remedy(error, 'choose another folder')}") from error


def png(image: NDArray[np.uint8]) -> bytes:
    """A PNG of (H, W, 3) colour or (H, W) grey."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG", compress_level=4)
    return buffer.getvalue()


def _differences(found: bytes, wanted: bytes) -> str:
    try:
        old = json.loads(found)
    except ValueError:
        return f"its {STAMP} cannot be read"
    new = json.loads(wanted)
    if not isinstance(old, dict):
        return f"its {STAMP} cannot be read"
    return ", ".join(f"{key}={old.get(key)!r} there, {new[key]!r} here" for key in new if old.get(key) != new[key])
