"""Bringing pairs into a study: a dry run that changes nothing, then all of it or nothing.

Every picture is decoded and written anew (see `user_study.core.pictures`). Files come first, under names that are hashes of their
pixels, each whole by rename; then one transaction adds the rows. A run that is killed leaves files that nothing points to,
which the next import of the same pairs uses and `semfid study check` names.
"""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select

from semfid.io.fitting import Size, common_part
from semfid.io.profiles import profiles_differ
from semfid.io.system_faults import remedy, said
from semfid.progress import Advance
from user_study.core import audit
from user_study.core.clock import now_ms
from user_study.core.errors import StudyError
from user_study.core.pictures import ENDING, MEDIA_TYPE, PictureError, read_picture
from user_study.database.engine import Database
from user_study.database.schema import image, pair
from user_study.imports.archive import Limits
from user_study.imports.sources import FoundPair, Remark, find_pairs
from user_study.trial import pairs
from user_study.trial.pairs import NewImage, NewPair

STAGING = ".incoming-"
STALE_S = 24 * 3600
LONGEST = {"pair_id": 200, "source_id": 200, "origin": 200, "file name": 300}


@dataclass(frozen=True)
class ImportReport:
    """What an import would do, or did.

    Attributes:
        new, known: pairs that are added, and those that the study has already.
        kinds, origins: number of new pairs of each.
        photos: number of distinct photos of the new pairs.
        images: distinct pictures of the new pairs.
        remarks: errors (any of them stops the import) and warnings.
        applied: the pairs are in the study.
    """

    sources: tuple[str, ...]
    new: int
    known: int
    kinds: dict[str, int]
    origins: dict[str, int]
    photos: int
    images: int
    remarks: tuple[Remark, ...]
    applied: bool = False

    @property
    def errors(self) -> int:
        """Number of remarks that stop the import."""
        return sum(remark.level == "error" for remark in self.remarks)

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {**asdict(self), "errors": self.errors}

    def lines(self, most: int = 20) -> list[str]:
        """The report in words; of each kind of remark the first `most`."""
        kinds = ", ".join(f"{count} {kind}" for kind, count in self.kinds.items()) or "none"
        out = [f"new pairs: {self.new} ({kinds}); in the study already: {self.known}"]
        if self.new:
            origins = ", ".join(f"{name or 'no origin'} {count}" for name, count in sorted(self.origins.items())[:12])
            out.append(f"photos: {self.photos}; pictures: {self.images}; origins: {origins}")
        for code, count in Counter((remark.level, remark.code) for remark in self.remarks).items():
            shown = [remark for remark in self.remarks if (remark.level, remark.code) == code]
            out += [f"{remark.level}: {remark.where}: {remark.text}" for remark in shown[:most]]
            if count > most:
                out.append(f"{code[0]}: ... and {count - most} more of this kind ({code[1]})")
        return out


@dataclass(frozen=True)
class _Stored:
    """A picture that was decoded: its hash, its size and, unless this is a dry run, the bytes of its file on the disk."""

    digest: str
    size: Size
    bytes: int
    notes: tuple[str, ...] = ()
    profile: str = ""


@dataclass(frozen=True)
class _Ready:
    pair: FoundPair
    reference: _Stored
    candidate: _Stored


def inspect(
    database: Database,
    sources: Sequence[str | Path],
    kind: str = "main",
    fit: str = "refuse",
    confined: bool = False,
    limits: Limits | None = None,
    progress: Advance | None = None,
) -> ImportReport:
    """Report what `import_pairs` would do, and change nothing.

    Raises:
        StudyError: nothing that can be read at all.
    """
    with tempfile.TemporaryDirectory(prefix="semfid-import-") as work:
        paths = [Path(source) for source in sources]
        found, remarks = find_pairs(paths, kind, Path(work), limits, confined)
        ready, more = _decode(found, fit, None, progress)
        with database.read() as c:
            return _compare(c, ready, remarks + more, sources)[0]


def import_pairs(
    database: Database,
    images: Path,
    sources: Sequence[str | Path],
    kind: str = "main",
    fit: str = "refuse",
    confined: bool = False,
    limits: Limits | None = None,
    actor: str = "command line",
    progress: Advance | None = None,
) -> ImportReport:
    """Add the pairs of `sources` that the study does not have yet.

    Args:
        images: the study's folder images/.
        sources: a pair table, a zip, a folder with either, or two folders HQ SR.
        kind: main, trap, training or example, for pairs whose table does not say.
        fit: ``refuse`` pairs of two sizes, or ``crop`` both to the common part from the top left corner, as
            super-resolution cuts photos to a multiple of its scale.
        confined: `sources` were sent by somebody: a table may only name files below its own folder.
        progress: called as ``progress(done, total)`` after each picture.

    Raises:
        StudyError: nothing that can be read, or any error of the report; then the study is as it was.
    """
    images.mkdir(parents=True, exist_ok=True)
    _sweep(images)
    staged = images / f"{STAGING}{os.getpid()}-{secrets.token_hex(4)}"
    with tempfile.TemporaryDirectory(prefix="semfid-import-") as work:
        try:
            staged.mkdir()
            paths = [Path(source) for source in sources]
            found, remarks = find_pairs(paths, kind, Path(work), limits, confined)
            ready, more = _decode(found, fit, staged, progress)
            with database.read() as c:
                report, fresh = _compare(c, ready, remarks + more, sources)
            if report.errors:
                raise StudyError(_refusal(report))
            _put_files(fresh, staged, images)
            if not fresh:
                return replace(report, applied=True)
            with database.write() as c:
                report, fresh = _compare(c, ready, remarks + more, sources)  # somebody may have imported meanwhile
                if report.errors:
                    raise StudyError(_refusal(report))
                _add_rows(c, fresh, now_ms(), actor, report)
            return replace(report, applied=True)
        except OSError as error:
            advice = remedy(error, "choose another folder")
            raise StudyError(f"{images}: {said(error)}; nothing was imported; {advice}") from error
        finally:
            shutil.rmtree(staged, ignore_errors=True)


def _refusal(report: ImportReport) -> str:
    first = next(remark for remark in report.remarks if remark.level == "error")
    rest = f" ({report.errors - 1} more errors; `--dry-run` lists them)" if report.errors > 1 else ""
    return f"nothing was imported: {first.where}: {first.text}{rest}"


def _sweep(images: Path) -> None:
    """Remove what imports left that were killed long ago."""
    for folder in images.glob(f"{STAGING}*"):
        if time.time() - folder.stat().st_mtime > STALE_S:
            shutil.rmtree(folder, ignore_errors=True)


def _decode(
    found: Sequence[FoundPair], fit: str, staged: Path | None, progress: Advance | None
) -> tuple[list[_Ready], list[Remark]]:
    """Decode (and, with a folder, encode) every picture once; check what two pictures of a pair must share."""
    if fit not in ("refuse", "crop"):
        raise StudyError(f"--fit {fit}: use refuse or crop")
    paths = sorted({path for one in found for path in (one.reference, one.candidate)})
    results: dict[Path, _Stored | PictureError] = {}

    def work(path: Path) -> _Stored | PictureError:
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
            reference, candidate = (part for part in cropped if isinstance(part, _Stored))
        differ = profiles_differ(one.reference.name, reference.profile, one.candidate.name, candidate.profile)
        if differ:
            remarks.append(Remark("warning", "profile", one.key, differ))
        ready.append(_Ready(one, reference, candidate))
    return ready, remarks


def _store(path: Path, crop: Size | None, staged: Path | None) -> _Stored | PictureError:
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
        os.replace(part, target)
    return _Stored(digest, picture.size, length, picture.notes, picture.profile)


def _picture_remarks(paths: Sequence[Path], results: dict[Path, _Stored | PictureError]) -> list[Remark]:
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


def _compare(
    c: Connection, ready: Sequence[_Ready], remarks: Sequence[Remark], sources: Sequence[str | Path]
) -> tuple[ImportReport, list[_Ready]]:
    """Hold the pairs against the study and against each other."""
    more: list[Remark] = []
    by_key, by_content = _present(c)
    fresh: list[_Ready] = []
    known = 0
    for one in ready:
        key, content = one.pair.key, (one.reference.digest, one.candidate.digest)
        fault = _pair_fault(one)
        if fault is not None:
            more.append(fault)
        elif by_key.get(key) == content:
            known += 1
        elif key in by_key:
            more.append(
                Remark(
                    "error", "id_taken", key, "the study has other pictures under this pair_id; give it another name"
                )
            )
        elif content in by_content:
            text = f"shows the same two pictures as {by_content[content]!r}: left out"
            more.append(Remark("warning", "duplicate", key, text))
        else:
            by_key[key], by_content[content] = content, key
            fresh.append(one)
            if content[0] == content[1] and one.pair.kind == "main":
                more.append(
                    Remark("warning", "identical", key, "both pictures are equal to the last pixel; meant as a trap?")
                )
    if not ready and not any(remark.level == "error" for remark in remarks):
        more.append(Remark("error", "empty", "-", "no pair is left to import"))
    report = ImportReport(
        tuple(Path(source).name for source in sources),
        len(fresh),
        known,
        dict(Counter(one.pair.kind for one in fresh)),
        dict(Counter(one.pair.origin for one in fresh)),
        len({one.pair.source for one in fresh}),
        len({part.digest for one in fresh for part in (one.reference, one.candidate)}),
        tuple(sorted([*remarks, *more], key=lambda remark: remark.level != "error")),
    )
    return report, fresh


def _present(c: Connection) -> tuple[dict[str, tuple[str, str]], dict[tuple[str, str], str]]:
    digests = {row.id: row.sha256 for row in c.execute(select(image.c.id, image.c.sha256))}
    by_key = {
        row.pair_key: (digests[row.reference_image], digests[row.candidate_image])
        for row in c.execute(select(pair.c.pair_key, pair.c.reference_image, pair.c.candidate_image))
    }
    return by_key, {content: key for key, content in by_key.items()}


def _pair_fault(one: _Ready) -> Remark | None:
    found = one.pair
    texts = {
        "pair_id": (found.key,), "source_id": (found.source,), "origin": (found.origin,),
        "file name": (found.reference_name, found.candidate_name),
    }  # fmt: skip
    for what, values in texts.items():
        if any(len(value) > LONGEST[what] for value in values):
            return Remark(
                "error", "long", found.key[:80], f"{what} has more than {LONGEST[what]} characters; shorten it"
            )
        if any(ord(char) < 32 for value in values for char in value):
            return Remark("error", "control", repr(found.key[:80]), f"{what} holds a control character; rename it")
    if found.kind in ("trap", "training", "example") and found.truth is None:
        return Remark("error", "truth", found.key, f"a pair of kind {found.kind} needs a column truth (yes or no)")
    return None


def _put_files(fresh: Sequence[_Ready], staged: Path, images: Path) -> None:
    """Move pictures into place, each whole; those that are there already are the same pixels."""
    for digest in sorted({part.digest for one in fresh for part in (one.reference, one.candidate)}):
        name = f"{digest}.{ENDING}"
        if (images / name).exists():
            continue
        with open(staged / name, "rb") as file:
            os.fsync(file.fileno())
        os.replace(staged / name, images / name)
    if os.name == "posix":
        handle = os.open(images, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _add_rows(c: Connection, fresh: Sequence[_Ready], now: int, actor: str, report: ImportReport) -> None:
    pictures = {part.digest: part for one in fresh for part in (one.reference, one.candidate)}
    pairs.add_images(
        c,
        [
            NewImage(part.digest, f"{part.digest}.{ENDING}", MEDIA_TYPE, *part.size, part.bytes)
            for part in pictures.values()
        ],
    )
    pairs.add_pairs(c, [_new_pair(one) for one in fresh], now)
    audit.note(c, actor, "import", report.sources[0], {"pairs": report.new, "kinds": report.kinds}, now)


def _new_pair(one: _Ready) -> NewPair:
    found = one.pair
    return NewPair(
        pair_key=found.key,
        source_key=found.source,
        reference=one.reference.digest,
        candidate=one.candidate.digest,
        reference_name=found.reference_name,
        candidate_name=found.candidate_name,
        origin=found.origin,
        kind="training" if found.kind == "example" else found.kind,
        truth=found.truth,
        explanation=found.explanation,
        example=found.kind == "example",
        extra=found.extra,
    )
