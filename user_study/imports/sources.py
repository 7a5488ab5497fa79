"""Finding the pairs in what a researcher brings: a pair table, a zip, a folder, or two folders HQ and SR."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from semfid.io.file_pairs import split_name
from semfid.io.listing import list_images, nfc, on_disk, unlisted
from user_study.core.errors import StudyError
from user_study.imports.archive import ARCHIVES, Limits, shown, unpack

if TYPE_CHECKING:  # pandas takes longer to load than all the rest of the server
    import pandas as pd

PairKind = Literal["main", "trap", "training", "example"]
KINDS: tuple[PairKind, ...] = get_args(PairKind)
REQUIRED = ("pair_id", "source_id", "reference", "candidate")
OWN = (*REQUIRED, "origin", "kind", "truth", "explanation")
PHOTO_FOLDERS = ("hq", "gt", "reference", "references", "ground_truth")
OUTPUT_FOLDERS = ("sr", "candidate", "candidates", "outputs", "sr_images")
_YES_NO: dict[str, Literal["yes", "no"] | None] = {
    "yes": "yes", "no": "no", "true": "yes", "false": "no", "1": "yes", "0": "no", "1.0": "yes", "0.0": "no", "": None,
}  # fmt: skip


@dataclass(frozen=True)
class ImportOptions:
    """How sources are read.

    Attributes:
        kind: main, trap, training or example, for pairs whose table does not say.
        fit: ``refuse`` pairs of two sizes, or ``crop`` both to the common part from the top left corner, as
            super-resolution cuts photos to a multiple of its scale.
        confined: somebody sent the sources: a table may only name files below its own folder.
        limits: of archives; None: the usual ones.
    """

    kind: str = "main"
    fit: str = "refuse"
    confined: bool = False
    limits: Limits | None = None


DEFAULTS = ImportOptions()


@dataclass(frozen=True)
class FoundPair:
    """One pair of a source, before anything is decoded."""

    key: str
    source: str
    origin: str
    kind: PairKind
    truth: Literal["yes", "no"] | None
    explanation: str | None
    reference: Path
    candidate: Path
    reference_name: str
    candidate_name: str
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Remark:
    """What a report says of a file or a pair. An `error` keeps the whole import from happening, a `warning` does not."""

    level: str  # error, warning
    code: str
    where: str
    text: str


def find_pairs(sources: Sequence[Path], options: ImportOptions, work: Path) -> tuple[list[FoundPair], list[Remark]]:
    """The pairs of `sources`, in a fixed order.

    Args:
        sources: one pair table, zip or folder; or two folders, photos first.
        work: an empty folder for what is unpacked.

    Raises:
        StudyError: nothing there, no pairs in it, or an archive that is refused.
    """
    chosen = next((known for known in KINDS if known == options.kind), None)
    if chosen is None:
        raise StudyError(f"--kind {options.kind}: use {', '.join(KINDS)}")
    for source in sources:
        if not source.exists():
            raise StudyError(f"{source}: not found; give a pair table, a zip, a folder, or two folders HQ SR")
    if len(sources) == 2 and all(source.is_dir() for source in sources):
        return _of_folders(sources[0], sources[1], chosen)
    if len(sources) != 1:
        raise StudyError(
            "give one pair table, zip or folder, or two folders: first the photos (HQ), then the outputs (SR)"
        )
    source = sources[0]
    if source.is_dir():
        return _of_folder(source, chosen, options.confined)
    if source.suffix.lower() == ".zip":
        left_out = unpack(source, work, options.limits)
        remarks = [_left_out(name) for name in left_out]
        pairs, more = _of_folder(work, chosen, confined=True)
        return pairs, remarks + more
    if source.suffix.lower() in (".csv", ".parquet"):
        return _of_table(source, chosen, options.confined)
    if source.suffix.lower() in ARCHIVES:
        raise StudyError(f"{source}: only zip archives are read; pack the folder as a zip")
    raise StudyError(f"{source}: neither a pair table (.csv, .parquet), a .zip, nor a folder")


def _left_out(name: str) -> Remark:
    nested = Path(name).suffix.lower() in ARCHIVES
    text = (
        "an archive inside the archive is not opened; put its files in directly"
        if nested
        else "hidden file or link: left out"
    )
    return Remark("warning", "nested" if nested else "left_out", shown(name), text)


def _of_folder(folder: Path, kind: PairKind, confined: bool) -> tuple[list[FoundPair], list[Remark]]:
    """A folder with a pair table, or with the folders HQ and SR (the source project: GT and SR)."""
    while True:  # a zip of a folder holds one folder
        inner = [entry for entry in sorted(folder.iterdir()) if not unlisted(entry.name)]
        if len(inner) != 1 or not inner[0].is_dir():
            break
        folder = inner[0]
    tables = [entry for entry in inner if entry.suffix.lower() in (".csv", ".parquet") and _is_pair_table(entry)]
    if len(tables) > 1:
        raise StudyError(
            f"{folder}: {len(tables)} pair tables ({', '.join(t.name for t in tables[:4])}); name the one to import"
        )
    if tables:
        return _of_table(tables[0], kind, confined)
    photos = [entry for entry in inner if entry.is_dir() and entry.name.lower() in PHOTO_FOLDERS]
    outputs = [entry for entry in inner if entry.is_dir() and entry.name.lower() in OUTPUT_FOLDERS]
    if len(photos) == len(outputs) == 1:
        return _of_folders(photos[0], outputs[0], kind)
    raise StudyError(
        f"{folder}: neither a pair table (CSV with {', '.join(REQUIRED)}) nor folders HQ (photos) and SR (outputs) in there"
    )


def _is_pair_table(path: Path) -> bool:
    if path.suffix.lower() == ".parquet":
        return True
    from semfid.io.pair_table import PairTableError, read_frame

    try:
        return set(REQUIRED) <= set(read_frame(path).columns)
    except PairTableError:
        return False


def _of_table(path: Path, kind: PairKind, confined: bool) -> tuple[list[FoundPair], list[Remark]]:
    from semfid.io.pair_table import read_pairs

    table = read_pairs(path)
    frame = table.frame
    root = path.parent
    found: list[FoundPair] = []
    remarks: list[Remark] = []
    rest = [column for column in frame.columns if column not in OWN]
    names = _unique_names(frame)
    for row, candidate_name in zip(frame.to_dict("records"), names, strict=True):
        key = str(row["pair_id"])
        wanted = str(row.get("kind") or kind).strip().lower()
        own_kind = next((known for known in KINDS if known == wanted), None)
        told = str(row.get("truth", "")).strip().lower()
        told = "" if told == "nan" else told
        if own_kind is None:
            remarks.append(Remark("error", "kind", key, f"kind is {wanted!r}; use {', '.join(KINDS)}"))
            continue
        if told not in _YES_NO:
            remarks.append(Remark("error", "truth", key, f"truth is {told!r}; use yes (the meaning changed) or no"))
            continue
        reference, candidate = on_disk(root / str(row["reference"])), on_disk(root / str(row["candidate"]))
        if confined and not all(path.resolve().is_relative_to(root.resolve()) for path in (reference, candidate)):
            remarks.append(Remark("error", "path", key, "names a file outside of the archive's folder"))
            continue
        explanation = str(row.get("explanation", "") or "").strip()
        found.append(
            FoundPair(
                key, str(row["source_id"]), str(row.get("origin", "") or ""), own_kind, _YES_NO[told],
                explanation if explanation not in ("", "nan") else None, reference, candidate, reference.name, candidate_name,
                {column: _json_value(row[column]) for column in rest},
            )
        )  # fmt: skip
    return found, remarks


def _unique_names(frame: pd.DataFrame) -> list[str]:
    """File names of the candidates; with their folders in front where two of them would be called alike."""
    paths = [Path(str(value)) for value in frame["candidate"]]
    files: dict[str, set[Path]] = {}
    for path in paths:
        files.setdefault(path.name, set()).add(path)
    return ["_".join([*path.parts[-2:-1], path.name]) if len(files[path.name]) > 1 else path.name for path in paths]


def _json_value(value: Any) -> Any:
    value = getattr(value, "item", lambda: value)()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, (str, int, float, bool)) or value is None else str(value)


def _of_folders(photos: Path, outputs: Path, kind: PairKind) -> tuple[list[FoundPair], list[Remark]]:
    """Outputs named as `semfid.io.file_pairs` says: as the photo (then its subfolder is the model), or with the model's name
    before or behind it; endings may differ.
    """
    remarks: list[Remark] = []
    by_stem: dict[str, Path] = {}
    for path in _pictures(photos, remarks):
        if nfc(path.stem) in by_stem:
            text = f"two photos are called {path.stem!r}: {by_stem[nfc(path.stem)]} and {path}; rename one"
            remarks.append(Remark("error", "duplicate_name", path.name, text))
        by_stem.setdefault(nfc(path.stem), path)
    found: list[FoundPair] = []
    used: set[str] = set()
    for path in _pictures(outputs, remarks):
        below = path.relative_to(outputs)
        stem, model = split_name(nfc(path.stem), by_stem)
        if stem is None:
            hint = "the photo's name must be what follows a `_` in the output's name, or all of it"
            remarks.append(Remark("warning", "unmatched", below.as_posix(), f"fits no photo of {photos}: {hint}"))
            continue
        folders = nfc("_".join(below.parts[:-1]))
        origin = model or folders or "unknown"
        name = f"{folders}_{nfc(path.name)}" if folders else nfc(path.name)
        used.add(stem)
        found.append(
            FoundPair(Path(name).stem, stem, origin, kind, None, None, by_stem[stem], path, by_stem[stem].name, name)
        )
    remarks += [
        Remark("warning", "unmatched", by_stem[stem].name, f"no output of {outputs} belongs to this photo")
        for stem in sorted(set(by_stem) - used)
    ]
    if not found:
        raise StudyError(
            f"{outputs}: no file belongs to a photo of {photos}; name outputs <model>_<photo>.png, or give a pair table"
        )
    return found, remarks


def _pictures(folder: Path, remarks: list[Remark]) -> list[Path]:
    try:
        listing = list_images(folder)
    except OSError as error:
        raise StudyError(f"{folder}: cannot be read ({error.strerror})") from error
    for path in listing.others:
        code = "nested" if path.suffix.lower() in ARCHIVES else "no_picture"
        remarks.append(Remark("warning", code, path.relative_to(folder).as_posix(), "no picture: left out"))
    if listing.summary():
        remarks.append(Remark("warning", "left_out", folder.name, listing.summary()))
    return listing.paths
