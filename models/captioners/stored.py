"""Captions that were made elsewhere: ``captions.jsonl`` of a folder of regions (see `models.segmenters.region_store`)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from models.captioners.contract import Captioner, RegionView
from models.captioners.errors import LabelError
from models.captioners.overlay import Contour
from registry import CAPTIONERS
from semfid.errors import UserError
from semfid.io.images import file_hash, pixel_hash
from semfid.io.jsonl import JsonLines

CAPTIONS = "captions.jsonl"


@CAPTIONERS.register("stored", summary="captions from a folder of regions: your own, or the embedded scenes' truth")
class StoredCaptioner(Captioner):
    """Looks captions up by image and region; the prompt is ignored.

    Args:
        folder: the folder of regions.
        file: the JSON lines in it.
    """

    batch_size = 256

    def __init__(self, folder: str, file: str = "captions.jsonl") -> None:
        path = stored_folder(folder, "captioner") / file
        if not path.is_file():
            raise UserError(f"captioner: stored finds no {path}; give its folder and file")
        self._path = path
        self._captions = read_captions(path)
        self.identity = f"stored-1-{file_hash(path).hex()[:16]}"

    def caption(self, images: Sequence[Image.Image], prompt: str) -> list[str]:
        """Captions of whole images: segment 0."""
        return [self._get(pixel_hash(image), 0) for image in images]

    def caption_regions(self, regions: Sequence[RegionView], prompt: str, contour: Contour = 3) -> list[str]:
        return [self._get(one.name, one.segment) for one in regions]

    def _get(self, image: str, segment: int) -> str:
        if (image, segment) not in self._captions:
            raise LabelError(f"{self._path} has no caption of segment {segment} of image {image}")
        return self._captions[image, segment].strip()


def read_captions(path: Path) -> dict[tuple[str, int], str]:
    """(image, segment) to caption; of repeated keys, the last.

    Raises:
        UserError: a line without image, segment and caption.
    """
    found = {}
    for number, line in enumerate(JsonLines(path).read(), start=1):
        image, segment, caption = line.get("image"), line.get("segment"), line.get("caption")
        if not (isinstance(image, str) and isinstance(segment, int) and isinstance(caption, str)):
            raise UserError(
                f'{path}, line {number}: needs "image" (text), "segment" (whole number) and "caption" (text)'
            )
        found[image, segment] = caption
    return found


def stored_folder(folder: str, kind: str) -> Path:
    """The folder that `stored` is given.

    Raises:
        UserError: there is none.
    """
    path = Path(folder)
    if not path.is_dir():
        raise UserError(f"{kind}: stored finds no folder {folder}; give {kind}.folder=path/to/regions")
    return path
