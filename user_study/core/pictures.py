"""What researchers bring, and the one form in which pictures are shown: RGB, upright, lossless WebP, no metadata.

A picture is named by the hash of its pixels, not of its file, so that two programs that pack it differently agree.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageCms

from semfid.io.decoding import Bounds, DecodingFault
from semfid.io.images import decode_photo
from semfid.io.profiles import PROFILE_FAULTS, profile_name
from user_study.core.errors import StudyError

# not formats that call other programs
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "PPM", "JPEG2000", "AVIF")
MOST_PIXELS = 50_000_000
LONGEST_SIDE = 16_383  # of WebP
MEDIA_TYPE = "image/webp"
ENDING = "webp"


class PictureError(StudyError):
    """A file that cannot be shown; `code` says why in one word."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Picture:
    """A decoded picture.

    Attributes:
        image: mode RGB, upright.
        notes: what was changed on the way, in words.
        profile: what its file's colour profile is called; empty for sRGB or none.
    """

    image: Image.Image
    notes: tuple[str, ...] = ()
    profile: str = ""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.image.size

    def digest(self) -> str:
        """sha256 (hex) of size and pixels."""
        return pixel_hash(self.image)

    def encoded(self) -> bytes:
        """The bytes of the file that people's browsers get; equal pixels give equal bytes."""
        buffer = io.BytesIO()
        # the fast end of the encoder: a fifth larger than the slow end, ten times as fast
        self.image.save(buffer, "WEBP", lossless=True, method=0, quality=20, exact=True)
        return buffer.getvalue()


def pixel_hash(image: Image.Image) -> str:
    """sha256 (hex) of width, height and pixels of an RGB picture."""
    hashed = hashlib.sha256(f"RGB {image.width}x{image.height}\n".encode())
    hashed.update(image.tobytes())
    return hashed.hexdigest()


def read_picture(source: Path | io.BytesIO, most_pixels: int = MOST_PIXELS) -> Picture:
    """Decode a file whole, by the rules of all rooms, and bring its colours to sRGB.

    Raises:
        PictureError: ``undecodable``, ``pixels`` (too many), ``moving`` (more than one frame), ``range`` (values whose range
            is unknown), ``unreadable``.
    """
    try:
        photo = decode_photo(source, Bounds(most_pixels, LONGEST_SIDE, FORMATS), _to_srgb)
    except DecodingFault as fault:
        raise PictureError(fault.code, str(fault)) from fault
    return Picture(photo.image, photo.notes, profile_name(photo.profile))


def _to_srgb(image: Image.Image, profile: bytes) -> tuple[Image.Image, str]:
    """Browsers get no profile, so both pictures of a pair are brought to sRGB."""
    name = profile_name(profile)
    if not name:
        return image, ""
    try:
        own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        converted = ImageCms.profileToProfile(image, own, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except PROFILE_FAULTS:
        return image, "its colour profile cannot be read and is ignored"
    return (image, "") if converted is None else (converted, f"colours brought from {name} to sRGB")
