"""`semfid build import`: folders of photos and of what became of them, as they are, to a pair table.

The source project's layout is `HQ` and `LQ_x4[_degfac_<strength>]_<model>_out`; a folder without a strength has strength 1. Any
other folder of candidates serves as well, under its own name. Files belong together by their names without the ending. Nothing is
copied.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from data_tools.builders.core.photo_folder import SETS, PhotoSettings, Scores
from semfid.errors import UserError, did_you_mean
from semfid.io.decoding import upright_size
from semfid.io.file_pairs import without_suffix
from semfid.io.listing import list_images, nfc, unlisted
from semfid.io.pair_table import PairTable, PairTableError, as_numbers, read_frame, write_pairs
from semfid.io.tables import as_path
from semfid.progress import Stage

GT_NAMES = ("hq", "gt", "ground_truth", "reference", "references")
OUTPUTS = re.compile(r"LQ_x(?P<factor>\d+)(?:_degfac_(?P<strength>[0-9.]+))?_(?P<model>.+)_out")
INPUTS = re.compile(r"LQ_x\d+(_degfac_[0-9.]+)?")
METRICS = "metrics.csv"
TAKEN = (
    "pair_id",
    "source_id",
    "origin",
    "model",
    "width",
    "height",
    "split",
    "fold",
    "difference",
    "votes",
)  # of its columns


@dataclass
class Findings:
    """What is not as it should be, each by ``folder/name``; wrong ones are left out of the table.

    Attributes:
        missing: photos that a folder of candidates lacks.
        extra: candidates without a photo.
        wrong: candidates of another size than their photo, or no images.
        ignored: folders, metrics and images that were not used, and why.
    """

    missing: list[str] = field(default_factory=list)
    extra: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)


def import_folders(
    root: Path, out: Path, stage: Stage, gt: str | None = None, scores: str | None = None, licence: str = ""
) -> tuple[PairTable, Findings]:
    """Write the pair table of a folder of folders.

    Args:
        out: .csv or .parquet; paths in it are relative to its folder.
        gt: name of the folder of photos; None: HQ, GT, reference, ...
        scores: CSV as `PhotoSettings.scores`, for the columns photo_score and split.
        licence: of the photos.

    Raises:
        UserError: no folder of photos or of candidates, two files of one name, nothing that fits together.
    """
    if out.suffix not in (".csv", ".parquet"):
        raise UserError(f"--out {out}: give a name that ends in .csv or .parquet")
    if not root.is_dir():
        raise UserError(f"no folder {root}; give the folder that holds HQ and the folders of candidates")
    folders = {one.name: one for one in sorted(root.iterdir()) if one.is_dir() and not unlisted(one.name)}
    photos_name = _photos_folder(root, folders, gt)
    findings = Findings()
    photos = _by_stem(folders.pop(photos_name), findings)
    if not photos:
        raise UserError(f"{root / photos_name} holds no images; give the folder of photos with gt=")
    about = _about(root / photos_name, scores)
    rows: list[dict[str, Any]] = []
    sizes = _Sizes()
    with stage("read sizes") as advance:
        for number, (name, folder) in enumerate(folders.items(), start=1):
            rows += _folder_rows(name, folder, photos, sizes, findings)
            advance(number, len(folders))
    if not rows:
        raise UserError(f"{root} gives no pair: {_first(findings)}")
    shared = {"licence": licence} if licence else {}
    for row in rows:
        row |= about.get(row["source_id"], {}) | shared
        row |= {key: os.path.relpath(row[key], out.absolute().parent) for key in ("reference", "candidate")}
    frame = pd.DataFrame(rows).sort_values("pair_id", kind="stable").reset_index(drop=True)
    table = PairTable(frame, out.parent, str(out))
    write_pairs(table, out)
    return table, findings


def _photos_folder(root: Path, folders: Mapping[str, Path], gt: str | None) -> str:
    if gt is not None:
        if gt not in folders:
            raise UserError(f"{root} has no folder '{gt}'{did_you_mean(gt, folders)}")
        return gt
    found = [name for name in folders if name.lower() in GT_NAMES]
    if len(found) != 1:
        many = f"several folders of photos ({', '.join(found)})" if found else "no folder HQ, GT or reference"
        raise UserError(f"{root} has {many}; name the one with gt=FOLDER")
    return found[0]


def _folder_rows(
    name: str, folder: Path, photos: Mapping[str, Path], sizes: _Sizes, findings: Findings
) -> list[dict[str, Any]]:
    if INPUTS.fullmatch(name):
        findings.ignored.append(f"{name}: inputs of the models")
        return []
    candidates = _by_stem(folder, findings, photos)
    if not candidates:
        findings.ignored.append(f"{name}: no images")
        return []
    layout = OUTPUTS.fullmatch(name)
    model = layout["model"] if layout else name
    strength = float(layout["strength"] or 1) if layout else float("nan")
    origin = f"{model} {strength:g}" if layout else name
    metrics = _metrics(folder, findings)
    findings.missing += [f"{name}/{stem}" for stem in photos if stem not in candidates]
    rows = []
    for stem, path in candidates.items():
        if stem not in photos:
            findings.extra.append(f"{name}/{path.name}")
            continue
        size, expected = sizes.of(path), sizes.of(photos[stem])
        if size is None or expected is None or size != expected:
            why = "no image" if size is None else f"{_shown(size)}, its photo is {_shown(expected)}"
            findings.wrong.append(f"{name}/{path.name}: {why}")
            continue
        rows.append(
            {
                **{"pair_id": f"{stem}:{name}", "source_id": stem, "reference": photos[stem], "candidate": path},
                **{"origin": origin, "model": model, "strength": strength, "width": size[0], "height": size[1]},
                **metrics.get(stem, {}),
            }
        )
    return rows


def _by_stem(folder: Path, findings: Findings, photos: Container[str] = ()) -> dict[str, Path]:
    """Images of one folder by their names, or, of outputs, by the names of their photos."""
    listing = list_images(folder, deep=False)
    if listing.summary():
        findings.ignored.append(listing.summary())
    found: dict[str, Path] = {}
    for path in listing.paths:
        stem = nfc(path.stem)
        name, suffix = without_suffix(stem)
        stem = name if suffix and stem not in photos and name in photos else stem
        if stem in found:
            raise UserError(f"{found[stem]} and {path.name} share a name; remove one of them")
        found[stem] = path
    return found


def _metrics(folder: Path, findings: Findings) -> dict[str, dict[str, float]]:
    """Numbers of metrics.csv by the image's name: its first column that names images, and its columns of numbers."""
    path = folder / METRICS
    if not path.is_file():
        return {}
    try:
        frame = read_frame(path)
    except UserError as error:
        findings.ignored.append(f"{folder.name}/{METRICS}: {error}")
        return {}
    stems = {nfc(path.stem) for path in folder.iterdir()}
    for column in frame.columns:
        names = [nfc(Path(as_path(value.strip(), folder)).stem) for value in frame[column]]
        if names and {*names} <= stems:
            if len({*names}) < len(names):
                findings.ignored.append(f"{folder.name}/{METRICS}: its column {column} names an image twice")
                return {}
            records = _numbers(frame.drop(columns=column)).to_dict("records")
            return {
                name: {str(key): float(value) for key, value in row.items()}
                for name, row in zip(names, records, strict=True)
            }
    findings.ignored.append(f"{folder.name}/{METRICS}: no column names the images")
    return {}


def _numbers(frame: pd.DataFrame) -> pd.DataFrame:
    """The columns of numbers that the pair table has no word for."""
    found = {}
    for column in [one for one in frame.columns if one not in TAKEN]:
        with contextlib.suppress(PairTableError):  # a column of texts
            found[column] = as_numbers(frame[column], METRICS)
    return pd.DataFrame(found, index=frame.index)


def _about(folder: Path, scores: str | None) -> dict[str, dict[str, Any]]:
    if scores is None:
        return {}
    table = Scores(PhotoSettings(folder=str(folder), scores=scores))
    found = {}
    for name, (score, given) in table.rows.items():
        split = {"split": SETS[given.strip().lower()]} if given.strip().lower() in SETS else {}
        found[Path(name).stem] = {"photo_score": score, **split}
    return found


class _Sizes:
    """Width and height of upright images, read from their heads only."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[int, int] | None] = {}

    def of(self, path: Path) -> tuple[int, int] | None:
        if path not in self._known:
            self._known[path] = upright_size(path)
        return self._known[path]


def _shown(size: tuple[int, int] | None) -> str:
    return "no image" if size is None else f"{size[0]}x{size[1]}"


def _first(findings: Findings) -> str:
    named: list[tuple[str, Sequence[str]]] = [
        ("of a wrong size", findings.wrong),
        ("without a photo", findings.extra),
        ("not used", findings.ignored),
    ]
    said = [f"{len(names)} {what}, such as {names[0]}" for what, names in named if names]
    return "; ".join(said) or "it has no folder of candidates beside the photos"


def run(root: str, overrides: Sequence[str], out: str | None, say: Callable[[str], None], stage: Stage) -> int:
    """The command; 1 where candidates were left out for their size.

    Args:
        overrides: ``gt=``, ``scores=``, ``licence=``.

    Raises:
        UserError: as `import_folders`; no --out; an unknown key.
    """
    given = dict(text.partition("=")[::2] for text in overrides)
    unknown = [key for key in given if key not in ("gt", "scores", "licence")]
    if unknown:
        raise UserError(f"import: unknown key '{unknown[0]}' (there are: gt, scores, licence)")
    if out is None:
        raise UserError("import needs --out TABLE.csv, the pair table to write")
    table, findings = import_folders(
        Path(root), Path(out), stage, given.get("gt"), given.get("scores"), given.get("licence", "")
    )
    for what in ("missing", "extra", "wrong", "ignored"):
        names: list[str] = getattr(findings, what)
        for name in names[:5]:
            say(f"{what}: {name}")
        if len(names) > 5:
            say(f"{what}: and {len(names) - 5} more")
    origins = table.frame["origin"].nunique()
    say(f"{out}: {len(table)} pairs of {table.frame['source_id'].nunique()} photos, {origins} origins")
    return 1 if findings.wrong else 0
