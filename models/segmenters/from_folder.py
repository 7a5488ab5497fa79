"""Id maps that were made elsewhere, read from a folder of regions (see `models.segmenters.region_store`)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.captioners.errors import LabelError
from models.captioners.stored import CAPTIONS, stored_folder
from models.segmenters.contract import Segmentation, Segmenter
from models.segmenters.region_store import read_ids, read_json, write_ids, write_json
from registry import SEGMENTERS
from semfid.io.images import file_hash, pixel_hash
from semfid.io.jsonl import JsonLines
from semfid.io.listing import list_images


@SEGMENTERS.register("stored", summary="id maps from a folder: your own segmentations, or the embedded scenes' truth")
class StoredSegmenter(Segmenter):
    """Reads ``<image>.png`` of a folder of regions, and the labels and scores of ``<image>.json`` where it is there.

    Args:
        folder: the folder of regions.
        regions: ``final``: ids are regions and used unchanged (captions may then be stored too); ``raw``: they are
            split into connected components, and small ones merged, as any segmentation.
    """

    def __init__(self, folder: str, regions: Literal["final", "raw"] = "final") -> None:
        self.folder = stored_folder(folder, "segmenter")
        self.final = regions == "final"
        digest = hashlib.blake2b(digest_size=8)
        for path in list_images(self.folder, deep=False, endings={".png"}).paths:
            digest.update(path.name.encode() + file_hash(path))
            info = path.with_suffix(".json")
            digest.update(file_hash(info) if info.is_file() else b"")
        self.identity = f"stored-1-{regions}-{digest.hexdigest()}"

    def _segment(self, images: Sequence[Image.Image]) -> list[Segmentation]:
        return [self._read(image) for image in images]

    def _read(self, image: Image.Image) -> Segmentation:
        path = self.folder / f"{pixel_hash(image)}.png"
        ids = read_ids(path)
        if ids.shape != (image.height, image.width):
            raise LabelError(
                f"id map {path} is {ids.shape[1]}x{ids.shape[0]}, its image {image.width}x{image.height}; write it again"
            )
        labels: dict[int, str] = {}
        scores: dict[int, float] = {}
        if path.with_suffix(".json").is_file():
            for region in read_json(path.with_suffix(".json")).get("regions", []):
                if isinstance(region.get("label"), str):
                    labels[int(region["id"])] = region["label"]
                if isinstance(region.get("score"), (int, float)):
                    scores[int(region["id"])] = float(region["score"])
        return Segmentation(ids, labels, scores)


def store_regions(
    folder: Path, image: Image.Image, ids: NDArray[np.integer], captions: Mapping[int, str] | None = None
) -> str:
    """Put an image's regions, and captions where they are known, into a folder that `stored` reads.

    Captions are added at the end of ``captions.jsonl``: of repeated ones the last counts.

    Args:
        image: RGB, as `images.read_image` gives it.
        ids: (H, W); 0 = void.
        captions: of region ids; 0: of the whole image.

    Returns:
        The image's name in the folder.

    Raises:
        LabelError: ids of another size, or beyond 16 bits.
    """
    if ids.shape != (image.height, image.width):
        raise LabelError(f"ids are {ids.shape}, the image is {(image.height, image.width)}; they must agree")
    name = pixel_hash(image)
    write_ids(folder / f"{name}.png", ids)
    areas = np.bincount(ids.ravel())
    write_json(
        folder / f"{name}.json",
        {
            "image": name,
            "width": image.width,
            "height": image.height,
            "regions": [{"id": k, "area": int(areas[k])} for k in np.flatnonzero(areas).tolist() if k],
        },
    )
    if captions:
        JsonLines(folder / CAPTIONS).append(
            [{"image": name, "segment": segment, "caption": text} for segment, text in captions.items()]
        )
    return name
