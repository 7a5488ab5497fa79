"""Contact sheets: what the pairs and the classes look like, on one page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from data_tools.synthetic.categories import CATEGORIES
from data_tools.synthetic.dataset import Pair
from data_tools.synthetic.render import render
from data_tools.synthetic.scene_spec import ObjectSpec, SceneSpec
from semfid.errors import UserError
from semfid.io.pair_table import read_pairs

Order = Literal["table", "most", "least"]
_TEXT = 30
_GAP = 6
_PAPER = (250, 250, 248)


def contact_sheet(
    pairs: Path | str | Sequence[Pair], rows: int = 12, columns: int = 2, order: Order = "table", tile: int = 128
) -> Image.Image:
    """Reference, candidate and change mask of `rows * columns` pairs, with edit, degradation and votes.

    Args:
        pairs: path of a pair table with the columns that `write_pair_set` writes, or pairs in memory.
        order: as in the table; ``most``: most yes votes first; ``least``: fewest first.
        tile: side of a shown image in pixels.

    Raises:
        UserError: no pairs, unknown order, or a table that `pairs.read_pairs` refuses.
    """
    shown = _loaded(pairs) if isinstance(pairs, (str, Path)) else list(pairs)
    if not shown or rows < 1 or columns < 1:
        raise UserError(f"contact sheet: {len(shown)} pairs, rows={rows}, columns={columns}; each must be 1 or more")
    if order not in ("table", "most", "least"):
        raise UserError(f"contact sheet: order={order!r} should be 'table', 'most' or 'least'")
    if order != "table":
        sign = -1 if order == "most" else 1
        shown.sort(key=lambda pair: sign * float(str(pair.row["difference"])))
    shown = shown[: rows * columns]
    width, height = 3 * (tile + 2) + _GAP, tile + _TEXT + _GAP
    lines = -(-len(shown) // columns)
    sheet = Image.new("RGB", (columns * width + _GAP, lines * height + _GAP), _PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=11)
    for place, pair in enumerate(shown):
        x, y = _GAP + place % columns * width, _GAP + place // columns * height
        for k, image in enumerate((pair.reference, pair.candidate, pair.mask)):
            picture = Image.fromarray(image).convert("RGB").resize((tile, tile), Image.Resampling.LANCZOS)
            sheet.paste(picture, (x + k * (tile + 2), y))
        for k, text in enumerate(_words(pair)):
            draw.text((x, y + tile + 1 + 13 * k), text, fill=(30, 30, 30), font=font)
    return sheet


def category_sheet(variants: int = 8, tile: int = 96) -> Image.Image:
    """Every class in several instances, with its name.

    Args:
        variants: instances per class, 1 or more.
        tile: side of an instance in pixels, 64 .. 512.

    Raises:
        UserError: as said above.
    """
    if variants < 1:
        raise UserError(f"category sheet: variants={variants} must be 1 or more")
    label = 120
    sheet = Image.new("RGB", (label + variants * tile, len(CATEGORIES) * tile), _PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=14)
    for row, one in enumerate(CATEGORIES):
        draw.text((6, row * tile + tile // 2 - 16), one.name, fill=(20, 20, 20), font=font)
        draw.text((6, row * tile + tile // 2 + 2), one.supercategory, fill=(120, 120, 120), font=font)
        for k in range(variants):
            spec = SceneSpec("snow", 3, (ObjectSpec(one.name, 0.5, 0.94, 0.86, 1 + 7 * k, k % 2 == 1),))
            sheet.paste(Image.fromarray(render(spec, tile).image), (label + k * tile, row * tile))
    return sheet


def _words(pair: Pair) -> tuple[str, str]:
    row = pair.row
    change = str(row["edit"])
    if row["category_before"]:
        change += f": {row['category_before']} > {row['category_after'] or 'nothing'}"
    damage = str(row["degradation"])
    if damage != "none":
        damage += f" {float(str(row['strength'])):.2f}"
    return f"{change}", f"{row['yes_votes']}/{row['votes']} yes (rate {float(str(row['true_rate'])):.2f}) | {damage}"


def _loaded(path: Path | str) -> list[Pair]:
    table = read_pairs(path)
    needed = ("map", "edit", "category_before", "category_after", "degradation", "strength", "true_rate", "votes")
    missing = [column for column in needed if column not in table.frame.columns]
    if missing:
        raise UserError(f"{path} lacks the column {missing[0]}; contact sheets show tables that `semfid scenes` wrote")
    files = zip(table.paths("reference"), table.paths("candidate"), table.paths("map"), strict=True)
    rows = table.frame.to_dict("records")
    return [
        Pair(_read(a), _read(b), _read(c), {str(key): value for key, value in row.items()})
        for (a, b, c), row in zip(files, rows, strict=True)
    ]


def _read(path: Path) -> NDArray[np.uint8]:
    try:
        with Image.open(path) as image:
            return np.asarray(image)
    except OSError as error:
        raise UserError(f"cannot read the image {path}: {error}; write the scenes anew") from error
