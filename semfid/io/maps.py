"""Decoding and resizing of difference maps: (H, W) float32 in [0, 1], NaN where nothing is known.

| file | 1 is written as |
|---|---|
| 8-bit grey image, RGB with equal channels | 255 |
| 16-bit grey image | 65535 |
| 1-bit image, palette of black and white | white |
| .npy of float16, float32 or float64 | 1.0, and NaN is unknown |
| .npy of booleans or integers | 255, or 1 where nothing is above 1 |

Everything else is refused by name: a map that is read wrongly trains a model without complaint. Maps go through the geometry of
their images (`Frame`), never through their normalisation; they are averaged by area, and what is unknown stays out of the
average.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.sparse import csr_array

from semfid.errors import UserError
from semfid.io.arrays import load_array
from semfid.io.decoding import REPLACE, DecodingFault, decode
from semfid.io.images import ROUNDING, Resize, bounded_size
from semfid.io.listing import on_disk

Box = tuple[float, float, float, float]  # left, top, right, bottom


class MapError(UserError):
    """A difference map that is missing, unreadable, or says something else than it should; the text names the file."""


@dataclass(frozen=True)
class Frame:
    """Which part of an image becomes a backbone's input, and how. Images and map of a pair share one.

    Attributes:
        size: (width, height) that `box` is given in; a file of another size is taken in proportion.
        box: what is taken, in pixels.
        inner: (width, height) that it is resized to.
        offset: (x, y) of the resized part on the canvas.
        canvas: (width, height) of the result; around the part there are grey bars, unknown in a map.
        flip: mirrored left to right, last.
    """

    size: tuple[int, int]
    box: Box
    inner: tuple[int, int]
    offset: tuple[int, int]
    canvas: tuple[int, int]
    flip: bool = False

    def box_in(self, size: tuple[int, int]) -> Box:
        """`box` in the pixels of an image of another size."""
        if size == self.size:
            return self.box
        x, y = size[0] / self.size[0], size[1] / self.size[1]
        left, top, right, bottom = self.box
        return left * x, top * y, min(right * x, size[0]), min(bottom * y, size[1])


def frame_of(size: tuple[int, int], side: int, how: Resize, window: Box | None = None, flip: bool = False) -> Frame:
    """The frame by which `semfid.io.images.resize_image` treats an image, or a window of it.

    Args:
        size: (width, height) of the image.
        side: S of S x S results.
        window: the part to take, in pixels; None for the whole.
    """
    left, top, right, bottom = box = window or (0.0, 0.0, float(size[0]), float(size[1]))
    width, height = right - left, bottom - top
    inner = canvas = (side, side)
    offset = (0, 0)
    if how == "none":
        inner = canvas = (round(width), round(height))
    elif how == "bounded":
        inner = canvas = bounded_size((width, height), side)
    elif how == "letterbox" and width > height:
        inner = (side, max(1, round(height / width * side)))
        offset = (0, round((side - inner[1]) * 0.5))
    elif how == "letterbox" and width < height:
        inner = (max(1, round(width / height * side)), side)
        offset = (round((side - inner[0]) * 0.5), 0)
    elif how == "center_crop" and width > height:
        left += (width - height) * 0.5
        box = (left, top, left + height, bottom)
    elif how == "center_crop" and width < height:
        top += (height - width) * 0.5
        box = (left, top, right, top + width)
    return Frame(size, box, inner, offset, canvas, flip)


def frame_map(values: NDArray[np.float32], frame: Frame) -> NDArray[np.float32]:
    """A map as its frame shows it.

    Args:
        values: (H, W) in [0, 1] or NaN.

    Returns:
        canvas height x canvas width: the mean over what is known of the area behind each pixel; NaN where more than half of
        that area is unknown, and on bars.
    """
    box = frame.box_in((values.shape[1], values.shape[0]))
    mean = area_average(values, box, frame.inner)  # (h', w')
    if frame.inner != frame.canvas:
        whole = np.full(frame.canvas[::-1], np.nan, dtype=np.float32)
        x, y = frame.offset
        whole[y : y + frame.inner[1], x : x + frame.inner[0]] = mean
        mean = whole
    return np.ascontiguousarray(mean[:, ::-1]) if frame.flip else mean


def resize_map(values: NDArray[np.float32], side: int, how: Resize) -> NDArray[np.float32]:
    """A whole map beside an image that went through `images.resize_image`; see `frame_map`."""
    return frame_map(values, frame_of((values.shape[1], values.shape[0]), side, how))


def known_mean(values: NDArray[np.float32]) -> float:
    """Mean over the known pixels; NaN where there is none."""
    known = values[~np.isnan(values)]
    return float(known.mean(dtype=np.float64)) if known.size else float("nan")


def area_average(values: NDArray[np.float32], box: Box, size: tuple[int, int]) -> NDArray[np.float32]:
    """Means over the cells of a grid laid on `box`; pixels count with the share of them that lies in the cell.

    Args:
        values: (H, W), NaN where unknown.
        box: in pixels, inside the map.
        size: (width, height) of the grid.

    Returns:
        (height, width) float32; NaN where more than half of a cell is unknown.
    """
    whole = (0.0, 0.0, float(values.shape[1]), float(values.shape[0]))
    if box == whole and size == (values.shape[1], values.shape[0]):
        return values.copy()
    unknown = np.isnan(values)
    if not unknown.any():
        return np.clip(_cell_means(values, box, size), 0.0, 1.0)
    share = _cell_means((~unknown).astype(np.float32), box, size)
    total = _cell_means(np.where(unknown, np.float32(0), values), box, size)
    enough = share >= 0.5 - 1e-5  # rounding must not make half of a cell less than half
    mean = np.clip(total / np.where(enough, share, np.float32(1)), 0.0, 1.0)
    return np.where(enough, mean, np.float32(np.nan))


def _cell_means(values: NDArray[np.float32], box: Box, size: tuple[int, int]) -> NDArray[np.float32]:
    """Integral over each cell divided by the cell's area, rows before columns."""
    left, top, right, bottom = box
    rows = _shares(np.linspace(top, bottom, size[1] + 1), values.shape[0]) @ values  # (h', W)
    columns = _shares(np.linspace(left, right, size[0] + 1), values.shape[1]) @ np.ascontiguousarray(rows.T)  # (w', h')
    return np.asarray(columns.T)


def _shares(edges: NDArray[np.float64], extent: int) -> csr_array:
    """(cells, extent): the share of each cell, between two successive edges, that lies in each pixel; few are not 0."""
    first = np.minimum(edges[:-1].astype(np.int64), extent - 1)
    last = np.maximum(np.ceil(edges[1:]).astype(np.int64), first + 1)  # one past the last pixel
    count = last - first
    starts = np.concatenate([[0], np.cumsum(count)])
    cell = np.repeat(np.arange(len(count)), count)
    pixel = np.arange(starts[-1]) - starts[cell] + first[cell]
    overlap = np.minimum(edges[cell + 1], pixel + 1) - np.maximum(edges[cell], pixel)
    weight = np.maximum(overlap, 0.0) / (edges[cell + 1] - edges[cell])
    return csr_array((weight.astype(np.float32), pixel, starts), shape=(len(count), extent))


def read_map(path: str | Path) -> NDArray[np.float32]:
    """Read a difference map.

    Returns:
        (H, W) float32 in [0, 1], NaN where unknown.

    Raises:
        MapError: missing, corrupt, or of a kind that could mean several things; names the file and the fix.
    """
    path = on_disk(Path(path))
    if not path.is_file():
        raise MapError(f"no map {path}; check the column map of the pair table, or leave the entry empty")
    if path.suffix.lower() in (".pkl", ".pickle", ".pt", ".pth"):
        raise MapError(
            f"map {path} is a pickle, which can run code; save np.save('map.npy', (1 - cosine).clip(0, 1)) instead, or use the "
            "datamodule sr_outputs, which reads tables of cosine maps"
        )
    return _read_array(path) if path.suffix.lower() == ".npy" else _read_image(path)


def as_map(values: NDArray[np.generic], name: str) -> NDArray[np.float32]:
    """Check an array and make it float32.

    Args:
        name: what messages call it.

    Raises:
        MapError: not (H, W), empty, values outside [0, 1], integers that are no mask.
    """
    if values.ndim != 2 or values.size == 0:
        raise MapError(f"map {name} has the shape {values.shape}; it must be (height, width)")
    if values.dtype == np.bool_:
        return values.astype(np.float32)
    if np.issubdtype(values.dtype, np.integer):
        found = set(np.unique(values).tolist())
        if found <= {0, 1}:
            return values.astype(np.float32)
        if found <= {0, 255}:
            return (values != 0).astype(np.float32)
        raise MapError(
            f"map {name} holds integers from {min(found)} to {max(found)}, which may be levels or ids; save floats in [0, 1], "
            "or an 8-bit PNG where 255 is 1"
        )
    if not np.issubdtype(values.dtype, np.floating):
        raise MapError(f"map {name} is of type {values.dtype}; save float16 or float32 in [0, 1]")
    floats = values.astype(np.float32)
    known = floats[~np.isnan(floats)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)
    if low < -ROUNDING or high > 1 + ROUNDING:  # 1 - cosine of equal vectors leaves [0, 1] by less
        raise MapError(
            f"map {name} holds values from {low:g} to {high:g}, outside [0, 1]; 0 is the same meaning and 1 another one (a "
            "cosine similarity c becomes (1 - c).clip(0, 1)), and NaN stands for unknown"
        )
    return np.clip(floats, 0.0, 1.0)  # NaN stays


def _read_array(path: Path) -> NDArray[np.float32]:
    try:
        values = load_array(path)
    except ValueError as error:
        raise MapError(
            f"map {path} cannot be read as .npy: {error}; write it again with numpy.save, one array without Python objects"
        ) from error
    return as_map(values, str(path))


def _read_image(path: Path) -> NDArray[np.float32]:
    try:
        image = decode(path).image
    except DecodingFault as fault:
        fix = (
            "write it again as an 8-bit grey PNG or a float16 .npy, or empty the entry"
            if fault.fix == REPLACE
            else fault.fix
        )
        raise MapError(f"map {path} {fault.text}; {fix}") from fault
    return _levels(image, str(path))


def _levels(image: Image.Image, name: str) -> NDArray[np.float32]:
    """Grey levels of an image as shares of white."""
    if image.mode == "P":
        used = np.asarray(image.convert("RGBA"))[..., :3].reshape(-1, 3)
        if not (((used == 0).all(1)) | ((used == 255).all(1))).all():
            raise MapError(
                f"map {name} is a palette image, whose numbers are no levels (often class ids); save it as 8-bit grey, "
                "black where the meaning is the same and white where it changed"
            )
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        if (np.asarray(image.convert("RGBA"))[..., 3] != 255).any():
            raise MapError(
                f"map {name} is transparent in places; save it as 8-bit grey without alpha (unknown pixels need a .npy with NaN)"
            )
        image = image.convert("RGB")
    if image.mode == "1":
        return np.asarray(image).astype(np.float32)
    if image.mode in ("P", "RGB"):
        rgb = np.asarray(image.convert("RGB"))  # (H, W, 3)
        if not ((rgb[..., 0] == rgb[..., 1]) & (rgb[..., 1] == rgb[..., 2])).all():
            raise MapError(
                f"map {name} is a colour image; save the differences themselves as 8-bit grey (a heat map or a panoptic map "
                "cannot be turned back into them)"
            )
        return _of_white(rgb[..., 0], 255, name)
    if image.mode == "L":
        return _of_white(np.asarray(image), 255, name)
    if image.mode in ("I;16", "I;16B", "I;16L", "I"):
        wide = np.asarray(image).astype(np.int64)
        if wide.min() < 0 or wide.max() > 65535:
            raise MapError(f"map {name} holds integers from {wide.min()} to {wide.max()}; save 16-bit grey, 65535 is 1")
        if 0 < wide.max() <= 255:
            raise MapError(
                f"map {name} is 16-bit, where 65535 is 1, but its greatest value is {wide.max()}: an 8-bit or an id map with "
                "16 bits; save it with 8 bits"
            )
        return _of_white(wide, 65535, name)
    if image.mode == "F":
        return as_map(np.asarray(image), name)
    raise MapError(f"map {name} is of the image mode {image.mode}; save it as 8-bit grey")


def _of_white(levels: NDArray[np.generic], white: int, name: str) -> NDArray[np.float32]:
    values: NDArray[np.float32] = levels.astype(np.float32)
    if values.max() == 1:  # 1 of 255 and nothing else: a mask of zeros and ones
        raise MapError(f"map {name} holds only 0 and 1, where {white} is 1; multiply it by {white}, or save it as .npy")
    return values / np.float32(white)
