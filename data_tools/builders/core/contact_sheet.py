"""Pictures beside each other with a line of text under each, to look at before a night's run."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from data_tools.builders.core.eta import estimate_line
from data_tools.builders.core.folder import BuildFolder
from data_tools.builders.core.journal import Entry

Tile = tuple[NDArray[np.uint8], str]
TEXT_HEIGHT, GAP = 16, 6


def contact_sheet(rows: Sequence[Sequence[Tile]], side: int = 256) -> bytes:
    """A PNG of rows of tiles.

    Args:
        rows: each a list of (picture (H, W, 3) or (H, W) uint8, text); rows may differ in length.
        side: longer side of a tile in pixels; smaller pictures are not enlarged.
    """
    font = ImageFont.load_default(11)
    across = max((len(row) for row in rows), default=0)
    shown = [[_thumbnail(picture, side) for picture, _ in row] for row in rows]
    heights = [max((one.height for one in row), default=0) + TEXT_HEIGHT + GAP for row in shown]
    sheet = Image.new("RGB", (across * (side + GAP) + GAP, sum(heights) + GAP), "white")
    draw, top = ImageDraw.Draw(sheet), GAP
    for row, pictures, height in zip(rows, shown, heights, strict=True):
        for column, ((_, text), picture) in enumerate(zip(row, pictures, strict=True)):
            left = GAP + column * (side + GAP)
            sheet.paste(picture, (left, top))
            draw.text((left, top + height - TEXT_HEIGHT - GAP), _fitting(draw, text, font, side), "black", font)
        top += height
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    return buffer.getvalue()


def put_preview(
    folder: BuildFolder, sheet: bytes, made: Sequence[Entry], left: int, say: Callable[[str], None]
) -> None:
    """Write ``preview.png``, and say what the rest of the build will take.

    Args:
        sheet: a PNG, see `contact_sheet`.
        made: the work items that the sheet shows; without any there is no estimate.
        left: how many are still to be made.
    """
    folder.put("preview.png", sheet)
    say(f"look at {folder.path / 'preview.png'}")
    if made:
        seconds, size = sum(one.seconds for one in made), sum(one[2] for entry in made for one in entry.files)
        free = shutil.disk_usage(folder.path).free
        say(f"about {estimate_line(len(made), seconds, size, max(0, left), free)}")


def _thumbnail(picture: NDArray[np.uint8], side: int) -> Image.Image:
    image = Image.fromarray(picture).convert("RGB")
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return image


def _fitting(
    draw: ImageDraw.ImageDraw, text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, side: int
) -> str:
    while text and draw.textlength(text, font) > side:
        text = text[:-1]
    return text
