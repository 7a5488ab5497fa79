"""Two images of which one was cut to a multiple of a network's scale."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from PIL import Image

from semfid.io.decoding import upright_size

Fit = Literal["refuse", "crop"]
Size = tuple[int, int]  # width, height
MOST_CUT = 0.1  # share of a side that may be cut away; more is another scale or another picture


def common_part(one: Size, other: Size) -> Size | None:
    """The size of what both show from the top left, where super-resolution cuts nothing; None where too much would go."""
    common = min(one[0], other[0]), min(one[1], other[1])
    lost = max(1 - kept / side for whole in (one, other) for kept, side in zip(common, whole, strict=True))
    return common if lost <= MOST_CUT else None


def crop_of(reference: Path, candidate: Path, fit: Fit) -> Size | None:
    """The size that both images of a pair are cut to, at the right and below; None: they stay as they are."""
    if fit == "refuse":
        return None
    sizes = upright_size(reference), upright_size(candidate)
    if sizes[0] is None or sizes[1] is None or sizes[0] == sizes[1]:
        return None
    return common_part(sizes[0], sizes[1])


def cut(image: Image.Image, crop: Size | None) -> Image.Image:
    """The part of an image from the top left, or the whole."""
    return image if crop is None else image.crop((0, 0, *crop))
