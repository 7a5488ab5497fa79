"""Photos and objects in COCO's layout: a folder of images, and a JSON of instances."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataset_builders.errors import UnitError
from images import read_image
from registry import UserError


@dataclass(frozen=True, slots=True)
class Photo:
    """One image of the JSON."""

    id: int
    file: str
    width: int
    height: int
    licence: str
    licence_url: str
    url: str


@dataclass(frozen=True, slots=True)
class Instance:
    """One object.

    Attributes:
        box: x, y, width, height in pixels.
        area: of the mask, in pixels, as the JSON says.
    """

    id: int
    photo: int
    category: str
    box: tuple[float, float, float, float]
    area: float
    crowd: bool


class CocoSet:
    """A COCO set in memory; pictures and masks are decoded when asked for.

    Attributes:
        photos: by id.
        instances: by the photo's id, in order of their ids.
        supercategory: of each category's name.
        captions: the first caption of a photo, where captions were given.
        unfit: annotations left out, by why.
        digest: sha256 of the JSON files.
    """

    def __init__(self, images: str | Path, instances: str | Path, captions: str | Path | None = None) -> None:
        self.folder = Path(images)
        if not self.folder.is_dir():
            raise UserError(f"photos.images: no folder {images}; give the folder of COCO's images")
        self._coco, hashes = None, [_read_hash(instances, "photos.instances")]
        self._coco = _load(Path(instances), "photos.instances")
        dataset: dict[str, Any] = self._coco.dataset
        try:
            licences = {one["id"]: one for one in dataset.get("licenses", [])}
            self.photos = {one["id"]: _photo(one, licences) for one in dataset["images"]}
            names = {one["id"]: str(one["name"]) for one in dataset["categories"]}
            self.supercategory = {
                str(one["name"]): str(one.get("supercategory") or one["name"]) for one in dataset["categories"]
            }
            self.unfit = {"its photo is not in the JSON": 0, "its category is not in the JSON": 0, "it has no mask": 0}
            self.instances: dict[int, list[Instance]] = {}
            for one in sorted(dataset["annotations"], key=lambda one: one["id"]):
                why = self._fault(one, names)
                if why is not None:
                    self.unfit[why] += 1
                    continue
                self.instances.setdefault(one["image_id"], []).append(_instance(one, names))
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"{instances} is not COCO's JSON of instances ({type(error).__name__}: {error}); it needs images, "
                "annotations and categories with COCO's keys"
            ) from error
        self.captions: dict[int, str] = {}
        if captions is not None:
            hashes.append(_read_hash(captions, "photos.captions"))
            self.captions = _read_captions(Path(captions))
        self.digest = hashlib.sha256("".join(hashes).encode()).hexdigest()

    def path(self, photo: int) -> Path:
        """Where the file of a photo should be."""
        return self.folder / self.photos[photo].file

    def picture(self, photo: int) -> NDArray[np.uint8]:
        """(H, W, 3) RGB of a photo, as its annotations see it.

        Raises:
            ImageError: missing or corrupt.
            UnitError: its size is not the JSON's (an orientation tag does that too).
        """
        facts, image = self.photos[photo], read_image(self.path(photo))
        if image.size != (facts.width, facts.height):
            raise UnitError(
                f"{facts.file} is {image.width}x{image.height} when upright, and its annotations are for "
                f"{facts.width}x{facts.height}"
            )
        return np.asarray(image)

    def mask(self, instance: Instance) -> NDArray[np.bool_]:
        """(H, W) of an object."""
        assert self._coco is not None
        return self._coco.annToMask(self._coco.anns[instance.id]).astype(bool)

    def _fault(self, one: Mapping[str, Any], names: Mapping[int, str]) -> str | None:
        if one["image_id"] not in self.photos:
            return "its photo is not in the JSON"
        if one["category_id"] not in names:
            return "its category is not in the JSON"
        return None if _has_mask(one.get("segmentation")) and len(one["bbox"]) == 4 else "it has no mask"


def _photo(one: Mapping[str, Any], licences: Mapping[Any, Mapping[str, Any]]) -> Photo:
    licence = licences.get(one.get("license"), {})
    return Photo(
        int(one["id"]),
        str(one["file_name"]),
        int(one["width"]),
        int(one["height"]),
        str(licence.get("name", "")),
        str(licence.get("url", "")),
        str(one.get("flickr_url") or one.get("coco_url") or ""),
    )


def _instance(one: Mapping[str, Any], names: Mapping[int, str]) -> Instance:
    x, y, width, height = (float(value) for value in one["bbox"])
    crowd = bool(one.get("iscrowd", 0))
    return Instance(
        int(one["id"]), one["image_id"], names[one["category_id"]], (x, y, width, height), float(one["area"]), crowd
    )


def _has_mask(segmentation: Any) -> bool:
    """Polygons of three points or more, or a run-length code; pycocotools itself does not look."""
    if isinstance(segmentation, Mapping):
        return "counts" in segmentation and "size" in segmentation
    return (
        isinstance(segmentation, list)
        and bool(segmentation)
        and all(
            isinstance(polygon, list)
            and len(polygon) >= 6
            and len(polygon) % 2 == 0
            and all(isinstance(value, (int, float)) and math.isfinite(value) for value in polygon)
            for polygon in segmentation
        )
    )


def _load(path: Path, key: str) -> Any:
    from pycocotools.coco import COCO

    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it tells its progress there
            return COCO(str(path))
    except FileNotFoundError as error:
        raise UserError(f"{key}: no file {path}; give COCO's instances_*.json") from error
    except (ValueError, OSError, AssertionError, KeyError, TypeError) as error:
        raise UserError(f"{key}: {path} is not COCO's JSON ({type(error).__name__}: {error})") from error


def _read_captions(path: Path) -> dict[int, str]:
    try:
        found: dict[int, str] = {}
        for one in sorted(json.loads(path.read_text(encoding="utf-8"))["annotations"], key=lambda one: one["id"]):
            found.setdefault(one["image_id"], " ".join(str(one["caption"]).split()))
        return found
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"photos.captions: {path} is not COCO's JSON of captions ({error})") from error


def _read_hash(path: str | Path, key: str) -> str:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{key}: cannot read {path} ({error.strerror}); give the path of COCO's JSON") from error
