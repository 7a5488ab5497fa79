"""Captioned photos: a CSV or Parquet table, or COCO's captions."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from datamodules.base import existing
from datamodules.image_base import PARTS, ImageDataModule, ImageLoader, ImageTable
from datamodules.renaming import check_columns
from registry import DATAMODULES
from semfid.errors import UserError, did_you_mean
from semfid.io.coco_file import by_key, captions, read_coco, text_of
from semfid.io.pair_table import as_paths, read_frame


@DATAMODULES.register(
    "captions",
    summary="photos with captions: a table (path, caption, optionally class and split) or COCO's captions JSON",
    source="cocodataset.org, captions_*.json",
    shared=ImageLoader,
)
class CaptionData(ImageDataModule):
    """Captioned photos. Several rows of one path are several captions of that photo: an epoch takes one of them.

    Args:
        table: CSV, Parquet or COCO captions JSON.
        images: folder that its paths are relative to; default: the table's.
        columns: for a table of another schema: ``{path: file, caption: text, class: label, split: part}``.
    """

    def __init__(
        self,
        table: str,
        images: str | None = None,
        columns: dict[str, str] | None = None,
        *,
        loader: ImageLoader,
    ) -> None:
        super().__init__(loader)
        self.path, self.images, self.columns = table, images, columns or {}

    def load_images(self) -> ImageTable:
        """Read the table.

        Raises:
            UserError: no such file, not a table, a column that is missing, a photo without a caption.
        """
        path = existing(self.path, "data.table")
        root = existing(self.images, "data.images") if self.images is not None else path.parent
        frame = _read_coco(path) if path.suffix.lower() == ".json" else _read_table(path, self.columns)
        return _table(frame, path, root)


KNOWN = ("path", "caption", "class", "split")


def _read_table(path: Path, columns: dict[str, str]) -> pd.DataFrame:
    check_columns(columns, KNOWN)
    frame = read_frame(path, where="data.table")
    for ours in ("path", "caption"):
        theirs = columns.get(ours, ours)
        if theirs not in frame.columns:
            raise UserError(
                f"data.table: {path} has no column '{theirs}'{did_you_mean(theirs, frame.columns)}; name it in data.columns"
            )
    theirs_of = {columns.get(ours, ours): ours for ours in KNOWN}
    kept = frame[[name for name in theirs_of if name in frame.columns]]
    return kept.rename(columns=theirs_of)


def _read_coco(path: Path) -> pd.DataFrame:
    name = f"data.table: {path}"
    content = read_coco(path, "data.table", ("images", "annotations"))
    files = {
        key: text_of(one, "file_name", f"{name}: image {one['id']!r}")
        for key, one in by_key(content, "images", name).items()
    }
    rows = []
    for row, (_, key, sentence) in enumerate(captions(content, name), start=1):
        if key not in files:
            raise UserError(
                f"{name}: annotations, row {row} is of image {key!r}, which images lack; add it or drop the row"
            )
        rows.append((files[key], sentence))
    return pd.DataFrame(rows, columns=["path", "caption"], dtype=str)


def _table(frame: pd.DataFrame, path: Path, root: Path) -> ImageTable:
    frame = frame.assign(path=as_paths(frame["path"], root))
    empty = frame.index[(frame["caption"].str.strip() == "") | (frame["path"].str.strip() == "")]
    if len(empty):
        row = frame.loc[empty[0]]
        raise UserError(
            f"data.table: {path}, row {int(empty[0]) + 1} ({row['path'] or 'no path'}) has no "
            f"{'caption' if row['path'].strip() else 'path'} ({len(empty)} such rows); add it or drop the row"
        )
    captions: dict[str, list[str]] = {}
    for name, sentence in zip(frame["path"], frame["caption"].str.strip(), strict=True):
        captions.setdefault(name, []).append(sentence)
    names = sorted(captions)
    first = frame.drop_duplicates("path").set_index("path")
    found: dict[str, list[str]] = {}
    for column in ("class", "split"):
        if column in frame.columns:
            if (frame.groupby("path")[column].nunique() > 1).any():
                raise UserError(f"data.table: {path} gives one photo several values of '{column}'; make them equal")
            found[column] = first.loc[names, column].tolist()
    for side in found.get("split", []):
        if side not in PARTS:
            raise UserError(f"data.table: {path} has the split {side!r}; use {', '.join(PARTS)}")
    return ImageTable(
        name=str(path),
        root=root,
        paths=names,
        classes=found.get("class", ()),
        captions=[tuple(captions[name]) for name in names],
        split=found.get("split", ()),
    )
