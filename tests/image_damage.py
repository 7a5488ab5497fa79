"""Small images of many kinds, ways to damage their files, and EXIF that is wrong in one place each."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageCms

SIZE = 40, 28
BOUND = 1_000_000  # pixels: a damaged head may claim more than is good for a test's memory


def photo(seed: int = 0) -> Image.Image:
    """A smooth picture with some noise, different in all corners."""
    x, y = np.meshgrid(np.arange(SIZE[0]), np.arange(SIZE[1]))
    noise = np.random.default_rng(seed).integers(0, 24, (*x.shape, 3))
    return Image.fromarray(
        (np.stack([x * 5, y * 7, 200 - x * 2 - y * 3], axis=2) + noise).clip(0, 255).astype(np.uint8)
    )


def _saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def kinds() -> dict[str, bytes]:
    """Files of one image each, by name."""
    rgb, grey = photo(), photo().convert("L")
    wide = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    floats = Image.fromarray(np.asarray(grey).astype(np.float32) / 255)
    glass = rgb.copy()
    glass.putalpha(grey)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    told = {"exif": exif_bytes([ORIENTATION]), "icc_profile": profile}
    return {
        "png": _saved(rgb, "PNG"),
        "png metadata": _saved(rgb, "PNG", **told),
        "png palette": _saved(rgb.quantize(16), "PNG", transparency=3),
        "png 16 bit": _saved(wide, "PNG"),
        "png alpha": _saved(glass, "PNG"),
        "jpeg": _saved(rgb, "JPEG"),
        "jpeg metadata": _saved(rgb, "JPEG", **told),
        "jpeg progressive": _saved(rgb, "JPEG", progressive=True),
        "jpeg cmyk": _saved(rgb.convert("CMYK"), "JPEG"),
        "mpo": _saved(rgb, "MPO", save_all=True, append_images=[photo(1).resize((12, 8))]),
        "webp": _saved(rgb, "WEBP", **told),
        "webp lossless": _saved(glass, "WEBP", lossless=True),
        "gif": _saved(rgb.quantize(32), "GIF"),
        "bmp": _saved(rgb, "BMP"),
        "tiff": _saved(rgb, "TIFF", exif=exif_bytes([ORIENTATION], b"")),
        "tiff lzw": _saved(rgb, "TIFF", compression="tiff_lzw"),
        "tiff deflate": _saved(wide, "TIFF", compression="tiff_adobe_deflate"),
        "tiff jpeg": _saved(rgb, "TIFF", compression="jpeg"),
        "tiff float": _saved(floats, "TIFF"),
        "ppm": _saved(rgb, "PPM"),
        "jpeg 2000": _saved(rgb, "JPEG2000"),
        "avif": _saved(rgb, "AVIF"),
        "ico": _saved(glass, "ICO", sizes=[SIZE]),
        "tga": _saved(rgb, "TGA", compression="tga_rle"),
        "pcx": _saved(rgb, "PCX"),
        "sgi": _saved(rgb, "SGI"),
        "dds": _saved(rgb, "DDS"),
        "im": _saved(rgb, "IM"),
    }


Damage = Callable[[bytearray, np.random.Generator], None]


def _flip(data: bytearray, rng: np.random.Generator, among: int, count: int) -> None:
    for place in rng.integers(0, min(among, len(data)), count):
        data[place] ^= int(rng.integers(1, 256))


def _zero(data: bytearray, rng: np.random.Generator) -> None:
    start = int(rng.integers(len(data)))
    length = min(int(rng.integers(1, 200)), len(data) - start)
    data[start : start + length] = bytes([int(rng.choice([0, 255]))]) * length


def _cut(data: bytearray, rng: np.random.Generator) -> None:
    del data[int(rng.integers(len(data))) :]


def _lose(data: bytearray, rng: np.random.Generator) -> None:
    start = int(rng.integers(len(data)))
    del data[start : start + int(rng.integers(1, 64))]


def _gain(data: bytearray, rng: np.random.Generator) -> None:
    start = int(rng.integers(len(data)))
    data[start:start] = rng.bytes(int(rng.integers(1, 64)))


def _exchange(data: bytearray, rng: np.random.Generator) -> None:
    one, other = sorted(int(place) for place in rng.integers(0, len(data), 2))
    length = min(32, other - one, len(data) - other)
    data[one : one + length], data[other : other + length] = data[other : other + length], data[one : one + length]


DAMAGES: dict[str, Damage] = {
    "one byte": lambda data, rng: _flip(data, rng, len(data), 1),
    "bytes": lambda data, rng: _flip(data, rng, len(data), int(rng.integers(2, 17))),
    "head": lambda data, rng: _flip(data, rng, 64, int(rng.integers(1, 5))),
    "zeros": _zero,
    "cut": _cut,
    "lost": _lose,
    "gained": _gain,
    "exchanged": _exchange,
}


def damaged(content: bytes, seed: int) -> tuple[str, bytes]:
    """One of `DAMAGES` on a file: its name and what became of the file."""
    rng = np.random.default_rng(seed)
    name = list(DAMAGES)[seed % len(DAMAGES)]
    data = bytearray(content)
    DAMAGES[name](data, rng)
    return name, bytes(data)


@dataclass(frozen=True)
class Entry:
    """An entry of an EXIF directory as it is written: tag, type, count, and its bytes (more than 4 go behind the directory)."""

    tag: int
    kind: int
    count: int
    value: bytes
    offset: int | None = None  # where it claims to lie


ORIENTATION = Entry(0x0112, 3, 1, struct.pack("<H", 6))


def exif_bytes(
    entries: list[Entry], prefix: bytes = b"Exif\0\0", count: int | None = None, behind: int = 0, cut: int = 0
) -> bytes:
    """A little-endian EXIF block.

    Args:
        count: of entries, as claimed.
        behind: where the next directory claims to lie.
        cut: bytes that are missing at its end.
    """
    rows, heap = b"", b""
    start = 8 + 2 + 12 * len(entries) + 4
    for entry in entries:
        value = entry.value
        if len(value) > 4 or entry.offset is not None:
            place = entry.offset if entry.offset is not None else start + len(heap)
            heap += value
            value = struct.pack("<I", place)
        rows += struct.pack("<HHI", entry.tag, entry.kind, entry.count) + value.ljust(4, b"\0")
    number = len(entries) if count is None else count
    block = b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", number) + rows + struct.pack("<I", behind) + heap
    return prefix + (block[:-cut] if cut else block)


def _rational(top: int, bottom: int) -> bytes:
    return struct.pack("<II", top, bottom)


def _short(tag: int, *values: int) -> Entry:
    return Entry(tag, 3, len(values), struct.pack(f"<{len(values)}H", *values))


def odd_entries() -> dict[str, list[Entry]]:
    """Directories with a sound orientation (a quarter turn), by what is wrong with another entry."""
    o = ORIENTATION
    return {
        "x resolution text": [o, Entry(0x011A, 2, 3, b"72\0")],
        "y resolution text": [o, Entry(0x011B, 2, 3, b"72\0")],
        "text in centimetres": [o, Entry(0x011A, 2, 3, b"72\0"), _short(0x0128, 3)],
        "resolution unit text": [o, Entry(0x0128, 2, 5, b"inch\0")],
        "resolution of 0": [o, Entry(0x011A, 5, 1, _rational(72, 0)), Entry(0x011B, 5, 1, _rational(0, 0))],
        "two resolutions": [o, Entry(0x011A, 5, 2, _rational(72, 1) * 2)],
        "make is a number": [o, _short(0x010F, 7)],
        "text that is no text": [o, Entry(0x010E, 2, 6, b"\xff\xfe\xfd\x80\x81\0")],
        "time is a number": [o, Entry(0x0132, 4, 1, struct.pack("<I", 5))],
        "sub-directory is text": [o, Entry(0x8769, 2, 3, b"no\0")],
        "sub-directory far away": [o, Entry(0x8769, 4, 1, struct.pack("<I", 2**31))],
        "sub-directory is itself": [o, Entry(0x8769, 4, 1, struct.pack("<I", 8))],
        "places far away": [o, Entry(0x8825, 4, 1, struct.pack("<I", 0xFFFFFFF0))],
        "places of type float": [o, Entry(0x8825, 11, 1, struct.pack("<f", 8.0))],
        "interoperability is text": [o, Entry(0xA005, 2, 3, b"no\0")],
        "unknown type": [o, Entry(0x9000, 99, 1, b"abcd")],
        "type 0": [o, Entry(0x9000, 0, 1, b"abcd")],
        "endless count": [o, Entry(0x9286, 7, 2**31 - 1, b"abcd")],
        "value far away": [o, Entry(0x9286, 7, 100, b"", offset=2**30)],
        "signed ratio of 0": [o, Entry(0x9204, 10, 1, struct.pack("<ii", -1, 0))],
        "empty comment": [o, Entry(0x9286, 7, 0, b"")],
        "a number of no number": [o, Entry(0x9290, 12, 1, struct.pack("<d", float("nan")))],
        "maker's own": [o, Entry(0x927C, 7, 300, bytes(range(256)) + bytes(44))],
        "twice": [o, o],
        "as a long number": [Entry(0x0112, 4, 1, struct.pack("<I", 6))],
    }


def exif_faults() -> dict[str, tuple[bytes, bool]]:
    """EXIF blocks by what is wrong with them, and whether their orientation can still be read."""
    o = ORIENTATION
    faults = {name: (exif_bytes(entries), True) for name, entries in odd_entries().items()}
    faults["directory behind itself"] = exif_bytes([o], behind=8), True
    faults["orientation is text"] = exif_bytes([Entry(0x0112, 2, 2, b"6\0")]), False
    faults["orientation 0"] = exif_bytes([_short(0x0112, 0)]), False
    faults["orientation 9"] = exif_bytes([_short(0x0112, 9)]), False
    faults["orientation of bytes"] = exif_bytes([Entry(0x0112, 7, 4, b"\6\0\0\0")]), False
    faults["orientation not a number"] = exif_bytes([Entry(0x0112, 11, 1, struct.pack("<f", float("nan")))]), False
    faults["empty"] = b"Exif\0\0", False
    faults["no directory"] = b"Exif\0\0XX*\0" + bytes(12), False
    faults["cut in its head"] = exif_bytes([o], cut=15), False
    return faults


EXIF_KINDS: dict[str, dict[str, Any]] = {"JPEG": {"quality": 95}, "PNG": {}, "WEBP": {"lossless": True}}


def with_exif(kind: str, exif: bytes | None) -> bytes:
    """The photo with an EXIF block, or without one."""
    return _saved(photo(), kind, **EXIF_KINDS[kind], **({} if exif is None else {"exif": exif}))


def tiff_with(entries: list[Entry]) -> bytes:
    """The photo as a plain TIFF whose only directory holds these entries too."""
    pixels = photo().tobytes()
    width, height = SIZE

    def number(tag: int, *values: int) -> Entry:
        return Entry(tag, 4, len(values), struct.pack(f"<{len(values)}I", *values))

    own = [
        number(256, width),
        number(257, height),
        number(258, 8, 8, 8),
        number(259, 1),
        number(262, 2),
        number(273, 0),
    ]
    own += [number(277, 3), number(278, height), number(279, len(pixels))]
    rows = sorted([*own, *entries], key=lambda entry: entry.tag)
    start = len(exif_bytes(rows, b""))
    rows = [number(273, start) if row.tag == 273 else row for row in rows]
    return exif_bytes(rows, b"") + pixels
