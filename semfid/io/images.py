"""Decoding and resizing of photos: float32 RGB in [0, 1] whatever the file holds.

File endings are not believed: Pillow looks at the content. Orientation tags are applied; grey, palette, CMYK, 16-bit
and transparent images all become RGB. What could mean several things is refused by name: several frames, floats beyond [0, 1],
integers beyond 16 bits.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from semfid.errors import ImageError
from semfid.io.decoding import FAULTS, Bounds, DecodingFault, decode, fault_of
from semfid.io.files import content_digest

Resize = Literal["squash", "letterbox", "center_crop", "bounded", "none"]
"""How an image becomes S x S. ``squash``: the whole image, aspect ratio given up (default: nothing at the borders is
lost). ``letterbox``: the whole image, aspect kept, grey bars. ``center_crop``: short side to S, then a crop, which hides
changes at the borders. Two ways leave it another shape. ``bounded``: native size up to S, the longer side of larger images
reduced to S, aspect kept. ``none``: native size."""

DECODER = "rgb8-exif-white-1"
"""Name of the decoding rules below; part of every cache key, to be raised when they change."""

ROUNDING = 1e-5
"""How far float values may leave [0, 1]."""
_RANGE = "bring the values to [0, 1], or save 8-bit PNG"


@dataclass(frozen=True)
class Photo:
    """A decoded photo.

    Attributes:
        image: upright, mode RGB.
        profile: the bytes of its file's ICC profile; empty where it has none.
        notes: what was changed on the way, in words.
    """

    image: Image.Image
    profile: bytes = b""
    notes: tuple[str, ...] = ()


Colours = Callable[[Image.Image, bytes], tuple[Image.Image, str]]
"""An image in grey, RGB or CMYK and its ICC profile -> the image in other colours, and a note."""


def read_image(path: str | Path) -> Image.Image:
    """Decode a file to an upright 8-bit RGB image.

    Transparency is laid over white, as a browser on a white page shows it; 16-bit values keep their upper 8 bits. Colour
    profiles are not applied.

    Raises:
        ImageError: as `read_photo`; names the path.
    """
    return read_photo(path).image


def read_photo(path: str | Path) -> Photo:
    """Decode a file as `read_image`, with its colour profile.

    Raises:
        ImageError: missing, empty, truncated, or no image at all; several frames; values that have no fixed range; names
            the path.
    """
    path = Path(path)
    try:
        return decode_photo(path)
    except DecodingFault as fault:
        if fault.code == "missing":
            raise ImageError(f"no image {path}; {fault.fix}") from fault
        raise ImageError(f"{path} {fault}") from fault


def decode_photo(source: Path | io.BytesIO, bounds: Bounds | None = None, colours: Colours | None = None) -> Photo:
    """The one decoder of all rooms.

    Args:
        colours: applied where the file has a profile; None: colours stay as they are stored.

    Raises:
        DecodingFault: as `read_photo`; names no path.
    """
    decoded = decode(source, bounds)
    notes = ["turned upright"] if decoded.turned else []
    try:
        image = _opaque(_eight_bits(decoded.image, notes), notes)
        if colours is not None and decoded.profile and image.mode in ("RGB", "CMYK", "L"):
            image, note = colours(image, decoded.profile)
            notes += [note] if note else []
        rgb = image if image.mode == "RGB" else image.convert("RGB")  # which would copy it
    except FAULTS as error:
        raise fault_of(error) from error
    rgb.info.clear()  # neither palette nor metadata comes along
    return Photo(rgb, decoded.profile, tuple(notes))


def _eight_bits(image: Image.Image, notes: list[str]) -> Image.Image:
    """Wider grey images with 8 bits; raises a DecodingFault where nothing says what their values mean."""
    if not image.mode.startswith("I") and image.mode != "F":
        return image
    notes.append("more than 8 bits a channel: its upper 8 are kept")
    values = np.asarray(image)
    if not np.isfinite(values).all():
        raise DecodingFault("range", "is corrupt: it has pixels that are not finite")
    low, high = float(values.min(initial=0)), float(values.max(initial=0))
    if image.mode == "F":
        if low < -ROUNDING or high > 1 + ROUNDING:
            raise DecodingFault("range", f"holds float values from {low:g} to {high:g}, beyond [0, 1]", _RANGE)
        return Image.fromarray(np.clip(values * 255.0 + 0.5, 0, 255).astype(np.uint8))
    if low < 0 or high > 65535:
        raise DecodingFault("range", f"holds integers from {low:.0f} to {high:.0f}, beyond 16 bits", _RANGE)
    # 32-bit files say nothing of their range: small values are 8-bit ones
    shift = 0 if image.mode == "I" and high <= 255 else 8
    return Image.fromarray((values.astype(np.int64) >> shift).astype(np.uint8))


def _opaque(image: Image.Image, notes: list[str]) -> Image.Image:
    """Transparent images over white."""
    if image.mode not in ("RGBA", "LA", "PA") and "transparency" not in image.info:
        return image
    layer = image.convert("RGBA")
    if layer.getchannel("A").getextrema()[0] != 255:
        notes.append("transparent parts are shown on white")
    return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")


def resize_image(image: Image.Image, size: int, how: Resize) -> Image.Image:
    """Bring an RGB image to ``size`` x ``size`` (bicubic with antialiasing), or to the size that `how` leaves it."""
    if how == "none" or (image.size == (size, size)):
        return image
    if how == "bounded":
        inner = bounded_size(image.size, size)
        return image if inner == image.size else image.resize(inner, Image.Resampling.BICUBIC)
    if how == "squash":
        return image.resize((size, size), Image.Resampling.BICUBIC)
    if how == "letterbox":
        return ImageOps.pad(image, (size, size), Image.Resampling.BICUBIC, color=(128, 128, 128))
    return ImageOps.fit(image, (size, size), Image.Resampling.BICUBIC)


def bounded_size(size: tuple[float, float], bound: int) -> tuple[int, int]:
    """Width and height with the longer one reduced to `bound`; of an image that is small enough, its own."""
    longer = max(size)
    factor = min(1.0, bound / longer)
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def to_planes(image: Image.Image) -> NDArray[np.uint8]:
    """(3, H, W) uint8, a writable copy."""
    return np.ascontiguousarray(np.array(image).transpose(2, 0, 1))


def load_pixels(path: str | Path, size: int, how: Resize) -> NDArray[np.uint8]:
    """Read and resize; returns (3, H, W) uint8, so that workers ship a quarter of the bytes of float32.

    Raises:
        ImageError: as `read_image`.
    """
    return to_planes(resize_image(read_image(path), size, how))


def file_hash(path: str | Path) -> bytes:
    """16-byte digest of a file's bytes.

    Raises:
        ImageError: the file is missing or unreadable.
    """
    try:
        return content_digest(path)
    except OSError as error:
        raise ImageError(f"no image {path}: {error.strerror}; check the path in the pair table") from error


def pixel_hash(image: Image.Image) -> str:
    """Name of what an RGB image shows, whatever file it came from: 32 hex digits of size and pixels."""
    digest = hashlib.blake2b(f"{image.width}x{image.height}".encode(), digest_size=16)
    digest.update(image.tobytes())
    return digest.hexdigest()
