"""Decoding and resizing of photos: float32 RGB in [0, 1] whatever the file holds.

The rules stand in `semfid.runtime.images`, which the wheel carries too; here they raise this project's errors.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from registry import UserError
from semfid.runtime import images as runtime
from semfid.runtime.errors import ImageFileError
from semfid.runtime.files import content_digest
from semfid.runtime.images import DECODER as DECODER
from semfid.runtime.images import Resize as Resize
from semfid.runtime.images import resize_image as resize_image


class ImageError(UserError):
    """An image that is missing or cannot be decoded."""


def read_image(path: str | Path) -> Image.Image:
    """Decode a file to an upright 8-bit RGB image, as `semfid.runtime.images.read_image`.

    Raises:
        ImageError: missing, empty, truncated, or no image at all; names the path.
    """
    return read_photo(path).image


def read_photo(path: str | Path) -> runtime.Photo:
    """The same with its colour profile, as `semfid.runtime.images.read_photo`.

    Raises:
        ImageError: as `read_image`.
    """
    try:
        return runtime.read_photo(path)
    except ImageFileError as error:
        raise ImageError(str(error)) from error


def load_pixels(path: str | Path, size: int, how: Resize) -> NDArray[np.uint8]:
    """Read and resize; returns (3, H, W) uint8, so that workers ship a quarter of the bytes of float32.

    Raises:
        ImageError: as `read_image`.
    """
    return runtime.to_planes(resize_image(read_image(path), size, how))


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
