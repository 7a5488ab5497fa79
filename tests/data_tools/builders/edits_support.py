"""Sets of edits on drawn photos, for the tests of the builder of edits."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from tiny_coco import quiet_call, write_coco

from data_tools.builders.edits.build import build
from data_tools.builders.edits.reading import Line
from semfid.io.images import read_image
from semfid.io.pair_table import read_pairs

KINDS = (
    "{exchange: 1, exchange_hard: 1, insert: 1, insert_hard: 1, remove: 1, remove_hard: 1, part: 1, same_class: 1, "
    "moved: 1, refilled: 1, global: 2, local: 2, unchanged: 1}"
)
CONFIG = """
out: {out}
photos: {{tiny: {{images: {root}/images, instances: {root}/instances.json}}}}
kinds: {kinds}
filters: {{box_side: 8, area: [0.02, 0.5]}}
hard_area: [0.005, 0.06]
donors: {{area: [0.01, 0.5], box_side: 8, border: 1}}
after: {{sr: {{share: 0.5, upscaler: {{name: bicubic}}}}}}
"""


def write_textured(root: Path, photos: int = 6, seed: int = 0) -> dict[str, Any]:
    """`write_coco`, with detail on objects and background."""
    content = write_coco(root, photos, seed)
    rng = np.random.default_rng(seed)
    for path in sorted((root / "images").glob("*.png")):
        pixels = np.asarray(Image.open(path)).astype(np.float64)
        noise = ndimage.gaussian_filter(rng.standard_normal(pixels.shape), (1, 1, 0)) * 110
        Image.fromarray(np.clip(pixels + noise, 0, 255).astype(np.uint8)).save(path)
    return content


def write_edits(root: Path, out: Path, kinds: str = KINDS) -> str:
    """A config over a drawn COCO set; returns its path."""
    path = root / "edits.yaml"
    path.write_text(CONFIG.format(root=root, out=out, kinds=kinds))
    return str(path)


def built(root: Path, out: Path, *overrides: str, kinds: str = KINDS, **options: Any) -> pd.DataFrame:
    """The pair table of a set, which must come without errors."""
    assert build(write_edits(root, out, kinds), overrides, quiet_call(**options)) == 0
    return read_pairs(out / "pairs.csv").frame


def picture(path: Path) -> NDArray[np.int16]:
    """(H, W, 3), wide enough to subtract."""
    return np.asarray(read_image(path)).astype(np.int16)


def files_of(out: Path) -> dict[str, str]:
    """Hash of every file that does not depend on when it was made."""
    return {
        path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.parent.name != "journals" and path.suffix != ".lock" and path.name != "preview.png"
    }


class OneLine:
    """A reader that sees a line in every photo, at one place."""

    identity = "one line"

    def __call__(self, picture: NDArray[np.uint8]) -> Sequence[Line]:
        return [Line(((10, 40), (90, 40), (90, 62), (10, 62)), "HOTEL 24")]


ONE_LINE = OneLine()
