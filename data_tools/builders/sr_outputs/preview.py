"""A look at a few outputs, and what the rest will take."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data_tools.builders.core.contact_sheet import Tile, contact_sheet
from data_tools.builders.core.eta import estimate_line
from data_tools.builders.core.executor import Worker
from data_tools.builders.core.photo_folder import Photo
from data_tools.builders.sr_outputs.config import SrSettings
from data_tools.builders.upscalers.contract import FACTOR
from semfid.io.images import read_image

PREVIEWED = 3  # photos
SIDE = 256  # pixels of a photo's middle, shown as they are


def write_preview(worker: Worker, settings: SrSettings, labels: Sequence[str], photos: Sequence[Photo]) -> Path:
    """preview.png: a row per photo and strength with the photo, the input, and each model's output; middles, pixel by pixel."""
    rows = [row for photo in photos for row in _rows(worker, settings, labels, photo)]
    worker.folder.put("preview.png", contact_sheet(rows, SIDE))
    return worker.folder.path / "preview.png"


def _rows(worker: Worker, settings: SrSettings, labels: Sequence[str], photo: Photo) -> Iterator[list[Tile]]:
    folder = worker.folder.path
    degraded = worker.entries.get(("degrade", photo.name, "all"))
    if degraded is None or degraded.status != "done":
        return
    own = degraded.facts().get("photo")
    middle = _middle(folder / own if own else Path(settings.photos.folder) / photo.path)
    inputs = [name for name, _, _ in degraded.files if not name.startswith("HQ/")]
    for strength, name in zip(settings.strengths, inputs, strict=True):
        tiles: list[Tile] = [(middle, f"{photo.name}  {photo.score:g}" if photo.score == photo.score else photo.name)]
        small = _middle(folder / name, SIDE // FACTOR)
        tiles.append((np.ascontiguousarray(small.repeat(FACTOR, 0).repeat(FACTOR, 1)), f"input, strength {strength:g}"))
        for label in labels:
            made = worker.entries.get(("upscale", photo.name, f"{label} {strength:g}"))
            scored = worker.entries.get(("score", photo.name, f"{label} {strength:g}"))
            if made is not None and made.status == "done":
                figures = scored.facts() if scored is not None and scored.status == "done" else {}
                text = "  ".join([label, *(f"{measure} {value:.2f}" for measure, value in figures.items())])
                tiles.append((_middle(folder / made.files[0][0]), text))
        yield tiles


def _middle(path: Path, side: int = SIDE) -> NDArray[np.uint8]:
    image = np.asarray(read_image(path))
    top, left = (max(0, (length // FACTOR - side // FACTOR) // 2 * FACTOR) for length in image.shape[:2])
    if side != SIDE:  # of an input: the same place
        top, left = (max(0, (length - side) // 2) for length in image.shape[:2])
    return image[top : top + side, left : left + side]


def say_estimates(
    worker: Worker,
    settings: SrSettings,
    labels: Sequence[str],
    photos: Sequence[Photo],
    left: int,
    say: Callable[[str], None],
) -> None:
    """A line per stage and model, from what the photos took, for those that are left."""
    free = shutil.disk_usage(worker.folder.path).free
    stages = [("degrade", "degrade", ["all"])]
    strengths = [f"{strength:g}" for strength in settings.strengths]
    stages += [(f"upscale {label}", "upscale", [f"{label} {one}" for one in strengths]) for label in labels]
    stages += [("score", "score", [f"{label} {one}" for label in labels for one in strengths])]
    for title, stage, variants in stages:
        found = [worker.entries.get((stage, photo.name, variant)) for photo in photos for variant in variants]
        made = [entry for entry in found if entry is not None and entry.status == "done"]
        if made:
            size = sum(size for entry in made for _, _, size in entry.files)
            seconds = sum(entry.seconds for entry in made)
            say(f"{title}: {estimate_line(len(made), seconds, size, left * len(variants), free)}")
