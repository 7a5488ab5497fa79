"""Photos and objects in COCO's layout: a folder of images, and a JSON of instances."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from data_tools.builders.core.coco_masks import fits_photo, mask_of
from data_tools.builders.core.errors import UnitError
from semfid.errors import UserError
from semfid.io.coco_file import Key, by_key, key_of, read_coco, text_of
from semfid.io.coco_file import captions as all_captions
from semfid.io.images import read_image
from semfid.io.listing import on_disk
from semfid.io.tables import as_path

MOST_PIXELS = 1_000_000  # of a photo's side


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
        name = f"photos.instances: {instances}"
        hashes = [_read_hash(instances, "photos.instances")]
        content = read_coco(instances, "photos.instances", ("images", "annotations", "categories"))
        records = by_key(content, "images", name)
        numbers = _numbered(records)
        licences = _licences(content.get("licenses"))
        self.photos = {
            numbers[key]: _photo(one, numbers[key], licences, self.folder, name) for key, one in records.items()
        }
        _refuse_one_file(self.photos.values(), name)
        self.supercategory: dict[str, str] = {}
        categories = self._categories(by_key(content, "categories", name), name)
        self.unfit = dict.fromkeys(_FAULTS, 0)
        self.instances: dict[int, list[Instance]] = {}
        self.own_ids: dict[int, Any] = {}
        self._segmentations: dict[int, Any] = {}
        self._take(content["annotations"], numbers, categories)
        self.captions: dict[int, str] = {}
        if captions is not None:
            hashes.append(_read_hash(captions, "photos.captions"))
            self.captions = _first_captions(captions, numbers)
        self.digest = hashlib.sha256("".join(hashes).encode()).hexdigest()

    def path(self, photo: int) -> Path:
        """Where the file of a photo should be."""
        return on_disk(self.folder / self.photos[photo].file)

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

    def _categories(self, records: Mapping[Key, Mapping[str, Any]], name: str) -> dict[Key, str]:
        """Names of the categories by their ids; fills `supercategory`."""
        found = {}
        for key, one in records.items():
            what = f"{name}: category {one['id']!r}"
            found[key] = text_of(one, "name", what)
            above = text_of(one, "supercategory", what) if one.get("supercategory") else found[key]
            if self.supercategory.setdefault(found[key], above) != above:
                raise UserError(
                    f"{what}: there are two categories '{found[key]}' of different supercategories; rename one"
                )
        return found

    def _take(self, annotations: Sequence[Any], numbers: Mapping[Key, int], categories: Mapping[Key, str]) -> None:
        """Keep the objects that can be used, each under an id of its own, and count the others."""
        fit: list[tuple[Any, Instance]] = []
        for one in annotations:
            try:
                instance = self._instance(one, numbers, categories)
            except _Unfit as error:
                self.unfit[str(error)] += 1
            else:
                fit.append((one, instance))
        keys = [_number(one.get("id")) for one, _ in fit]
        taken, free = set[int](), max((key for key in keys if key is not None), default=0) + 1
        for (one, instance), id_ in zip(fit, keys, strict=True):
            if id_ is None or id_ in taken:
                self.own_ids[free] = one.get("id")
                id_, free = free, free + 1
            taken.add(id_)
            self._segmentations[id_] = one["segmentation"]
            self.instances.setdefault(instance.photo, []).append(replace(instance, id=id_))
        for found in self.instances.values():
            found.sort(key=lambda instance: instance.id)
        self.instances = dict(sorted(self.instances.items()))

    def _instance(self, one: Any, numbers: Mapping[Key, int], categories: Mapping[Key, str]) -> Instance:
        """An annotation as an object, whose id is yet to be given."""
        if not isinstance(one, Mapping):
            raise _Unfit(_FAULTS[3])
        try:
            number, category = numbers.get(key_of(one["image_id"])), categories.get(key_of(one["category_id"]))
            box, area, crowd = [_length(value) for value in one["bbox"]], _length(one["area"]), one.get("iscrowd", 0)
        except (KeyError, TypeError, ValueError) as error:
            raise _Unfit(_FAULTS[3] if one.get("segmentation") else _FAULTS[2]) from error
        if number is None:
            raise _Unfit(_FAULTS[0])
        if category is None:
            raise _Unfit(_FAULTS[1])
        if len(box) != 4 or min(*box[2:], area) < 0 or crowd not in (0, 1, None, "0", "1"):
            raise _Unfit(_FAULTS[3])
        photo = self.photos[number]
        if not fits_photo(one.get("segmentation"), photo.width, photo.height):
            raise _Unfit(_FAULTS[2])
        return Instance(0, number, category, (box[0], box[1], box[2], box[3]), area, crowd in (1, "1"))


_FAULTS = (
    "its photo is not in the JSON",
    "its category is not in the JSON",
    "it has no mask that fits its photo",
    "it lacks a key of COCO's, or has a value of another type or without sense",
)


class _Unfit(ValueError):
    """An annotation that is left out; the text is one of `_FAULTS`."""


def _number(id_: Any) -> int | None:
    """An annotation's id where it is a number."""
    try:
        key = key_of(id_)
    except ValueError:
        return None
    return key if isinstance(key, int) else None


def _numbered(records: Mapping[Key, Any]) -> dict[Key, int]:
    """A number for every id: its own, or, of an id that is a text, one above all others, in the file's order."""
    free = max((key for key in records if isinstance(key, int)), default=0) + 1
    texts = [key for key in records if isinstance(key, str)]
    return {key: key for key in records if isinstance(key, int)} | {
        key: free + place for place, key in enumerate(texts)
    }


def _length(value: Any) -> float:
    """A coordinate, a side or an area.

    Raises:
        ValueError: no finite number.
    """
    if isinstance(value, bool) or not math.isfinite(number := float(value)):
        raise ValueError(f"{value!r} is no length")
    return number


def _photo(one: Mapping[str, Any], number: int, licences: Mapping[Any, Any], folder: Path, name: str) -> Photo:
    what = f"{name}: image {one['id']!r}"
    licence = licences.get(one.get("license")) if isinstance(one.get("license"), (int, str)) else None
    return Photo(
        number,
        as_path(text_of(one, "file_name", what), folder),
        _pixels(one, "width", what),
        _pixels(one, "height", what),
        str((licence or {}).get("name", "")),
        str((licence or {}).get("url", "")),
        str(one.get("flickr_url") or one.get("coco_url") or ""),
    )


def _pixels(one: Mapping[str, Any], side: str, what: str) -> int:
    try:
        pixels = _length(one[side])
    except (KeyError, TypeError, ValueError):
        pixels = 0.0
    if not 1 <= pixels <= MOST_PIXELS or pixels % 1:
        raise UserError(f"{what}: its {side} is {one.get(side)!r}; give the photo's {side} in pixels")
    return int(pixels)


def _licences(records: Any) -> dict[Any, Mapping[str, Any]]:
    """By their ids; what is none is passed over, for nothing hangs on it but a column of the table."""
    listed = records if isinstance(records, list) else []
    return {one["id"]: one for one in listed if isinstance(one, Mapping) and isinstance(one.get("id"), (int, str))}


def _refuse_one_file(photos: Iterable[Photo], name: str) -> None:
    files: dict[str, int] = {}
    for photo in photos:
        file = os.path.normpath(photo.file)
        if file in files:
            raise UserError(
                f"{name}: the images {files[file]} and {photo.id} have one file, {photo.file}; drop one of them, or the photo "
                "stands on two sides of a split"
            )
        files[file] = photo.id


def _first_captions(path: str | Path, numbers: Mapping[Key, int]) -> dict[int, str]:
    """Of each photo the caption of the smallest id; captions of other photos are passed over."""
    name = f"photos.captions: {path}"
    rows = all_captions(read_coco(path, "photos.captions", ("annotations",)), name)
    if all(isinstance(id_, (int, float)) for id_, _, _ in rows):
        rows.sort(key=lambda row: row[0])
    found: dict[int, str] = {}
    for _, key, sentence in rows:
        if key in numbers:
            found.setdefault(numbers[key], " ".join(sentence.split()))
    return found


def _read_hash(path: str | Path, key: str) -> str:
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{key}: cannot read {path} ({error.strerror}); give the path of COCO's JSON") from error
