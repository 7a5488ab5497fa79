"""Second stage: every region of every picture gets its caption."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from data_tools.region_maps.segmenting import region_ids, region_labels
from models.captioners.contract import Captioner, RegionView
from models.captioners.errors import LabelError
from models.captioners.overlay import Contour
from models.captioners.stored import read_captions
from models.image_index import Picture
from models.segmenters.region_store import read_ids
from semfid.io.images import read_image
from semfid.io.jsonl import JsonLines
from semfid.progress import Advance

Captions = dict[str, dict[int, str]]


def caption_regions(
    pictures: Sequence[Picture],
    folder: Path,
    file: Path,
    captioner: Captioner,
    prompt: str,
    contour: Contour,
    advance: Advance,
) -> tuple[Captions, dict[str, str]]:
    """Caption the regions that have none yet, and append them to `file`.

    A batch holds regions of one picture, in order, so that it is the same in every run.

    Args:
        folder: the pictures' regions.

    Returns:
        By the picture's name: region to caption, which may be empty; and what is wrong with the pictures that failed.
    """
    ledger = JsonLines(file)
    ledger.repair()
    done = read_captions(file)
    captions: Captions = {}
    faults: dict[str, str] = {}
    for number, picture in enumerate(pictures, start=1):
        try:
            regions = region_ids(folder, picture.name)
            views: list[RegionView] = []
            for start in range(0, len(regions), captioner.batch_size):
                batch = regions[start : start + captioner.batch_size]
                missing = [segment for segment in batch if (picture.name, segment) not in done]
                if missing:
                    views = views or _views(picture, regions, folder)  # decoded once, and only where there is work
                    texts = captioner.caption_regions(views[start : start + len(batch)], prompt, contour)
                    for segment, text in zip(batch, texts, strict=True):
                        done.setdefault((picture.name, segment), text)
                    ledger.append(
                        [
                            {"image": picture.name, "segment": segment, "caption": done[picture.name, segment]}
                            for segment in missing
                        ]
                    )
            captions[picture.name] = {segment: done[picture.name, segment] for segment in regions}
        except LabelError as error:
            faults[picture.name] = str(error)
        advance(number, len(pictures))
    return captions, faults


def _views(picture: Picture, segments: Sequence[int], folder: Path) -> list[RegionView]:
    image, ids = read_image(picture.path), read_ids(folder / f"{picture.name}.png")
    labels = region_labels(folder, picture.name)
    return [RegionView(image, picture.name, ids, one, labels.get(one, "")) for one in segments]
