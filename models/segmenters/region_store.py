"""How id maps, captions and difference maps lie on disk.

A folder of regions:

    <image>.png      id map: 16-bit grey PNG of the image's size; 0 = void, k = region k
    <image>.json     {"image", "width", "height", "regions": [{"id", "area", "raw", "label", "score"}, ...]}
    captions.jsonl   {"image": <image>, "segment": k, "caption": "..."}, a line per region; segment 0 is the whole image

where <image> is `images.pixel_hash` of the decoded picture: the same content is stored once, whatever its files are called.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.captioners.errors import LabelError
from semfid.io.decoding import DecodingFault, decode
from semfid.io.files import write_whole

MapFormat = Literal["npy", "png"]
MOST_REGIONS = 65535


def write_ids(path: Path, ids: NDArray[np.integer]) -> None:
    """Store (H, W) ids as a 16-bit PNG.

    Raises:
        LabelError: ids beyond 16 bits.
    """
    if ids.min(initial=0) < 0 or ids.max(initial=0) > MOST_REGIONS:
        raise LabelError(f"{path.name}: ids must lie in 0 .. {MOST_REGIONS} to be stored; raise min_area")
    buffer = io.BytesIO()
    Image.fromarray(ids.astype(np.uint16)).save(buffer, "PNG", compress_level=4)
    write_whole(path, buffer.getvalue())


def read_ids(path: Path) -> NDArray[np.int32]:
    """(H, W) ids of a single-channel image: 16-bit, 8-bit, or palette (the palette's indices).

    Raises:
        LabelError: missing, corrupt, or in colour.
    """
    try:
        image = decode(path).image
    except DecodingFault as fault:
        if fault.code == "missing":
            raise LabelError(f"no id map {path}") from fault
        raise LabelError(f"id map {path} cannot be read: it {fault.text}; write it again") from fault
    if image.mode not in ("I;16", "I;16B", "I;16L", "I", "L", "P"):
        raise LabelError(f"id map {path} is {image.mode}; store ids as 16-bit or 8-bit single-channel PNG")
    return np.asarray(image).astype(np.int32)


def write_map(path: Path, values: NDArray[np.float32], form: MapFormat) -> None:
    """Store a difference map: float16 .npy with NaN where it is unknown, or 8-bit PNG, where unknown counts as 0."""
    buffer = io.BytesIO()
    if form == "npy":
        np.save(buffer, values.astype(np.float16))
    else:
        Image.fromarray(np.rint(np.nan_to_num(values, nan=0.0) * 255).astype(np.uint8)).save(buffer, "PNG")
    write_whole(path, buffer.getvalue())


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a mapping as a whole file."""
    write_whole(path, (json.dumps(content, ensure_ascii=False, indent=1) + "\n").encode())


def read_json(path: Path) -> dict[str, Any]:
    """Raises a LabelError that names the file."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise LabelError(f"no file {path}") from error
    except ValueError as error:
        raise LabelError(f"{path} is not JSON: {error}; write it again") from error
    if not isinstance(content, dict):
        raise LabelError(f"{path} must hold a mapping")
    return content
