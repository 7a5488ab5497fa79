"""Regions from COCO's panoptic files: a JSON of segments and a folder of coloured PNGs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.captioners.errors import LabelError
from models.segmenters.contract import Segmentation, Segmenter
from registry import SEGMENTERS
from semfid.errors import ImageError, UserError
from semfid.io.coco_file import Key, by_key, key_of, read_coco, text_of
from semfid.io.decoding import DecodingFault, decode
from semfid.io.images import file_hash, pixel_hash, read_image
from semfid.io.listing import on_disk

_WHAT = "segmenter: panoptic_files"
_SHOWN = 3


@dataclass(frozen=True)
class _Segments:
    """What the JSON says of one photo.

    Attributes:
        photo: its file.
        size: (width, height).
        map: its PNG.
        labels: category of each id.
    """

    photo: Path
    size: tuple[int, int]
    map: Path
    labels: Mapping[int, str]


@SEGMENTERS.register(
    "panoptic_files",
    summary="COCO's panoptic truth: a JSON of segments and PNGs whose colours are ids",
    source="cocodataset.org, format of panoptic segmentation",
)
class PanopticFiles(Segmenter):
    """Looks a photo up by what it shows; a copy of another size, or an edited one, is another photo and has no regions here.

    Crowds are segments as any other; segments that are not connected are split later, as any segmentation.

    Args:
        annotations: the JSON, with ``images``, ``annotations`` and ``categories``.
        images: the folder of the photos.
        maps: the folder of the PNGs; None: the JSON's path without its ending.
    """

    def __init__(self, annotations: str, images: str, maps: str | None = None) -> None:
        self._name = annotations
        folders = {
            "images": Path(images),
            "maps": Path(maps) if maps is not None else Path(annotations).with_suffix(""),
        }
        content = read_coco(annotations, f"{_WHAT}: annotations", ("images", "annotations", "categories"))
        for key, folder in folders.items():
            if not folder.is_dir():
                raise UserError(f"{_WHAT}: {key} finds no folder {folder}; give {key}: path/to/folder")
        self._segments = _read(content, annotations, folders["images"], folders["maps"])
        if not self._segments:
            raise UserError(
                f"{_WHAT}: folder {images} holds none of the photos of {annotations}; give the photos' folder as images"
            )
        digest = hashlib.blake2b(digest_size=8)
        for one in self._segments:
            digest.update(repr((one.size, one.map.name, sorted(one.labels.items()))).encode())
            for path in (one.photo, one.map):
                digest.update(file_hash(path) if path.is_file() else b"")
        self.identity = f"panoptic_files-1-{digest.hexdigest()}"
        self._by_size: dict[tuple[int, int], dict[str, _Segments]] = {}

    def _segment(self, images: Sequence[Image.Image]) -> list[Segmentation]:
        return [self._one(image) for image in images]

    def _one(self, image: Image.Image) -> Segmentation:
        found = self._of_size(image.size).get(pixel_hash(image))
        if found is None:
            raise LabelError(
                f"no photo of {self._name} shows this {image.width}x{image.height} image; panoptic_files has regions of its own "
                "photos alone, unchanged"
            )
        ids = read_colours(found.map)
        if ids.shape != (image.height, image.width):
            raise LabelError(
                f"{found.map} is {ids.shape[1]}x{ids.shape[0]}, its photo {image.width}x{image.height}; write it again"
            )
        present = {int(one) for one in np.unique(ids)} - {0}
        unknown = sorted(present - set(found.labels))
        if unknown:
            shown = ", ".join(str(one) for one in unknown[:_SHOWN]) + (", ..." if len(unknown) > _SHOWN else "")
            raise LabelError(
                f"{found.map} holds {len(unknown)} ids that {self._name} does not have ({shown}; "
                f"{int(np.isin(ids, unknown).sum())} pixels); give the JSON that belongs to it"
            )
        return Segmentation(ids, {one: found.labels[one] for one in sorted(present)})

    def _of_size(self, size: tuple[int, int]) -> Mapping[str, _Segments]:
        """Photos of one size by what they show; only those are decoded."""
        if size not in self._by_size:
            shown: dict[str, _Segments] = {}
            for one in self._segments:
                if one.size == size:
                    try:
                        shown.setdefault(pixel_hash(read_image(one.photo)), one)
                    except ImageError:
                        continue  # a photo that cannot be read is not the one that was
            self._by_size[size] = shown
        return self._by_size[size]


def read_colours(path: Path) -> NDArray[np.int32]:
    """(H, W) ids of a PNG in COCO's colours: red + 256 green + 65536 blue; 0 is void.

    Raises:
        LabelError: missing, damaged, or not in colour.
    """
    try:
        image = decode(path).image
    except DecodingFault as fault:
        raise LabelError(f"panoptic map {path} cannot be read: it {fault.text}; write it again") from fault
    if image.mode != "RGB":
        raise LabelError(
            f"panoptic map {path} is {image.mode}; COCO's are 8-bit RGB, ids as red + 256 green + 65536 blue"
        )
    colours = np.asarray(image).astype(np.int32)  # (H, W, 3)
    return colours[..., 0] + 256 * colours[..., 1] + 65536 * colours[..., 2]


def _read(content: Mapping[str, Any], name: str, images: Path, maps: Path) -> list[_Segments]:
    """The annotated photos that are in the folder, in the file's order."""
    photos = by_key(content, "images", name)
    categories = {
        key: text_of(one, "name", f"{name}: category {key}") for key, one in by_key(content, "categories", name).items()
    }
    found = []
    for row, one in enumerate(content["annotations"], start=1):
        where = f"{name}: annotations, row {row}"
        try:
            photo = photos[key_of(one["image_id"])]
            size = int(photo["width"]), int(photo["height"])
            listed = [(int(part["id"]), key_of(part["category_id"])) for part in one["segments_info"]]
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"{where} is no panoptic annotation ({error!r}); it needs the image_id of a listed image with width and height, "
                "file_name, and segments_info with id and category_id"
            ) from error
        path = on_disk(images / text_of(photo, "file_name", f"{name}: image {photo['id']}"))
        if path.is_file():
            found.append(
                _Segments(path, size, maps / text_of(one, "file_name", where), _labels(listed, categories, where))
            )
    return found


def _labels(listed: Sequence[tuple[int, Key]], categories: Mapping[Key, str], where: str) -> dict[int, str]:
    labels: dict[int, str] = {}
    for number, category in listed:
        if category not in categories:
            raise UserError(
                f"{where}: segment {number} has the category {category}, which is not listed; add it to categories"
            )
        if number in labels or number < 1:
            why = "stands twice" if number in labels else "is not above 0"
            raise UserError(f"{where}: the segment id {number} {why}; ids must be unique and above 0, which is void")
        labels[number] = categories[category]
    return labels
