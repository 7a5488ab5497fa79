"""The source project's folder of inpainted photos, as a pair table."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Literal

import pandas as pd

from semfid.errors import UserError
from semfid.io.listing import list_images, nfc, on_disk
from semfid.io.pair_table import PairTable, check_pairs, read_frame
from semfid.io.tables import as_path

SameClass = Literal["gt", "all", "none"]
SAME_CLASS, OTHER_CLASS = "same_class", "other_class"
_INSTANCES = ("id", "bbox", "gt_image_path")
_MAPS = ("gt_image_path", "impainted_pth", "segmentation_map_path")


def read_folder(root: Path, maps_csv: Path | None, same_class: SameClass) -> tuple[PairTable, int]:
    """Pairs of the folder; see `datamodules.sources.inpainting.InpaintingData` for its layout.

    Returns:
        the table, with absolute paths, and how many proposals were discarded.

    Raises:
        UserError: a missing folder, file or column; a name that leads to no instance.
    """
    if not root.is_dir():
        raise UserError(f"data.root: {root} is a file; give the folder with instances.csv")
    instances = _read(root / "instances.csv", _INSTANCES)
    discarded = {nfc(path.name) for path in _images(root / "discarded_proposals", needed=False)}
    if maps_csv is None:
        candidates = _images(root / "impainted_proposals")
        kept = [path for path in candidates if nfc(path.name) not in discarded]
        rows, left_out = _proposals(root, kept, instances), len(candidates) - len(kept)
    else:
        listed = _read(maps_csv, _MAPS)
        gone = listed["impainted_pth"].map(lambda path: nfc(Path(path.strip()).name) in discarded)
        rows, left_out = _mapped(root, listed[~gone], instances), int(gone.sum())
    rows += _positives(root, instances, same_class)
    if not rows:
        raise UserError(f"data.root: {root} holds no proposal that was not discarded, and no positive pair")
    table = PairTable(pd.DataFrame(rows).reset_index(drop=True), Path("/"), str(root))
    return check_pairs(table), left_out


def _proposals(root: Path, candidates: list[Path], instances: pd.DataFrame) -> list[dict[str, str]]:
    """Proposals without masks."""
    rows = []
    for path in candidates:
        instance = instances.iloc[_row_of(path, instances)]
        rows.append(
            _pair(f"proposal_{path.stem}", _resolve(root, instance["gt_image_path"]), path, OTHER_CLASS, instance)
        )
    return rows


def _mapped(root: Path, listed: pd.DataFrame, instances: pd.DataFrame) -> list[dict[str, str]]:
    """The pairs of a CSV of masks."""
    rows = []
    for _, given in listed.iterrows():
        candidate = _resolve(root, given["impainted_pth"])
        mask = given["segmentation_map_path"].strip()
        level = given["level"].strip() if "level" in listed.columns else OTHER_CLASS
        instance = None
        if candidate.parent.name == "impainted_proposals":
            instance = instances.iloc[_row_of(candidate, instances)]
        row = _pair(
            f"proposal_{candidate.stem}",
            _resolve(root, given["gt_image_path"]),
            candidate,
            level if mask else SAME_CLASS,
            instance,
        )
        rows.append({**row, "map": str(_resolve(root, mask)) if mask else ""})
    return rows


def _positives(root: Path, instances: pd.DataFrame, same_class: SameClass) -> list[dict[str, str]]:
    """Other pictures of the same instance, with the photo and with one another."""
    if same_class == "none":
        return []
    by_id = {int(float(value)): position for position, value in enumerate(instances["id"])}
    groups: dict[int, list[Path]] = {}
    for path in _images(root / "positive_pairs"):
        annotation = _prefix(path)
        if annotation not in by_id:
            raise UserError(
                f"data.root: {path} begins with the annotation {annotation}, which instances.csv does not have"
            )
        groups.setdefault(annotation, []).append(path)
    rows = []
    for annotation, paths in groups.items():
        instance = instances.iloc[by_id[annotation]]
        photo = _resolve(root, instance["gt_image_path"])
        rows += [_pair(f"positive_{path.stem}", photo, path, SAME_CLASS, instance) for path in paths]
        if same_class == "all":
            rows += [
                _pair(f"positive_{a.stem}_{b.stem}", a, b, SAME_CLASS, instance, photo)
                for a, b in combinations(paths, 2)
            ]
    return rows


def _pair(
    name: str, reference: Path, candidate: Path, level: str, instance: pd.Series[str] | None, photo: Path | None = None
) -> dict[str, str]:
    return {
        "pair_id": name,
        "source_id": (photo or reference).stem,
        "reference": str(reference),
        "candidate": str(candidate),
        "origin": level,
        "level": level,
        "map": "",
        "bbox": "" if instance is None else instance["bbox"],
    }


def _read(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    if not path.is_file():
        raise UserError(f"data.root: no file {path}")
    return read_frame(path, needs=columns)


def _images(folder: Path, needed: bool = True) -> list[Path]:
    """Absolute paths of a folder's images, sorted by name."""
    if not folder.is_dir():
        if needed:
            raise UserError(f"data.root: no folder {folder}")
        return []
    return sorted(path.resolve() for path in list_images(folder, deep=False).paths)


def _prefix(path: Path) -> int:
    number = path.stem.split("_")[0]
    if not number.isdecimal():
        raise UserError(f"data.root: {path} must begin with a number and '_'; rename or remove it")
    return int(number)


def _row_of(path: Path, instances: pd.DataFrame) -> int:
    row = _prefix(path)
    if row >= len(instances):
        raise UserError(f"data.root: {path} is of row {row}, and instances.csv has {len(instances)} rows, from 0")
    return row


def _resolve(root: Path, given: str) -> Path:
    """A path of the CSVs: absolute, relative to the folder's parent, or to the folder itself."""
    path = Path(as_path(given.strip(), root))
    for one in (root.resolve().parent / path, root.resolve() / path):  # an absolute one stays as it is
        found = on_disk(one)
        if found.is_file():  # False for a name that no disk can hold
            return found
    raise UserError(
        f"data.root: no file {' '.join(given.split())} below {root.resolve().parent}, where the paths of {root} begin"
    )
