"""Photos for SR outputs: a folder, and what a CSV says of them (KonIQ-10k's scores and official sets, or none)."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import model_validator

from data_tools.builders.core.settings import Number, check_shares
from semfid.errors import UserError, did_you_mean
from semfid.io.jsonl import append_lines, repair, whole_lines
from semfid.io.listing import list_images, nfc
from semfid.io.pair_table import as_numbers, read_frame
from semfid.io.splits import deal
from semfid.settings import Settings

SETS = {"training": "train", "train": "train", "validation": "val", "val": "val", "test": "test"}
_COLUMNS = {
    "name": ("image_name", "image", "filename", "name"),
    "score": ("MOS", "mos", "score", "quality"),
    "set": ("set", "split"),
}


class PhotoSettings(Settings):
    """Which photos become ground truth.

    Attributes:
        folder: searched with all folders in it.
        scores: CSV of quality scores and sets, such as koniq10k_distributions_sets.csv; None: photos have neither.
        name_column, score_column, set_column: of the CSV; None: found by its usual names.
        min_score: photos below it are left out, on the CSV's own scale; None: none is.
        min_side: photos with a shorter side are left out.
        max_side: photos with a longer side are left out; None: none is.
        licence: of the photos.
        val, test: shares of the photos where the CSV has no sets; each photo is dealt by its name alone.
    """

    folder: str
    scores: str | None = None
    name_column: str | None = None
    score_column: str | None = None
    set_column: str | None = None
    min_score: Number | None = None
    min_side: int = 256
    max_side: int | None = None
    licence: str = ""
    val: float = 0.1
    test: float = 0.2

    @model_validator(mode="after")
    def _something_for_training(self) -> PhotoSettings:
        check_shares(self.val, self.test)
        return self


@dataclass(frozen=True, slots=True)
class Photo:
    """One photo.

    Attributes:
        name: unique; its path under the folder without the ending.
        score: nan where there is none.
        reason: why it is left out; empty: it is not.
    """

    name: str
    path: str
    score: float
    split: str
    reason: str


def list_photos(settings: PhotoSettings, seed: int) -> list[Photo]:
    """All photos of the folder and all of the CSV, by name, with what is left out and why. Opens no image.

    Raises:
        UserError: no folder, no photos, a CSV without a needed column, shares that cannot be, two photos of one name.
    """
    folder = Path(settings.folder)
    if not folder.is_dir():
        raise UserError(f"photos.folder: no folder {folder}; docs/datasets.md says where to get KonIQ-10k")
    found = _by_name(folder)
    table = Scores(settings) if settings.scores is not None else None
    photos = [_photo(name, path, settings, table, seed) for name, path in found.items()]
    if table is not None:
        stems = {nfc(Path(path).name) for path in found.values()}
        photos += [
            Photo(Path(name).stem, "", float("nan"), "", "in the CSV, but no such file")
            for name in table.rows
            if name not in stems
        ]
    if all(photo.reason for photo in photos):
        first = f"; the first: {photos[0].name}: {photos[0].reason}" if photos else ""
        raise UserError(f"photos.folder: no photo of {folder} is left to build from{first}")
    return sorted(photos, key=lambda photo: photo.name)


def _by_name(folder: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    listing = list_images(folder)
    if listing.summary():
        warnings.warn(listing.summary(), stacklevel=3)
    for file in listing.paths:
        path = file.relative_to(folder).as_posix()
        name = nfc(os.path.splitext(path)[0].replace("/", "__"))
        if name in found:
            raise UserError(f"photos.folder: {found[name]} and {path} share the name {name}; rename one of them")
        found[name] = path
    return found


def _photo(name: str, path: str, settings: PhotoSettings, table: Scores | None, seed: int) -> Photo:
    score, split, reason = float("nan"), "", ""
    row = table.rows.get(nfc(path.rpartition("/")[2])) if table is not None else None
    if row is not None:
        score, given = row
        split = SETS.get(given.strip().lower(), "")
        if table is not None and table.has_sets and not split:
            reason = f"its set is '{given}'; known are {', '.join(SETS)}"
    elif table is not None and (settings.min_score is not None or table.has_sets):
        reason = "not in the CSV"
    if not reason and settings.min_score is not None and not score >= settings.min_score:
        reason = f"score {score:g} below min_score" if not np.isnan(score) else "no score"
    return Photo(name, path, score, split or deal(name, settings.val, settings.test, seed), reason)


class Scores:
    """The CSV.

    Attributes:
        rows: file name to (score, set).
        has_sets: whether it has a column of sets.

    Raises:
        UserError: unreadable, without a column of names, or with a file named twice.
    """

    def __init__(self, settings: PhotoSettings) -> None:
        path = settings.scores
        frame = read_frame(str(path), where="photos.scores")
        names = _column(frame, settings.name_column, "name", str(path))
        scores = _column(frame, settings.score_column, "score", str(path))
        sets = _column(frame, settings.set_column, "set", str(path))
        if names is None:
            raise UserError(f"photos.scores: {path} has no column of file names; set photos.name_column")
        if scores is None and settings.min_score is not None:
            raise UserError(
                f"photos.scores: {path} has no column of scores; set photos.score_column, or remove min_score"
            )
        self.has_sets = sets is not None
        numbers = (
            as_numbers(frame[scores], f"photos.scores: {path}") if scores is not None else [float("nan")] * len(frame)
        )
        given = frame[sets] if sets is not None else [""] * len(frame)
        self.rows: dict[str, tuple[float, str]] = {}
        for name, score, one in zip(frame[names].str.strip().map(nfc), numbers, given, strict=True):
            if name in self.rows:
                raise UserError(f"photos.scores: {path} names {name} twice; keep one row")
            self.rows[name] = float(score), one


def _column(frame: pd.DataFrame, given: str | None, what: str, path: str) -> str | None:
    if given is not None:
        if given not in frame.columns:
            known = [str(one) for one in frame.columns]
            raise UserError(
                f"photos.{what}_column: {path} has no column '{given}'{did_you_mean(given, known)} (it has {', '.join(known)})"
            )
        return given
    return next((one for one in _COLUMNS[what] if one in frame.columns), None)


class SourceFiles:
    """Hashes of photos, looked up by size and time of change in a file of earlier runs.

    Args:
        cache: JSON lines; a broken one is hashed again.
    """

    def __init__(self, folder: Path, cache: Path) -> None:
        self.folder, self.cache = folder, cache
        repair(cache)
        self._known: dict[tuple[str, int, int], str] = dict(_cached(cache))

    def hashes(self, paths: Sequence[str]) -> Iterator[str]:
        """sha256 of each file, in hex.

        Raises:
            UserError: a photo that went away, or a cache that cannot be written.
        """
        for path in paths:
            try:
                stat = (self.folder / path).stat()
                key = (path, stat.st_size, stat.st_mtime_ns)
                if key not in self._known:
                    with (self.folder / path).open("rb") as photo:
                        self._known[key] = hashlib.file_digest(photo, "sha256").hexdigest()
                    append_lines(self.cache, json.dumps([*key, self._known[key]]).encode() + b"\n")
            except OSError as error:
                raise UserError(f"cannot read {self.folder / path}: {error.strerror}; run the command again") from error
            yield self._known[key]


def _cached(cache: Path) -> Iterator[tuple[tuple[str, int, int], str]]:
    for _, line in whole_lines(cache):
        try:
            path, size, changed, digest = json.loads(line)
            yield (path, size, changed), digest
        except (ValueError, TypeError):  # damaged
            continue
