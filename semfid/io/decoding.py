"""Opening an image file: by content, upright, whole, the first frame only; or one reason why not.

Nothing but the orientation is read of a file's metadata, and it is not written anew: `ImageOps.exif_transpose` would, and
raises on entries of a wrong type. No metadata stops an image for that reason.
"""

from __future__ import annotations

import io
import math
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageFile, UnidentifiedImageError

from semfid.io.listing import on_disk
from semfid.io.metadata import bare, pixels_are_whole

FAULTS: tuple[type[Exception], ...] = (
    OSError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError, EOFError, RuntimeError,
    AssertionError, MemoryError, BufferError, struct.error, zlib.error, Image.DecompressionBombError,
)  # fmt: skip
"""What Pillow's decoders raise on damaged files (benchmarks/fuzz_images.py), and on metadata of a wrong type."""
WHOLE_IN_FIRST = ("MPO", "PSD")  # the first frame is the photo; behind it lie previews, or the layers it is made of
REPLACE = "replace it or drop the pair"
_ORIENTATION, _SUBFILE, _WIDTH, _HEIGHT = 0x0112, 254, 256, 257
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # EXIF's numbers, and what brings such an image upright


class DecodingFault(Exception):
    """Why a file gives no image.

    Attributes:
        code: ``missing``, ``unreadable``, ``undecodable``, ``pixels`` (too many), ``moving`` (several frames), ``range``.
        text: what follows the file's name in a sentence.
        fix: what its user can do.
    """

    def __init__(self, code: str, text: str, fix: str = REPLACE) -> None:
        super().__init__(f"{text}; {fix}")
        self.code, self.text, self.fix = code, text, fix


@dataclass(frozen=True)
class Bounds:
    """What is refused before it is decoded.

    Attributes:
        pixels: most pixels; None: Pillow's own bound.
        side: longest side; None: any.
        formats: Pillow's names of the formats that are tried; None: all.
    """

    pixels: int | None = None
    side: int | None = None
    formats: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Decoded:
    """An image.

    Attributes:
        image: upright, in the mode of its file.
        profile: the bytes of its ICC profile; empty where it has none.
        turned: whether its orientation swaps width and height.
    """

    image: Image.Image
    profile: bytes = b""
    turned: bool = False


def decode(source: Path | io.BytesIO, bounds: Bounds | None = None) -> Decoded:
    """Decode a file whole.

    Raises:
        DecodingFault: missing, unreadable, damaged, cut short, too large, of several frames, or no image at all.
    """
    bounds = bounds or Bounds()
    source = on_disk(source) if isinstance(source, Path) else source
    try:
        return _decode(source, bounds)
    except FAULTS as error:
        fault = fault_of(error)
        if fault.code != "undecodable":
            raise fault from error
        without = _without_notes(source)
        if without is None:
            raise fault from error
        try:
            return _decode(without, bounds)
        except DecodingFault:
            raise
        except FAULTS:
            raise fault from error


def _decode(source: Path | io.BytesIO, bounds: Bounds) -> Decoded:
    with Image.open(source, formats=bounds.formats) as file:
        _check(file, bounds)
        early = _orientation(file) if hasattr(file, "tag_v2") else 1  # Pillow turns TIFFs itself, if it is left its tag
        file.load()
        turn = early if hasattr(file, "tag_v2") else _orientation(file)
        profile = file.info.get("icc_profile")
        image = file.copy()  # the pixels' own size: that of a TIFF is already the upright one
        turned = image.transpose(_TURNS[turn]) if turn in _TURNS else image
        return Decoded(turned, profile if isinstance(profile, bytes) else b"", turn >= 5)


def _without_notes(source: Path | io.BytesIO) -> io.BytesIO | None:
    """The file without what Pillow may have stumbled over."""
    try:
        content = source.read_bytes() if isinstance(source, Path) else source.getvalue()
    except (OSError, ValueError):  # ValueError: a zero byte in its name
        return None
    found = bare(content)
    return None if found is None else io.BytesIO(found)


def fault_of(error: Exception) -> DecodingFault:
    """One of `FAULTS` in words."""
    if isinstance(error, FileNotFoundError):
        return DecodingFault(
            "missing", "is not there", "check the path (in the pair table, relative to the table's folder)"
        )
    if isinstance(error, UnidentifiedImageError):
        return DecodingFault("undecodable", "is not an image that Pillow can read")
    if isinstance(error, Image.DecompressionBombError):
        return DecodingFault("pixels", f"is too large to decode safely: {error}", "scale it down first")
    if isinstance(error, OSError) and error.errno is not None:
        return DecodingFault("unreadable", f"cannot be read: {error.strerror}")
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return DecodingFault("undecodable", f"is corrupt: {reason}")


def upright_size(path: Path) -> tuple[int, int] | None:
    """(width, height) as seen upright, from the head of a file; None of what is no image: decoding says why."""
    path = on_disk(path)
    try:
        with Image.open(path) as file:
            tags = getattr(file, "tag_v2", None)  # of a TIFF, whose sides Pillow may have exchanged already
            width, height = file.size if tags is None else (int(tags[_WIDTH]), int(tags[_HEIGHT]))
            return (height, width) if _orientation(file) >= 5 else (width, height)
    except FAULTS:
        pass
    try:
        return decode(path).image.size  # a head that Pillow stumbles over
    except DecodingFault:
        return None


def _check(file: Image.Image, bounds: Bounds) -> None:
    """Raise a DecodingFault where a file is too large, or moves."""
    most = (
        bounds.pixels if bounds.pixels is not None else (Image.MAX_IMAGE_PIXELS or math.inf)
    )  # Pillow itself only warns
    if file.width * file.height > most or max(file.size) > (bounds.side or math.inf):
        limit = f", {most:,} at most" if bounds.pixels is not None else ""
        size = f"{file.width}x{file.height} pixels{limit}"
        raise DecodingFault("pixels", f"is too large to decode safely ({size})", "scale it down first")
    content = file.fp if isinstance(file, ImageFile.ImageFile) else None
    if content is not None and not pixels_are_whole(content, file.format):
        raise ValueError("its pixels are damaged or cut short")
    frames = _frames(file)
    if frames > 1:
        raise DecodingFault("moving", f"has {frames} frames", "save one of them as a PNG")


def _frames(file: Image.Image) -> int:
    """How many images a file holds beside previews and layers."""
    count = int(getattr(file, "n_frames", 1))
    if count < 2 or file.format in WHOLE_IN_FIRST:
        return 1
    if not hasattr(file, "tag_v2"):
        return count
    previews = []
    for number in range(count):  # pages of a TIFF say whether they are reduced copies of another
        file.seek(number)
        previews.append(bool(file.tag_v2.get(_SUBFILE, 0) & 1))
    file.seek(0)
    return count if previews[0] else count - sum(previews)


def _orientation(file: Image.Image) -> int:
    """EXIF's number of 1 to 8; 1 where there is none or it cannot be read. Takes the other entries away, so that Pillow
    does not stumble over them later.
    """
    try:
        exif = file.getexif()
        value = exif.get(_ORIENTATION, 1)
        for tag in list(exif):
            del exif[tag]
    except FAULTS:
        return 1
    return int(value) if isinstance(value, (int, float)) and value in _TURNS else 1
