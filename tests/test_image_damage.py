"""Damaged files of every kind fail alone and in one line; metadata stops nothing. The long form is benchmarks/fuzz_images.py."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from image_damage import (
    BOUND,
    DAMAGES,
    EXIF_KINDS,
    SIZE,
    damaged,
    exif_faults,
    kinds,
    odd_entries,
    photo,
    tiff_with,
    with_exif,
)
from PIL import Image

from semfid.errors import ImageError
from semfid.io.decoding import upright_size
from semfid.io.images import read_image
from semfid.io.maps import MapError, read_map
from user_study.core.pictures import PictureError, read_picture

KINDS = kinds()
SEEDS = 6 * len(DAMAGES)
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::PIL.Image.DecompressionBombWarning")


@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_refused_in_one_line_or_not_there(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What has checksums, and what was cut short, gives the whole picture or none."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", BOUND)
    path = tmp_path / "image"
    path.write_bytes(KINDS[kind])
    whole = np.asarray(read_image(path))
    refused = 0
    for seed in range(SEEDS):
        how, data = damaged(KINDS[kind], seed)
        path.write_bytes(data)
        upright_size(path)
        try:
            found = np.asarray(read_image(path))
        except ImageError as error:
            refused += 1
            assert str(path) in str(error) and "\n" not in str(error) and "; " in str(error)
        else:
            if how == "cut" or kind.startswith("png"):
                np.testing.assert_array_equal(found, whole, err_msg=f"seed {seed}, {how}")
        try:
            read_picture(io.BytesIO(data), BOUND)
        except PictureError as error:
            assert error.code in ("undecodable", "pixels", "moving", "range") and "\n" not in str(error)
    assert refused >= SEEDS // 8


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_without_its_end_gives_the_whole_picture_or_none(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(KINDS[kind])
    whole = np.asarray(read_image(path))
    for missing in (1, 2, 3, 5, 8, 13, 21, 34, 55):
        path.write_bytes(KINDS[kind][:-missing])
        try:
            np.testing.assert_array_equal(np.asarray(read_image(path)), whole, err_msg=f"{missing} bytes are missing")
        except ImageError as error:
            assert "\n" not in str(error)


def test_jpeg_2000_with_boxes_behind_it_and_without_any(tmp_path: Path) -> None:
    content = KINDS["jpeg 2000"]
    stream = content[content.index(b"\xff\x4f\xff\x51") :]
    for name, data in (("a", content + struct.pack(">I4s", 12, b"xml ") + b"<a/>"), ("b", stream), ("c", content)):
        (tmp_path / name).write_bytes(data)
        assert read_image(tmp_path / name).size == SIZE
    (tmp_path / "d").write_bytes(stream[:-2])
    with pytest.raises(ImageError, match="its pixels are damaged or cut short"):
        read_image(tmp_path / "d")


@pytest.mark.parametrize("fault", exif_faults())
@pytest.mark.parametrize("kind", EXIF_KINDS)
def test_exif_turns_an_image_and_never_stops_it(kind: str, fault: str, tmp_path: Path) -> None:
    block, turned = exif_faults()[fault]
    path = tmp_path / "image"
    path.write_bytes(with_exif(kind, None))
    plain = np.asarray(read_image(path))
    path.write_bytes(with_exif(kind, block))
    wanted = np.rot90(plain, -1) if turned else plain
    np.testing.assert_array_equal(np.asarray(read_image(path)), wanted)
    np.testing.assert_array_equal(np.asarray(read_picture(path).image), wanted)
    assert upright_size(path) == (SIZE[::-1] if turned else SIZE)


@pytest.mark.parametrize("fault", odd_entries())
def test_odd_entries_of_a_tiff_stop_nothing(fault: str, tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(tiff_with(odd_entries()[fault]))
    wanted = np.rot90(np.asarray(photo()), -1)
    np.testing.assert_array_equal(np.asarray(read_image(tmp_path / "a.tif")), wanted)
    np.testing.assert_array_equal(np.asarray(read_picture(tmp_path / "a.tif").image), wanted)
    assert upright_size(tmp_path / "a.tif") == SIZE[::-1]


@pytest.mark.parametrize("kind", [2, 7])  # text and bytes, where a ratio should be
def test_odd_exif_of_an_avif_stops_nothing(kind: int, tmp_path: Path) -> None:
    """Its turn stands in a box of its own; Pillow writes the EXIF anew when it opens the file."""
    exif = Image.Exif()
    exif[0x0112], exif[0x011A] = 6, 72.5
    photo().save(tmp_path / "a.avif", exif=exif, quality=90)
    content = (tmp_path / "a.avif").read_bytes()
    sound = np.asarray(read_image(tmp_path / "a.avif"))
    ratio = [struct.pack(f"{order}HHI", 0x011A, 5, 1) for order in "<>"]
    odd = [struct.pack(f"{order}HHI", 0x011A, kind, 1) for order in "<>"]
    (tmp_path / "a.avif").write_bytes(content.replace(ratio[0], odd[0]).replace(ratio[1], odd[1]))
    assert (tmp_path / "a.avif").read_bytes() != content and sound.shape[:2] == SIZE
    np.testing.assert_array_equal(np.asarray(read_image(tmp_path / "a.avif")), sound)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


LONG = zlib.compress(b"x" * 3_000_000)
NOTES = {
    "long text": chunk(b"zTXt", b"workflow\0\0" + LONG),
    "long international text": chunk(b"iTXt", b"prompt\0\1\0\0\0" + LONG),
    "text of another packing": chunk(b"zTXt", b"prompt\0\7nothing"),
    "long profile": chunk(b"iCCP", b"name\0\0" + LONG),
    "profile that is none": chunk(b"iCCP", b"name\0\0nothing"),
    "short physical size": chunk(b"pHYs", b"\0\0"),
    "short gamma": chunk(b"gAMA", b"\0"),
}
SEGMENTS = {
    "short JFIF": b"\xff\xe0\0\7JFIF\0",
    "short profile": b"\xff\xe2\0\x0fICC_PROFILE\0\1",
    "profile that is none": b"\xff\xe2\0\x18ICC_PROFILE\0\1\1nothing.",
    "previews that are none": b"\xff\xe2\0\x0eMPF\0nothing.",
    "short resource": b"\xff\xed\0\x14Photoshop 3.0\x008BI",
}


@pytest.mark.parametrize("note", NOTES)
@pytest.mark.parametrize("place", [33, -12])
def test_notes_in_a_png_stop_nothing(note: str, place: int, tmp_path: Path) -> None:
    content = KINDS["png alpha"]
    (tmp_path / "a.png").write_bytes(content[:place] + NOTES[note] + content[place:])
    (tmp_path / "b.png").write_bytes(content)
    np.testing.assert_array_equal(
        np.asarray(read_image(tmp_path / "a.png")), np.asarray(read_image(tmp_path / "b.png"))
    )


@pytest.mark.parametrize("note", SEGMENTS)
@pytest.mark.parametrize("kind", ["jpeg", "jpeg cmyk", "jpeg metadata"])
def test_notes_in_a_jpeg_stop_nothing(note: str, kind: str, tmp_path: Path) -> None:
    content = KINDS[kind]
    (tmp_path / "a.jpg").write_bytes(content[:2] + SEGMENTS[note] + content[2:])
    (tmp_path / "b.jpg").write_bytes(content)
    np.testing.assert_array_equal(
        np.asarray(read_image(tmp_path / "a.jpg")), np.asarray(read_image(tmp_path / "b.jpg"))
    )


def test_pixels_of_a_png_are_held_against_their_checksum(tmp_path: Path) -> None:
    """zlib's own sum stands behind the last pixel, where Pillow no longer reads."""
    content = bytearray(KINDS["png"])
    content[content.index(b"IEND") - 8 - 1] ^= 1  # the last byte of the checksum, nothing else
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(ImageError, match=r"a\.png is corrupt: its pixels are damaged or cut short; replace it"):
        read_image(tmp_path / "a.png")
    several = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    Image.fromarray(noise).save(several, "PNG")  # more than one chunk of pixels
    assert several.getvalue().count(b"IDAT") > 1
    (tmp_path / "b.png").write_bytes(several.getvalue())
    np.testing.assert_array_equal(np.asarray(read_image(tmp_path / "b.png")), noise)


def test_damaged_maps_are_refused_in_one_line(tmp_path: Path) -> None:
    """numpy reads the head of its files as Python: damage there is an error of Python's own reader."""
    buffer = io.BytesIO()
    np.save(buffer, np.random.default_rng(0).random(SIZE, dtype=np.float32))
    content, path, refused = buffer.getvalue(), tmp_path / "a.npy", 0
    for seed in range(400):
        path.write_bytes(damaged(content[:128], seed)[1] + content[128:])
        try:
            read_map(path)
        except MapError as error:
            refused += 1
            assert "a.npy" in str(error) and "\n" not in str(error)
    assert refused > 200
    np.savez(tmp_path / "b.npy", a=np.zeros(3))
    (tmp_path / "b.npy.npz").rename(tmp_path / "b.npy")
    with pytest.raises(MapError, match=r"it is an archive of arrays; write it again with numpy\.save, one array"):
        read_map(tmp_path / "b.npy")


def test_the_kinds_are_what_they_are_called() -> None:
    assert len(KINDS) >= 20 and len({content[:12] + bytes([len(content) % 256]) for content in KINDS.values()}) == len(
        KINDS
    )
    assert len(exif_faults()) >= 30 and photo().size == SIZE
