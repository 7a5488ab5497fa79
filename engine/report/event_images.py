"""The example pairs of a run as TensorBoard images: reference, candidate and heat map side by side."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from engine.report.page_content import TableContent, VariantContent
from engine.report.pictures import Album, Pixels

SHOWN = 3
HEIGHT = 128
GAP = 4


def write_event_images(run: Path, album: Album, content: TableContent, variant: VariantContent) -> None:
    """Write ``events/examples``: the best and the worst pairs of a run, from pictures that are at hand.

    A folder of its own, so that a report made again replaces it instead of adding to it; where the pictures are the same
    the finished run is left untouched. The file's name ends with their digest.

    Args:
        content: of the table, with its pictures.
        variant: of the content; its first run is the one of the folder.
    """
    folder = run / "events" / "examples"
    maps = variant.get("maps", {})
    strips = []
    for kind in ("best", "worst"):
        for place, row in enumerate(variant["runs"][0][kind][:SHOWN]):
            names = [*content["pictures"].get(row, []), maps.get(row)]
            pixels = [album.pixels[name] for name in names if name is not None]
            if pixels:
                strips.append((f"{kind}/{place + 1}", side_by_side(pixels)))
    digest = hashlib.blake2b(b"".join(tag.encode() + picture.tobytes() for tag, picture in strips), digest_size=8)
    suffix = f".{digest.hexdigest()}"
    if any(folder.glob(f"*{suffix}")):
        return
    shutil.rmtree(folder, ignore_errors=True)
    if not strips:
        return
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(folder), filename_suffix=suffix) as writer:
        for tag, picture in strips:
            writer.add_image(tag, picture, dataformats="HWC")


def side_by_side(pictures: list[Pixels]) -> Pixels:
    """Pictures of one height in a row, (HEIGHT, W, 3)."""
    scaled = []
    for picture in pictures:
        height, width, _ = picture.shape
        size = (max(1, round(width * HEIGHT / height)), HEIGHT)
        scaled.append(np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC)))
        scaled.append(np.full((HEIGHT, GAP, 3), 255, dtype=np.uint8))
    return np.concatenate(scaled[:-1], axis=1)
