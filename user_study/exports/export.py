"""Writing what a study found: a folder, a zip, or a single file; clean or raw."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Connection

from semfid.errors import did_you_mean
from semfid.io.system_faults import remedy, said
from user_study.core.errors import StudyError
from user_study.database.engine import Database
from user_study.exports import answers, dictionary, facts, people
from user_study.exports.options import Options, pack

FACTS, README = "study.json", "README.md"
TABLES: dict[str, Callable[[Connection, Path, Options], int]] = {
    "responses": answers.responses,
    "participants": people.participants,
    "traps": people.traps,
    "legacy": answers.legacy,
    "crowdkit": answers.crowdkit,
}
NAMES = ("pairs", *TABLES, "study")
ALL = "all"


def export(
    database: Database,
    images: Path,
    out: str | Path,
    what: str = ALL,
    options: Options | None = None,
    with_images: bool = True,
) -> list[Path]:
    """Write an export; what is there already under these names is replaced, whole files by rename.

    Args:
        images: the study's folder images/.
        out: a folder (new, empty, or of an earlier export), a new or old ``.zip``, or with one `what` also a ``.csv`` or
            ``.json``.
        what: ``all``, or one of NAMES.
        with_images: put the pictures beside pairs.csv; without them its paths lead
            to the study's own pictures.

    Returns:
        The files written, pictures left out.

    Raises:
        StudyError: an unknown name, a folder that holds other things, a full disk.
    """
    options = options or Options()
    out = Path(out)
    if what != ALL and what not in NAMES:
        raise StudyError(f"--what {what}{did_you_mean(what, NAMES)}: use {ALL}, {', '.join(NAMES)}")
    single = out.suffix.lower() in (".csv", ".json")
    if single and what == ALL:
        raise StudyError(f"{out}: --what says which table goes into a single file: {', '.join(NAMES)}")
    if out.exists() and not single and out.suffix.lower() != ".zip":
        _check_folder(out)
    work = out.parent / f".{out.name}.{os.getpid()}-{secrets.token_hex(4)}.part"
    try:
        work.mkdir(parents=True)
        if single:
            return [_single(database, images, out, what, options, work)]
        names = _build(database, images, work, what, options, with_images, os.path.abspath(out))
        if out.suffix.lower() == ".zip":
            packed = work.with_suffix(".zip")
            pack(work, packed)
            packed.replace(out)
            return [out]
        _put(work, out)
        return [out / name for name in names]
    except OSError as error:
        raise StudyError(f"{out}: cannot be written ({said(error)}); {remedy(error, 'name another place')}") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
        work.with_suffix(".zip").unlink(missing_ok=True)


def _check_folder(out: Path) -> None:
    if not out.is_dir():
        raise StudyError(f"{out}: is a file; name a folder, a .zip, or a .csv with --what")
    inside = {entry.name for entry in out.iterdir()}
    known = {FACTS, README, "HQ", "SR", *(f"{name}.csv" for name in NAMES)}
    strange = sorted(inside - known)
    if strange:
        raise StudyError(f"{out}: holds other things ({strange[0]}); name a new folder for the export")


def _single(database: Database, images: Path, out: Path, what: str, options: Options, work: Path) -> Path:
    from user_study.exports import labels  # loads pandas, which a server need not wait for

    made = work / (FACTS if what == "study" else f"{what}.csv")
    with database.read() as c:
        if what == "study":
            facts.write_json(made, facts.study_facts(c, options, {}, work))
        elif what == "pairs":
            labels.labels(c, made, options, _own_pictures(c, images, out.parent.resolve()))
        else:
            TABLES[what](c, made, options)
    made.replace(out)
    return out


def _own_pictures(c: Connection, images: Path, folder: Path) -> dict[tuple[int, str], str]:
    """Paths to the study's own pictures, relative to a folder."""
    from user_study.exports import labels

    found = labels.pictures(c)
    return {key: os.path.relpath(images.resolve() / found.files[path], folder) for key, path in found.paths.items()}


def _build(
    database: Database, images: Path, work: Path, what: str, options: Options, with_images: bool, final: str
) -> list[str]:
    """Write the files into `work`; they will be moved to `final`."""
    from user_study.exports import labels

    rows: dict[str, int] = {}
    with database.read() as c:
        if what in (ALL, "pairs"):
            found = labels.pictures(c)
            # a zip goes elsewhere: its paths are those of the pictures, whether they are in it or come later
            inside = with_images or final.lower().endswith(".zip")
            where = found.paths if inside else _own_pictures(c, images, Path(final))
            rows["pairs.csv"] = labels.labels(c, work / "pairs.csv", options, where)
            if with_images:
                _copy(images, work, found.files)
        for name, write in TABLES.items():
            if what in (ALL, name):
                rows[f"{name}.csv"] = write(c, work / f"{name}.csv", options)
        told = facts.study_facts(c, options, rows, work)
    if what in (ALL, "study"):
        facts.write_json(work / FACTS, told)
    (work / README).write_text(dictionary.readme(told, with_images), encoding="utf-8")
    return [*rows, *([FACTS] if what in (ALL, "study") else []), README]


def _copy(images: Path, work: Path, files: dict[str, str]) -> None:
    for path, file in files.items():
        target = work / path
        target.parent.mkdir(exist_ok=True)
        if not (images / file).is_file():
            raise StudyError(f"{images / file} is missing; `semfid study check` says what to do")
        shutil.copyfile(images / file, target)  # no hard link: whoever edits the export must not edit the study


def _put(work: Path, out: Path) -> None:
    if not out.exists():
        work.rename(out)
        return
    for path in sorted(work.rglob("*")):
        if path.is_file():
            target = out / path.relative_to(work)
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)
