"""The example pairs of a run as TensorBoard images: reference, candidate and heat map side by side."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from engine.report.pictures import Album, Pixels

SHOWN = 3
HEIGHT = 128
GAP = 4


def write_event_images(run: Path, album: Album, content: Mapping[str, Any], variant: Mapping[str, Any]) -> None:
    """Write ``events/examples`` anew: the best and the worst pairs of a run, from pictures that are at hand.

    A folder of its own, so that a report made again replaces it instead of adding to it.

    Args:
        content: of the table, with its pictures.
        variant: of the content; its first run is the one of the folder.
    """
    from torch.utils.tensorboard import SummaryWriter

    folder = run / "events" / "examples"
    shutil.rmtree(folder, ignore_errors=True)
    maps = variant.get("maps", {})
    strips = []
    for kind in ("best", "worst"):
        for place, row in enumerate(variant["runs"][0][kind][:SHOWN]):
            names = [*content["pictures"].get(row, []), maps.get(row)]
            pixels = [album.pixels[name] for name in names if name is not None]
            if pixels:
                strips.append((f"{kind}/{place + 1}", side_by_side(pixels)))
    if not strips:
        return
    with SummaryWriter(str(folder)) as writer:
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
