"""Files without the metadata that Pillow stumbles over, and marks of whole pixels that it does not look at.

Pillow refuses a PNG whose texts unpack to more than a megabyte (a picture's whole workflow is often kept so) and JPEGs whose
markers for other programs are too short. Neither says anything of the pixels.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from typing import IO

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_NOTES = frozenset(
    (b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"gAMA", b"cHRM", b"sRGB", b"cICP", b"mDCV", b"cLLI", b"pHYs", b"tIME", b"bKGD", b"hIST",
     b"sBIT", b"sPLT", b"oFFs", b"pCAL", b"sCAL", b"sTER", b"dSIG", b"caBX")
)  # fmt: skip
"""Chunks that do not change a pixel as it is stored. tRNS does, and eXIf says how the picture is turned."""
_JPEG_NOTES = frozenset((0xE0, 0xE2, 0xE3, 0xE4, 0xE5, 0xE6, 0xE7, 0xE8, 0xE9, 0xEA, 0xEB, 0xEC, 0xED, 0xEF, 0xFE))
"""JFIF, profiles, previews, captions, comments. Not EXIF (0xE1) and not Adobe's (0xEE), which says what the channels are."""
_SCAN = 0xDA
_AVIF_EXIF = re.compile(rb"(infe[\x00-\xff]{8})Exif")
_RESOLUTION, _UNUSED = (282, 283, 296), 0xFDE8  # tags of TIFF; Pillow multiplies a resolution in centimetres, text too


def bare(content: bytes) -> bytes | None:
    """A PNG, JPEG, TIFF or AVIF without its notes; None where it is neither, has none, or its parts cannot be told apart."""
    try:
        if content.startswith(_PNG):
            kept = [whole for kind, whole in _chunks(content) if kind not in _PNG_NOTES or not _sound(whole)]
            found = _PNG + b"".join(kept)
        elif content.startswith(b"\xff\xd8"):
            found = _bare_jpeg(content)
        elif content[:4] in (b"II*\0", b"MM\0*"):
            found = _without_resolution(content)
        elif content[4:8] == b"ftyp":
            found = _AVIF_EXIF.sub(rb"\1free", content)  # how an AVIF is turned stands elsewhere
        else:
            return None
    except (struct.error, IndexError):
        return None
    return found if found != content else None


def pixels_are_whole(file: IO[bytes], kind: str | None) -> bool:
    """Whether the checksums of a PNG's pixels hold, and a JPEG 2000 ends as it should; True of other kinds. The place in the file
    stays where it is.
    """
    if kind not in ("PNG", "JPEG2000"):
        return True
    before = file.tell()
    try:
        return _checksums_hold(file) if kind == "PNG" else _boxes_end(file)
    finally:
        file.seek(before)


def _checksums_hold(file: IO[bytes]) -> bool:
    file.seek(len(_PNG))
    while len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        if kind == b"IEND":
            break
        if kind != b"IDAT":
            file.seek(length + 4, 1)
            continue
        found = zlib.crc32(file.read(length), zlib.crc32(kind))
        if file.read(4) != struct.pack(">I", found):
            return False
    return True


def _boxes_end(file: IO[bytes]) -> bool:
    """OpenJPEG fills what is missing; but every box says how long it is, and the stream of pixels has a mark at its end."""
    size = file.seek(0, 2)
    at = 0
    file.seek(0)
    boxed = file.read(4) != b"\xff\x4f\xff\x51"
    while boxed and at + 8 <= size:
        file.seek(at)
        length, kind = struct.unpack(">I4s", file.read(8))
        if length == 1:
            length = int.from_bytes(file.read(8), "big")
        end = size if length == 0 else at + max(length, 8)
        if end > size:
            return False
        if kind == b"jp2c":
            size = end
        at = end
    file.seek(max(0, size - 2))
    return file.read(2) == b"\xff\xd9"


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and bytes of a PNG's chunks; what is left at the end of a file that was cut short has no kind."""
    at = len(_PNG)
    while at + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, at)
        yield kind, content[at : at + length + 12]
        at += length + 12
        if kind == b"IEND":
            return
    yield b"", content[at:]


def _sound(chunk: bytes) -> bool:
    """Whether a chunk's checksum holds; one that does not may have swallowed the next."""
    return chunk[-4:] == struct.pack(">I", zlib.crc32(chunk[4:-4]))


def _bare_jpeg(content: bytes) -> bytes:
    kept, at = [content[:2]], 2
    while content[at] == 0xFF and content[at + 1] != _SCAN:
        marker, length = struct.unpack_from(">xBH", content, at)
        if marker not in _JPEG_NOTES:
            kept.append(content[at : at + 2 + length])
        at += 2 + max(length, 2)
    return b"".join([*kept, content[at:]])


def _without_resolution(content: bytes) -> bytes:
    """A TIFF whose first directory says nothing of pixels per inch."""
    order, found = "<" if content[:1] == b"I" else ">", bytearray(content)
    (at,) = struct.unpack_from(f"{order}I", content, 4)
    (count,) = struct.unpack_from(f"{order}H", content, at)
    for place in range(at + 2, at + 2 + 12 * count, 12):
        if struct.unpack_from(f"{order}H", content, place)[0] in _RESOLUTION:
            struct.pack_into(f"{order}H", found, place, _UNUSED)
    return bytes(found)
