"""First stage: every distinct picture gets its regions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from data_tools.region_maps.regions import find_regions
from models.captioners.errors import LabelError
from models.image_index import Picture
from models.segmenters.contract import Segmentation, Segmenter
from models.segmenters.region_store import read_json, write_ids, write_json
from semfid.io.images import read_image
from semfid.progress import Advance

VERSION = 1  # raise it when the same segmentation gives other regions


def segment_pictures(
    pictures: Sequence[Picture], folder: Path, segmenter: Segmenter, min_area: float, advance: Advance
) -> dict[str, str]:
    """Write id map and regions of each picture that has none yet.

    Batches are cut from the whole list, done or not, so that who shares a pass with whom does not depend on where an
    earlier run ended.

    Returns:
        What is wrong with the pictures that could not be segmented, by name.
    """
    faults: dict[str, str] = {}
    for start in range(0, len(pictures), segmenter.batch_size):
        batch = pictures[start : start + segmenter.batch_size]
        if not all(is_segmented(folder, one.name) for one in batch):
            images = [read_image(one.path) for one in batch]
            for one, outcome in zip(batch, _segment(segmenter, images), strict=True):
                try:
                    if isinstance(outcome, LabelError):
                        raise outcome
                    if not is_segmented(folder, one.name):
                        _store(folder, one, outcome, min_area, segmenter.final)
                except LabelError as error:
                    faults[one.name] = str(error)
        advance(start + len(batch), len(pictures))
    return faults


def is_segmented(folder: Path, name: str) -> bool:
    """Whether the regions of a picture are there; the JSON is written after the map."""
    return (folder / f"{name}.json").is_file() and (folder / f"{name}.png").is_file()


def region_ids(folder: Path, name: str) -> list[int]:
    """The regions of a segmented picture, ascending.

    Raises:
        LabelError: the file is damaged.
    """
    return sorted(region_labels(folder, name))


def region_labels(folder: Path, name: str) -> dict[int, str]:
    """The category of each region of a segmented picture; empty where the segmenter named none.

    Raises:
        LabelError: the file is damaged.
    """
    path = folder / f"{name}.json"
    try:
        return {int(one["id"]): str(one.get("label", "")) for one in read_json(path)["regions"]}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise LabelError(f"{path} is not what semfid wrote ({error!r}); remove it") from error


def _segment(segmenter: Segmenter, images: Sequence[Image.Image]) -> list[Segmentation | LabelError]:
    """One outcome per image: a fault of one of them is not the others'."""
    try:
        return list(segmenter.segment(images))
    except LabelError as error:
        if len(images) == 1:
            return [error]
        return [outcome for image in images for outcome in _segment(segmenter, [image])]


def _store(folder: Path, picture: Picture, found: Segmentation, min_area: float, final: bool) -> None:
    ids: NDArray[np.int32]
    if final:
        if not found.ids.any():
            raise LabelError("the segmentation is void everywhere: no region was found")
        ids, raw = found.ids, tuple(range(1, int(found.ids.max()) + 1))
    else:
        regions = find_regions(found.ids, min_area)
        ids, raw = regions.ids, regions.raw
    areas = np.bincount(ids.ravel(), minlength=len(raw) + 1)
    entries: list[dict[str, Any]] = []
    for number, raw_id in enumerate(raw, start=1):
        if areas[number]:
            entry: dict[str, Any] = {"id": number, "area": int(areas[number]), "raw": raw_id}
            if raw_id in found.labels:
                entry["label"] = found.labels[raw_id]
            if raw_id in found.scores:
                entry["score"] = round(float(found.scores[raw_id]), 6)
            entries.append(entry)
    width, height = picture.size
    write_ids(folder / f"{picture.name}.png", ids)
    write_json(
        folder / f"{picture.name}.json",
        {"image": picture.name, "width": width, "height": height, "regions": entries},
    )
