"""Tables of SR outputs from the journals of all shards."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from data_tools.builders.core.folder import BuildFolder
from data_tools.builders.core.journal import Entry
from data_tools.builders.core.photo_folder import Photo
from data_tools.builders.core.tables import ERROR_COLUMNS, Kind, build_frame, error_rows, put_frame, put_pairs
from data_tools.builders.core.work_items import Slot
from data_tools.builders.sr_outputs.config import SrSettings
from data_tools.builders.sr_outputs.selection import left_out

COLUMNS: dict[str, Kind] = {
    **{
        "pair_id": "text",
        "source_id": "text",
        "reference": "text",
        "candidate": "text",
        "origin": "text",
        "split": "text",
    },
    **{"model": "text", "strength": "number", "selected": "flag", "left_out": "text"},
    **{"ssim": "number", "lpips": "number", "quality": "number", "photo_score": "number"},
    **{"low_resolution": "text", "width": "integer", "height": "integer", "seed": "integer", "degradation": "text"},
    **{"source_sha256": "text", "candidate_sha256": "text", "upscaler": "text", "weights_sha256": "text"},
    **{"versions": "text", "licence": "text", "model_licence": "text"},
}
PHOTO_COLUMNS: dict[str, Kind] = {
    **{"photo": "text", "path": "text", "photo_score": "number", "split": "text", "kept": "flag", "reason": "text"}
}


@dataclass(frozen=True)
class Counts:
    """Of the tables. `rejected`: photos that were opened and found unfit."""

    pairs: int
    selected: int
    photos: int
    rejected: int


def planned_slots(settings: SrSettings, photo: str) -> Iterator[Slot]:
    """All units of one photo."""
    yield "degrade", photo, "all"
    for stage in ("upscale", "score"):
        for label in settings.upscalers:
            for strength in settings.strengths:
                yield stage, photo, f"{label} {strength:g}"


def merge_tables(
    folder: BuildFolder, settings: SrSettings, listed: Sequence[Photo], entries: Mapping[Slot, Entry]
) -> Counts:
    """Write pairs, selection, photos and errors; only under `folder.merging`. Of other models and photos than the settings
    name, nothing is taken.

    Args:
        entries: of all shards.
    """
    kept = [photo for photo in listed if not photo.reason]
    planned = {slot: entries[slot] for photo in kept for slot in planned_slots(settings, photo.name) if slot in entries}
    with _Facts() as facts:
        rows = (row for photo in kept for row in _rows(photo, planned, settings, facts))  # never all at once
        frame = build_frame(rows, COLUMNS, ["pair_id"])
    suffix = Path(settings.table).suffix
    if len(frame):
        frame["left_out"] = left_out(frame, settings.selection, settings.seed)
        frame["selected"] = frame["left_out"] == ""
    put_pairs(folder, settings.table, frame)
    put_frame(folder, f"selected_{settings.table}", frame[frame["selected"].fillna(False).astype(bool)])
    rejected = {slot[1]: entry.reason for slot, entry in planned.items() if entry.status == "rejected"}
    put_frame(folder, f"photos{suffix}", build_frame(_photo_rows(listed, rejected), PHOTO_COLUMNS, ["photo", "path"]))
    put_frame(
        folder, f"errors{suffix}", build_frame(error_rows(planned), ERROR_COLUMNS, ["stage", "sample", "variant"])
    )
    selected = int(frame["selected"].fillna(False).sum())
    return Counts(len(frame), selected, frame["source_id"].nunique(), len(rejected))


def _rows(photo: Photo, entries: Mapping[Slot, Entry], settings: SrSettings, facts: _Facts) -> Iterator[dict[str, Any]]:
    degraded = entries.get(("degrade", photo.name, "all"))
    if degraded is None or degraded.status != "done":
        return
    source = facts.of(degraded)
    out = Path(settings.out).absolute()
    reference = source.get("photo") or os.path.relpath(Path(settings.photos.folder).absolute() / photo.path, out)
    shared = {
        "source_id": photo.name,
        "reference": reference.replace(os.sep, "/"),
        "split": photo.split,
        "photo_score": photo.score,
        "seed": settings.seed,
        "licence": settings.photos.licence,
        **{key: source[key] for key in ("width", "height", "source_sha256")},
    }
    drawn = {key: json.dumps(record, sort_keys=True) for key, record in source["records"].items()}
    for label in settings.upscalers:
        for strength in settings.strengths:
            key = f"{strength:g}"
            variant = f"{label} {key}"
            made, scored = entries.get(("upscale", photo.name, variant)), entries.get(("score", photo.name, variant))
            if made is None or scored is None or made.status != "done" or scored.status != "done":
                continue
            candidate, digest, _ = made.files[0]
            yield {
                **shared,
                **facts.of(made),
                **facts.of(scored),
                "pair_id": f"{photo.name}:{label}:{key}",
                "candidate": candidate,
                "candidate_sha256": digest,
                "origin": variant,
                "model": label,
                "strength": strength,
                "low_resolution": next(
                    name for name, _, _ in degraded.files if name == candidate.replace(f"_{label}_out/", "/")
                ),
                "degradation": drawn[key],
            }


def _photo_rows(listed: Sequence[Photo], rejected: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    for photo in listed:
        reason = photo.reason or rejected.get(photo.name, "")
        yield {
            **{"photo": photo.name, "path": photo.path, "photo_score": photo.score, "split": photo.split},
            **{"kept": not reason, "reason": reason},
        }


class _Facts:
    """Facts of many entries, from journals that stay open."""

    def __init__(self) -> None:
        self._open: dict[Path, IO[bytes]] = {}
        self._stack = ExitStack()

    def __enter__(self) -> _Facts:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def of(self, entry: Entry) -> dict[str, Any]:
        path, start, length = entry.place
        if path not in self._open:
            self._open[path] = self._stack.enter_context(path.open("rb"))
        file = self._open[path]
        file.seek(start)
        return dict(json.loads(file.read(length))["facts"])
