"""Which candidate belongs to which reference.

Rules, the first that fits, endings aside:

1. a pair table says so;
2. equal names: ``HQ/kitchen.png`` and ``SR/kitchen.jpg``, in any subfolder: ``SR/SwinIR/kitchen.jpg``;
3. the source project's naming, ``<model>_<reference>``: ``SR/SwinIR_kitchen.png``;
4. the same with what some networks' scripts put behind it: ``SR/kitchen_out.png``, ``SR/kitchen_SwinIR.png``.

Names are compared in Unicode NFC. The origin of a candidate is its subfolder, or what stands before or behind the reference's
name.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

from semfid.errors import UserError
from semfid.io.listing import Listing, list_images, nfc, on_disk
from semfid.io.tables import as_path, lacking, read_table

SUFFIXES = ("out", "SwinIR")
"""What the scripts of Real-ESRGAN and SwinIR put behind a photo's name unless they are told otherwise."""


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
        left_out: a line for each folder in which images were passed over.
    """

    pairs: list[FilePair]
    missing: list[str]
    extra: list[str]
    left_out: tuple[str, ...] = ()


def pair_files(reference: Path, candidate: Path) -> Pairing:
    """Two files, or two folders.

    Raises:
        UserError: a path that is not there, a file against a folder, a folder without images, two references of one name,
            nothing that fits.
    """
    reference, candidate = on_disk(reference), on_disk(candidate)
    for path in (reference, candidate):
        if not path.exists():
            raise UserError(f"no file or folder {path}")
    if reference.is_dir() != candidate.is_dir():
        raise UserError(f"{reference} and {candidate}: give two files or two folders")
    if not reference.is_dir():
        return Pairing([FilePair(candidate.stem, reference, candidate)], [], [])
    return _pair_folders(reference, candidate)


def _pair_folders(reference: Path, candidate: Path) -> Pairing:
    listings = _images(reference, apart=candidate), _images(candidate, apart=reference)
    references, candidates = listings[0].paths, listings[1].paths
    by_path: dict[str, list[Path]] = {}
    by_stem: dict[str, list[Path]] = {}
    for path in references:
        inside = _inside(path, reference)
        by_path.setdefault(str(inside), []).append(path)
        by_stem.setdefault(inside.name, []).append(path)
    pairs, extra = [], []
    for path in candidates:
        inside = _inside(path, candidate)
        found, origin = _reference_of(inside, by_path, by_stem)
        if not found:
            extra.append(str(path))
        elif len(found) > 1:
            raise UserError(f"{path} fits {found[0]} and {found[1]}; give a pair table by --pairs")
        else:
            pairs.append(FilePair(str(inside), found[0], path, origin))
    if not pairs:
        raise UserError(
            f"no name in {candidate} (such as {candidates[0].name}) fits one in {reference} (such as {references[0].name}); "
            "use equal names, <model>_<name>, or a pair table by --pairs"
        )
    left_out = tuple(dict.fromkeys(summary for one in listings if (summary := one.summary())))
    return replace(_pairing(pairs, references, reference, extra), left_out=left_out)


def _inside(path: Path, root: Path) -> PurePath:
    """What a file is called below a folder, in the form in which names are compared, without its ending."""
    return PurePath(nfc(str(path.relative_to(root).with_suffix(""))))


def _pairing(pairs: list[FilePair], references: Sequence[Path], root: Path, extra: list[str]) -> Pairing:
    seen: dict[str, FilePair] = {}
    for pair in pairs:
        if pair.pair_id in seen:
            first = seen[pair.pair_id].candidate
            raise UserError(f"{first} and {pair.candidate} have one name; rename one of them")
        seen[pair.pair_id] = pair
    used = {pair.reference for pair in pairs}
    missing = [str(path.relative_to(root)) for path in references if path not in used]
    return Pairing(sorted(pairs, key=lambda pair: (str(pair.reference), pair.pair_id)), missing, extra)


def _reference_of(
    inside: PurePath, by_path: dict[str, list[Path]], by_stem: dict[str, list[Path]]
) -> tuple[list[Path], str]:
    """The references that a candidate's path fits, and its origin."""
    folder = "" if inside.parent == PurePath() else inside.parent.as_posix()
    for name, suffix in _readings(inside.name):
        parts = inside.with_name(name).parts
        for start in range(len(parts)):  # the same path, or the same path below a folder of the model's
            same = by_path.get(str(PurePath(*parts[start:])))
            if same is not None:
                return same, "/".join(parts[:start]) or suffix
        photo, model = _photo_and_model(name, by_stem)
        if photo is not None:
            return by_stem[photo], model or folder or suffix
    return [], folder


def split_name(stem: str, photos: Container[str]) -> tuple[str | None, str]:
    """The photo that an output belongs to by its name, and what its name says of the model.

    Args:
        stem: of the output; photos' names: both by `listing.nfc`, without endings.

    Returns:
        the photo, None where there is none; the model, empty where the name says nothing of it.
    """
    for name, suffix in _readings(stem):
        photo, model = _photo_and_model(name, photos)
        if photo is not None:
            return photo, model or suffix
    return None, ""


def without_suffix(stem: str) -> tuple[str, str]:
    """A name without the one of `SUFFIXES` behind it, and that suffix; empty where it has none."""
    name, _, suffix = stem.rpartition("_")
    return (name, suffix) if name and suffix in SUFFIXES else (stem, "")


def _readings(stem: str) -> Iterator[tuple[str, str]]:
    """Names that a candidate's stem may stand for, and the suffix that was taken away: the whole stem first."""
    yield stem, ""
    name, suffix = without_suffix(stem)
    if suffix:
        yield name, suffix


def _photo_and_model(name: str, photos: Container[str]) -> tuple[str | None, str]:
    if name in photos:
        return name, ""
    words = name.split("_")
    for start in range(1, len(words)):  # the longest name first: references may have a _ of their own
        stem = "_".join(words[start:])
        if stem in photos:
            return stem, "_".join(words[:start])
    return None, ""


def read_pair_table(table: Path) -> Pairing:
    """Pairs of a CSV with the columns pair_id, reference, candidate (and origin), paths relative to it.

    Raises:
        UserError: no such file, a table that cannot be read, a missing column, an empty or repeated pair_id, no rows.
    """
    found = read_table(table)
    for column in ("pair_id", "reference", "candidate"):
        if column not in found.columns:
            raise UserError(lacking(str(table), column, found.columns))
    if not found.rows:
        raise UserError(f"{table} has no rows")
    root, pairs = table.parent, []
    for number, values in zip(found.numbers, found.rows, strict=True):
        row = dict(zip(found.columns, values, strict=True))
        name = row["pair_id"].strip()
        if not name or not row["reference"] or not row["candidate"]:
            raise UserError(f"{table}, row {number}: pair_id, reference and candidate must be given")
        reference, candidate = (on_disk(root / as_path(row[side], root)) for side in ("reference", "candidate"))
        pairs.append(FilePair(name, reference, candidate, row.get("origin", "").strip()))
    return _pairing(pairs, (), root, [])


def _images(folder: Path, apart: Path) -> Listing:
    """Image files below a folder, those of the other folder left out where one lies in the other."""
    try:
        found = list_images(folder, apart=apart)
    except OSError as error:
        raise UserError(f"{folder} cannot be read: {error.strerror}") from error
    if not found.paths:
        raise UserError(f"no images in {found.summary() or folder}")
    return found
