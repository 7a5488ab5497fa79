"""Bringing pairs into a study: a dry run that changes nothing, then all of it or nothing.

Every picture is decoded and re-encoded (see `user_study.core.pictures`). Files come first, under names that are hashes of their
pixels, each whole by rename; then one transaction adds the rows. A run that is killed leaves files that nothing points to,
which the next import of the same pairs uses and `semfid study check` names.
"""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from sqlalchemy import Connection

from semfid.io.system_faults import remedy, said
from semfid.progress import Advance
from user_study.core import audit
from user_study.core.clock import now_ms
from user_study.core.errors import StudyError
from user_study.core.pictures import ENDING, MEDIA_TYPE
from user_study.database.engine import Database
from user_study.imports.images import ReadyPair, decode
from user_study.imports.report import ImportReport, compare
from user_study.imports.sources import DEFAULTS, ImportOptions, find_pairs
from user_study.trial import pairs
from user_study.trial.pairs import NewImage, NewPair

STAGING = ".incoming-"
STALE_S = 24 * 3600


def inspect(
    database: Database,
    sources: Sequence[str | Path],
    options: ImportOptions = DEFAULTS,
    progress: Advance | None = None,
) -> ImportReport:
    """Report what `import_pairs` would do, and change nothing.

    Raises:
        StudyError: nothing that can be read at all.
    """
    with tempfile.TemporaryDirectory(prefix="semfid-import-") as work:
        paths = [Path(source) for source in sources]
        found, remarks = find_pairs(paths, options, Path(work))
        ready, more = decode(found, options.fit, None, progress)
        with database.read() as c:
            return compare(c, ready, remarks + more, sources)[0]


def import_pairs(
    database: Database,
    images: Path,
    sources: Sequence[str | Path],
    options: ImportOptions = DEFAULTS,
    actor: str = "command line",
    progress: Advance | None = None,
) -> ImportReport:
    """Add the pairs of `sources` that the study does not have yet.

    Args:
        images: the study's folder images/.
        sources: a pair table, a zip, a folder with either, or two folders HQ SR.
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
            found, remarks = find_pairs(paths, options, Path(work))
            ready, more = decode(found, options.fit, staged, progress)
            with database.read() as c:
                report, fresh = compare(c, ready, remarks + more, sources)
            if report.errors:
                raise StudyError(_refusal(report))
            _put_files(fresh, staged, images)
            if not fresh:
                return replace(report, applied=True)
            with database.write() as c:
                report, fresh = compare(c, ready, remarks + more, sources)  # somebody may have imported meanwhile
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


def _put_files(fresh: Sequence[ReadyPair], staged: Path, images: Path) -> None:
    """Move pictures into place, each whole; those that are there already are the same pixels."""
    for digest in sorted({part.digest for one in fresh for part in (one.reference, one.candidate)}):
        name = f"{digest}.{ENDING}"
        if (images / name).exists():
            continue
        with (staged / name).open("rb") as file:
            os.fsync(file.fileno())
        (staged / name).replace(images / name)
    if os.name == "posix":
        handle = os.open(images, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _add_rows(c: Connection, fresh: Sequence[ReadyPair], now: int, actor: str, report: ImportReport) -> None:
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


def _new_pair(one: ReadyPair) -> NewPair:
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
