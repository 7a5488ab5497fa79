"""What every file of an export depends on."""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, and_, or_

from user_study.database.schema import participant, response

FORMULA = ("=", "+", "-", "@", "\t", "\r")
BATCH = 5_000  # rows that are fetched at a time


@dataclass(frozen=True)
class Options:
    """How an export is made.

    Attributes:
        raw: with answers that do not count, excluded people and testers.
        names: with nicknames and identifiers of recruiting platforms; pseudonyms alone otherwise.
        seed: of the split of pairs.csv.
    """

    raw: bool = False
    names: bool = False
    seed: int = 0


def wanted_answers(
    options: Options, kinds: Sequence[str] = ("main",), counted_only: bool = True
) -> ColumnElement[bool]:
    """Which rows of `response` (outer joined with `participant`) an export takes.

    Clean: answers that count (`counted_only`), or all that included people gave and did not take back. Raw: all of them.
    """
    of_kind = response.c.kind.in_(kinds)
    if options.raw:
        return of_kind
    if counted_only:
        return and_(of_kind, response.c.counted == 1)
    person = or_(
        response.c.participant_id.is_(None),
        and_(participant.c.standing == "included", participant.c.role == "participant"),
    )
    return and_(of_kind, person, or_(response.c.why_not.is_(None), response.c.why_not.in_(("kind", "surplus"))))


def guarded(text: str | None) -> str:
    """A text that somebody typed, such that no spreadsheet takes it for a formula (OWASP ASVS 5.0, 1.2.10)."""
    plain = "" if text is None else "".join(char if char.isprintable() else " " for char in text)
    return f"'{plain}" if plain.lstrip(" ").startswith(FORMULA) or (text or "").startswith(FORMULA) else plain


def iso(milliseconds: int | None) -> str:
    """UTC with milliseconds, ISO 8601."""
    if milliseconds is None:
        return ""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]], line_end: str = "\n") -> int:
    """Write a table; None becomes an empty cell. Returns the number of rows."""
    count = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator=line_end)
        writer.writerow(header)
        for row in rows:
            writer.writerow(row)
            count += 1
    return count


def pack(folder: Path, packed: Path) -> None:
    """Write the files of a folder into a zip; images are stored, for they are packed already."""
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                kind = zipfile.ZIP_STORED if path.suffix in (".webp", ".png") else zipfile.ZIP_DEFLATED
                archive.write(path, path.relative_to(folder).as_posix(), kind)
