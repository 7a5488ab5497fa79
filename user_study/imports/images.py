"""Decodes the images of an import, each once, and checks what the two images of a pair must share."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from semfid.io.fitting import Size, common_part
from semfid.io.profiles import profiles_differ
from semfid.progress import Advance
from user_study.core.errors import StudyError
from user_study.core.pictures import ENDING, PictureError, read_picture
from user_study.imports.sources import FoundPair, Remark


@dataclass(frozen=True)
class StoredImage:
    """A picture that was decoded: its hash, its size and, unless this is a dry run, the bytes of its file on the disk."""

    digest: str
    size: Size
    bytes: int
    notes: tuple[str, ...] = ()
    profile: str = ""


@dataclass(frozen=True)
class ReadyPair:
    """A pair whose two images are decoded and stored."""

    pair: FoundPair
    reference: StoredImage
    candidate: StoredImage


def decode(
    found: Sequence[FoundPair], fit: str, staged: Path | None, progress: Advance | None
) -> tuple[list[ReadyPair], list[Remark]]:
    """Decode (and, with a folder, encode) every picture once; check what two pictures of a pair must share."""
    if fit not in ("refuse", "crop"):
        raise StudyError(f"--fit {fit}: use refuse or crop")
    paths = sorted({path for one in found for path in (one.reference, one.candidate)})
    results: dict[Path, StoredImage | PictureError] = {}

    def work(path: Path) -> StoredImage | PictureError:
        return _store(path, None, staged)

    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as threads:
        for number, (path, result) in enumerate(zip(paths, threads.map(work, paths), strict=True), start=1):
            results[path] = result
            if progress is not None:
                progress(number, len(paths))
    remarks = _picture_remarks(paths, results)
    ready = []
    for one in found:
        reference, candidate = results[one.reference], results[one.candidate]
        if isinstance(reference, PictureError) or isinstance(candidate, PictureError):
            continue
        if reference.size != candidate.size:
            fault = _size_fault(one, reference.size, candidate.size, fit)
            remarks.append(fault)
            if fault.level == "error":
                continue
            size = common_part(reference.size, candidate.size)
            cropped = [_store(path, size, staged) for path in (one.reference, one.candidate)]
            reference, candidate = (part for part in cropped if isinstance(part, StoredImage))
        differ = profiles_differ(one.reference.name, reference.profile, one.candidate.name, candidate.profile)
        if differ:
            remarks.append(Remark("warning", "profile", one.key, differ))
        ready.append(ReadyPair(one, reference, candidate))
    return ready, remarks


def _store(path: Path, crop: Size | None, staged: Path | None) -> StoredImage | PictureError:
    if not path.is_file():
        return PictureError("missing", "no such file; correct the path (relative to the table's folder)")
    try:
        picture = read_picture(path)
    except PictureError as error:
        return error
    if crop is not None and crop != picture.size:
        picture = replace(picture, image=picture.image.crop((0, 0, *crop)))
    digest, length = picture.digest(), 0
    if staged is not None:
        target = staged / f"{digest}.{ENDING}"
        content = picture.encoded()
        length = len(content)
        part = target.with_suffix(f".{secrets.token_hex(4)}.part")
        part.write_bytes(content)
        part.replace(target)
    return StoredImage(digest, picture.size, length, picture.notes, picture.profile)


def _picture_remarks(paths: Sequence[Path], results: dict[Path, StoredImage | PictureError]) -> list[Remark]:
    remarks = []
    for path in paths:
        result = results[path]
        if isinstance(result, PictureError):
            remarks.append(Remark("error", result.code, path.name, str(result)))
        else:
            remarks += [Remark("warning", "changed", path.name, note) for note in result.notes]
    return remarks


def _size_fault(one: FoundPair, reference: Size, candidate: Size, fit: str) -> Remark:
    sizes = f"the photo is {reference[0]} x {reference[1]}, the output {candidate[0]} x {candidate[1]}"
    common = common_part(reference, candidate)
    if common is None:
        advice = "too far apart to crop; scale the output to the photo's size"
    elif fit == "crop":
        return Remark(
            "warning", "cropped", one.key, f"{sizes}: both cut to {common[0]} x {common[1]} from the top left"
        )
    else:
        advice = "make them equal, or import with --fit crop"
    return Remark("error", "size", one.key, f"{sizes}; {advice}")
