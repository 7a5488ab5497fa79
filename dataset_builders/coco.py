"""Photos and objects in COCO's layout: a folder of images, and a JSON of instances."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dataset_builders.coco_masks import fits_photo, mask_of
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


class Photos(Protocol):
    """Photos and objects, as `CocoSet` holds them and as other sets of them do."""

    photos: dict[int, Photo]
    instances: dict[int, list[Instance]]

    def picture(self, photo: int) -> NDArray[np.uint8]:
        """(H, W, 3) RGB of a photo."""
        ...

    def mask(self, instance: Instance) -> NDArray[np.bool_]:
        """(H, W) of an object."""
        ...


class CocoSet:
    """A COCO set in memory; pictures and masks are decoded when asked for.

    Attributes:
        photos: by id.
        instances: by the photo's id, in order of their ids.
        supercategory: of each category's name.
        captions: the first caption of a photo, where captions were given.
        unfit: annotations left out, by why.
        own_ids: what the JSON calls an object whose id was taken, or none: ids are not unique in the wild. Such objects get new
            ones above all others.
        digest: sha256 of the JSON files.
    """

    def __init__(self, images: str | Path, instances: str | Path, captions: str | Path | None = None) -> None:
        self.folder = Path(images)
        if not self.folder.is_dir():
            raise UserError(f"photos.images: no folder {images}; give the folder of COCO's images")
        hashes = [_read_hash(instances, "photos.instances")]
        dataset = _load(Path(instances), "photos.instances")
        self.unfit = dict.fromkeys(_FAULTS, 0)
        self.instances: dict[int, list[Instance]] = {}
        self.own_ids: dict[int, Any] = {}
        self._segmentations: dict[int, Any] = {}
        try:
            licences = {one["id"]: one for one in dataset.get("licenses", [])}
            self.photos = {one["id"]: _photo(one, licences) for one in dataset["images"]}
            names = {one["id"]: str(one["name"]) for one in dataset["categories"]}
            self.supercategory = {
                str(one["name"]): str(one.get("supercategory") or one["name"]) for one in dataset["categories"]
            }
            annotations = list(dataset["annotations"])
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"{instances} is not COCO's JSON of instances ({type(error).__name__}: {error}); it needs images, "
                "annotations and categories with COCO's keys"
            ) from error
        self._take(annotations, names)
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
        photo = self.photos[instance.photo]
        return mask_of(self._segmentations[instance.id], photo.width, photo.height)

    def _take(self, annotations: Sequence[Any], names: Mapping[Any, str]) -> None:
        """Keep the objects that can be used, each under an id of its own, and count the others."""
        fit = []
        for one in annotations:
            why = self._fault(one, names)
            if why is None:
                fit.append(one)
            else:
                self.unfit[why] += 1
        numbers = [one["id"] for one in fit if _is_number(one.get("id"))]
        taken, free = set[int](), max(numbers, default=0) + 1
        for one in fit:
            id_ = one.get("id")
            if not _is_number(id_) or id_ in taken:
                self.own_ids[free] = id_
                id_, free = free, free + 1
            taken.add(id_)
            self._segmentations[id_] = one["segmentation"]
            self.instances.setdefault(one["image_id"], []).append(_instance(one, id_, names))
        for found in self.instances.values():
            found.sort(key=lambda instance: instance.id)
        self.instances = dict(sorted(self.instances.items()))

    def _fault(self, one: Any, names: Mapping[Any, str]) -> str | None:
        try:
            if one["image_id"] not in self.photos:
                return _FAULTS[0]
            if one["category_id"] not in names:
                return _FAULTS[1]
            photo = self.photos[one["image_id"]]
            _instance(one, 0, names)
            return None if fits_photo(one["segmentation"], photo.width, photo.height) else _FAULTS[2]
        except (KeyError, TypeError, ValueError):
            return _FAULTS[3] if isinstance(one, Mapping) and one.get("segmentation") else _FAULTS[2]


_FAULTS = (
    "its photo is not in the JSON",
    "its category is not in the JSON",
    "it has no mask",
    "it lacks a key of COCO's, or has a value of another type",
)


def _is_number(id_: Any) -> bool:
    return isinstance(id_, int) and not isinstance(id_, bool)


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


def _instance(one: Mapping[str, Any], id_: int, names: Mapping[Any, str]) -> Instance:
    x, y, width, height = (float(value) for value in one["bbox"])
    crowd = bool(one.get("iscrowd", 0))
    return Instance(id_, one["image_id"], names[one["category_id"]], (x, y, width, height), float(one["area"]), crowd)


def _load(path: Path, key: str) -> Mapping[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, OSError) as error:
        raise UserError(f"{key}: {path} is not COCO's JSON ({type(error).__name__}: {error})") from error
    if not isinstance(content, dict):
        raise UserError(f"{key}: {path} is not COCO's JSON (it holds a {type(content).__name__}, not a mapping)")
    return content


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
