"""Which candidate belongs to which reference.

Rules, the first that fits, endings aside:

1. a pair table says so;
2. equal names: ``HQ/kitchen.png`` and ``SR/kitchen.jpg``, in any subfolder: ``SR/SwinIR/kitchen.jpg``;
3. the source project's naming, ``<model>_<reference>``: ``SR/SwinIR_kitchen.png``.

The origin of a candidate is its subfolder, or what stands before the reference's name.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from semfid.runtime.errors import ScoringError

ENDINGS = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".gif", ".jp2", ".avif", ".heic"}


@dataclass(frozen=True)
class FilePair:
    """Two files to be compared.

    Attributes:
        pair_id: unique; the candidate's path inside its folder without its ending.
        origin: what made the candidate, such as an SR model; empty where that cannot be told.
    """

    pair_id: str
    reference: Path
    candidate: Path
    origin: str = ""


@dataclass(frozen=True)
class Pairing:
    """What was found.

    Attributes:
        pairs: sorted by reference, then candidate.
        missing: references without a candidate, by name.
        extra: candidates without a reference, by path.
    """

    pairs: list[FilePair]
    missing: list[str]
    extra: list[str]


def pair_files(reference: Path, candidate: Path) -> Pairing:
    """Two files, or two folders.

    Raises:
        ScoringError: a path that is not there, a file against a folder, a folder without images, two references of one name,
            nothing that fits.
    """
    for path in (reference, candidate):
        if not path.exists():
            raise ScoringError(f"no file or folder {path}")
    if reference.is_dir() != candidate.is_dir():
        raise ScoringError(f"{reference} and {candidate}: give two files or two folders")
    if not reference.is_dir():
        return Pairing([FilePair(candidate.stem, reference, candidate)], [], [])
    return _pair_folders(reference, candidate)


def _pair_folders(reference: Path, candidate: Path) -> Pairing:
    references = _images(reference, apart=candidate)
    candidates = _images(candidate, apart=reference)
    by_path: dict[str, list[Path]] = {}
    by_stem: dict[str, list[Path]] = {}
    for path in references:
        by_path.setdefault(str(path.relative_to(reference).with_suffix("")), []).append(path)
        by_stem.setdefault(path.stem, []).append(path)
    pairs, extra = [], []
    for path in candidates:
        inside = path.relative_to(candidate).with_suffix("")
        found, origin = _reference_of(inside, by_path, by_stem)
        if not found:
            extra.append(str(path))
        elif len(found) > 1:
            raise ScoringError(f"{path} fits {found[0]} and {found[1]}; give a pair table by --pairs")
        else:
            pairs.append(FilePair(str(inside), found[0], path, origin))
    if not pairs:
        raise ScoringError(
            f"no name in {candidate} (such as {candidates[0].name}) fits one in {reference} (such as {references[0].name}); "
            "use equal names, <model>_<name>, or a pair table by --pairs"
        )
    return _pairing(pairs, references, reference, extra)


def _pairing(pairs: list[FilePair], references: Sequence[Path], root: Path, extra: list[str]) -> Pairing:
    seen: dict[str, FilePair] = {}
    for pair in pairs:
        if pair.pair_id in seen:
            first = seen[pair.pair_id].candidate
            raise ScoringError(f"{first} and {pair.candidate} have one name; rename one of them")
        seen[pair.pair_id] = pair
    used = {pair.reference for pair in pairs}
    missing = [str(path.relative_to(root)) for path in references if path not in used]
    return Pairing(sorted(pairs, key=lambda pair: (str(pair.reference), pair.pair_id)), missing, extra)


def _reference_of(
    inside: Path, by_path: dict[str, list[Path]], by_stem: dict[str, list[Path]]
) -> tuple[list[Path], str]:
    """The references that a candidate's path fits, and its origin."""
    folder = "" if inside.parent == Path() else inside.parent.as_posix()
    parts = inside.parts
    for start in range(len(parts)):  # the same path, or the same path below a folder of the model's
        same = by_path.get(str(Path(*parts[start:])))
        if same is not None:
            return same, "/".join(parts[:start])
    if inside.name in by_stem:
        return by_stem[inside.name], folder
    words = inside.name.split("_")
    for start in range(1, len(words)):  # the longest name first: references may have a _ of their own
        stem = "_".join(words[start:])
        if stem in by_stem:
            return by_stem[stem], "_".join(words[:start])
    return [], folder


def read_pair_table(table: Path) -> Pairing:
    """Pairs of a CSV with the columns pair_id, reference, candidate (and origin), paths relative to it.

    Raises:
        ScoringError: no such file, a missing column, an empty or repeated pair_id, no rows.
    """
    try:
        with open(table, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns, rows = reader.fieldnames or [], list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ScoringError(f"{table} cannot be read as a CSV: {error}") from error
    for column in ("pair_id", "reference", "candidate"):
        if column not in columns:
            raise ScoringError(f"{table} lacks the column {column}; it has {', '.join(columns) or 'none'}")
    if not rows:
        raise ScoringError(f"{table} has no rows")
    root, pairs = table.parent, []
    for number, row in enumerate(rows, start=2):
        if not row["pair_id"] or not row["reference"] or not row["candidate"]:
            raise ScoringError(f"{table}, row {number}: pair_id, reference and candidate must be given")
        name = row["pair_id"]
        pairs.append(FilePair(name, root / row["reference"], root / row["candidate"], row.get("origin") or ""))
    return _pairing(pairs, (), root, [])


def _images(folder: Path, apart: Path) -> list[Path]:
    """Image files below a folder, those of the other folder left out where one lies in the other."""
    other = apart.resolve()
    inner = other.is_relative_to(folder.resolve()) and other != folder.resolve()
    found = [
        path
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in ENDINGS
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and not (inner and path.resolve().is_relative_to(other))
    ]
    if not found:
        raise ScoringError(f"no images in {folder}")
    return found
