"""Decoding what researchers bring, and the one form in which pictures are shown: RGB, upright, lossless WebP, no metadata.

A picture is named by the hash of its pixels, not of its file, so that two programs that pack it differently agree.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from user_study.errors import StudyError

ENDINGS = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm", ".jp2", ".avif"}
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "PPM", "JPEG2000", "AVIF")  # not formats that call other programs
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
    """

    image: Image.Image
    notes: tuple[str, ...] = ()

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
    """Decode a file whole.

    Raises:
        PictureError: ``undecodable``, ``pixels`` (too many), or ``moving`` (more than one frame).
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's warning of large pictures; the bound here is our own
            with Image.open(source, formats=FORMATS) as image:
                width, height = image.size
                if width * height > most_pixels or max(width, height) > LONGEST_SIDE:
                    raise PictureError(
                        "pixels", f"{width} x {height} pixels are too many ({most_pixels:,} at most); scale it down"
                    )
                frames = getattr(image, "n_frames", 1)
                if frames > 1:
                    raise PictureError("moving", f"has {frames} frames; save one of them as a PNG")
                image.load()
                notes: list[str] = []
                upright = ImageOps.exif_transpose(image)
                if upright.size != image.size:
                    notes.append("turned upright")
                return Picture(_rgb(upright, image.info.get("icc_profile"), notes), tuple(notes))
    except PictureError:
        raise
    except (UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise PictureError("undecodable", "is no picture that can be decoded; save it as PNG, JPEG or WebP") from error
    except (OSError, ValueError, SyntaxError, EOFError, MemoryError, OverflowError, IndexError, TypeError, KeyError) as error:
        # Pillow's decoders raise all of these on damaged files
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise PictureError("undecodable", f"is damaged ({reason}); save it anew") from error


def _rgb(image: Image.Image, profile: bytes | None, notes: list[str]) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image, dtype=np.float64)
        top = 65535.0 if image.mode.startswith("I;16") or values.max(initial=0.0) > 255 else 255.0
        if image.mode == "F" and values.max(initial=0.0) <= 1.0:
            top = 1.0
        notes.append("more than 8 bits a channel: rounded to 8")
        image = Image.fromarray(np.clip(np.rint(values / top * 255), 0, 255).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        layer = image.convert("RGBA")
        if np.asarray(layer.getchannel("A")).min(initial=255) < 255:
            notes.append("transparent parts are shown on white")
        ground = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        image = Image.alpha_composite(ground, layer).convert("RGB")
    if profile and image.mode in ("RGB", "CMYK", "L"):
        image = _to_srgb(image, profile, notes)
    # a fresh picture: none of the file's metadata, palette or profile comes along
    plain = image.convert("RGB")
    return Image.frombytes("RGB", plain.size, plain.tobytes())


def _to_srgb(image: Image.Image, profile: bytes, notes: list[str]) -> Image.Image:
    """Browsers get no profile, so both pictures of a pair are brought to sRGB."""
    try:
        own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        name = ImageCms.getProfileDescription(own).strip()
        if "srgb" in name.lower():
            return image
        converted = ImageCms.profileToProfile(image, own, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        notes.append("its colour profile cannot be read and is ignored")
        return image
    if converted is None:
        return image
    notes.append(f"colours brought from {name[:60]} to sRGB")
    return converted
