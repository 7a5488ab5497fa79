"""Whatever a photo file holds becomes upright 8-bit RGB; what holds no photo is named."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

from semfid.errors import ImageError
from semfid.io.decoding import upright_size
from semfid.io.images import file_hash, load_pixels, read_image, resize_image

Pixels = NDArray[np.uint8]


@pytest.fixture
def pixels() -> Pixels:
    """A smooth (20, 30, 3) photo whose corners all differ, so that no turn or flip goes unseen; JPEG keeps it well."""
    y, x = np.mgrid[0:20, 0:30]
    return np.stack([x * 8, y * 12, 255 - x * 4 - y * 4], axis=2).clip(0, 255).astype(np.uint8)


def shown(path: Path) -> Pixels:
    image = read_image(path)
    assert image.mode == "RGB"
    return np.asarray(image)


def close(a: Pixels, b: Pixels, mean: float = 2.0) -> bool:
    return a.shape == b.shape and float(np.abs(a.astype(int) - b.astype(int)).mean()) <= mean


class TestContents:
    def test_rgb_png_is_exact(self, tmp_path: Path, pixels: Pixels) -> None:
        Image.fromarray(pixels).save(tmp_path / "a.png")
        np.testing.assert_array_equal(shown(tmp_path / "a.png"), pixels)

    @pytest.mark.parametrize("ending", ["png", "tiff"])
    def test_16_bit_grey_keeps_its_upper_byte(self, tmp_path: Path, ending: str) -> None:
        wide = np.linspace(0, 65535, 600).astype(np.uint16).reshape(20, 30)
        Image.fromarray(wide).save(tmp_path / f"a.{ending}")
        seen = shown(tmp_path / f"a.{ending}")
        np.testing.assert_array_equal(seen, np.repeat((wide // 256)[..., None], 3, axis=2))

    def test_16_bit_rgb(self, tmp_path: Path) -> None:
        """Pillow cannot write these: the chunks are written by hand."""
        import struct
        import zlib

        wide = np.random.default_rng(0).integers(0, 65536, (5, 7, 3), dtype=np.uint16)

        def chunk(kind: bytes, body: bytes) -> bytes:
            return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

        rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in wide)
        header = struct.pack(">IIBBBBB", 7, 5, 16, 2, 0, 0, 0)
        (tmp_path / "a.png").write_bytes(
            b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
        )
        np.testing.assert_array_equal(shown(tmp_path / "a.png"), (wide // 256).astype(np.uint8))

    def test_float_tiff(self, tmp_path: Path) -> None:
        values = np.linspace(0.0, 1.0, 60, dtype=np.float32).reshape(6, 10)
        Image.fromarray(values).save(tmp_path / "a.tiff")
        assert np.abs(shown(tmp_path / "a.tiff")[..., 1].astype(int) - np.rint(values * 255).astype(int)).max() <= 1

    def test_palette_with_a_transparent_entry(self, tmp_path: Path) -> None:
        image = Image.new("P", (4, 2))
        image.putpalette([255, 0, 0, 0, 0, 255])
        image.putdata([0, 1, 0, 1, 1, 1, 0, 0])
        image.save(tmp_path / "a.png", transparency=1)
        seen = shown(tmp_path / "a.png")
        assert seen[0].tolist() == [[255, 0, 0], [255, 255, 255], [255, 0, 0], [255, 255, 255]]

    def test_plain_palette_and_gif(self, tmp_path: Path) -> None:
        image = Image.new("P", (2, 1))
        image.putpalette([1, 2, 3, 200, 100, 50])
        image.putdata([1, 0])
        for name in ("a.png", "a.gif"):
            image.save(tmp_path / name)
            assert shown(tmp_path / name).tolist() == [[[200, 100, 50], [1, 2, 3]]]

    @pytest.mark.parametrize("alpha", [0, 100, 255])
    def test_transparency_lies_over_white(self, tmp_path: Path, alpha: int) -> None:
        Image.new("RGBA", (3, 3), (10, 20, 30, alpha)).save(tmp_path / "rgba.png")
        Image.new("LA", (3, 3), (40, alpha)).save(tmp_path / "la.png")
        for name, colour in (("rgba.png", (10, 20, 30)), ("la.png", (40, 40, 40))):
            expected = [round((value * alpha + 255 * (255 - alpha)) / 255) for value in colour]
            assert np.abs(shown(tmp_path / name)[1, 1].astype(int) - expected).max() <= 1, name

    def test_a_transparent_colour(self, tmp_path: Path) -> None:
        image = Image.new("RGB", (2, 1), (9, 9, 9))
        image.putpixel((1, 0), (0, 255, 0))
        image.save(tmp_path / "a.png", transparency=(0, 255, 0))
        assert shown(tmp_path / "a.png").tolist() == [[[9, 9, 9], [255, 255, 255]]]

    def test_cmyk_jpeg(self, tmp_path: Path, pixels: Pixels) -> None:
        Image.fromarray(pixels).convert("CMYK").save(tmp_path / "a.jpg", quality=98)
        with Image.open(tmp_path / "a.jpg") as file:
            assert file.mode == "CMYK"
        assert close(shown(tmp_path / "a.jpg"), pixels)

    @pytest.mark.parametrize("mode", ["L", "1"])
    def test_grey(self, tmp_path: Path, pixels: Pixels, mode: str) -> None:
        grey = Image.fromarray(pixels).convert(mode)
        grey.save(tmp_path / "a.png")
        seen = shown(tmp_path / "a.png")
        for channel in range(3):
            np.testing.assert_array_equal(seen[..., channel], np.asarray(grey.convert("L")))

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_orientation_tag_is_applied(self, tmp_path: Path, pixels: Pixels, orientation: int) -> None:
        """What must be done to the stored rows to see the photo upright, from the Exif standard's table."""
        store: dict[int, Callable[[Pixels], Pixels]] = {
            1: lambda a: a,
            2: lambda a: a[:, ::-1],
            3: lambda a: a[::-1, ::-1],
            4: lambda a: a[::-1],
            5: lambda a: a.transpose(1, 0, 2),
            6: lambda a: np.rot90(a),  # stored turned left: shown turned right
            7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
            8: lambda a: np.rot90(a, -1),
        }
        exif = Image.Exif()
        exif[0x0112] = orientation
        stored = np.ascontiguousarray(store[orientation](pixels))
        Image.fromarray(stored).save(tmp_path / "a.jpg", exif=exif, quality=98, subsampling=0)
        Image.fromarray(stored).save(tmp_path / "a.png", exif=exif)
        assert close(shown(tmp_path / "a.jpg"), pixels)
        np.testing.assert_array_equal(shown(tmp_path / "a.png"), pixels)

    @pytest.mark.parametrize(("name", "kind"), [("a.png", "JPEG"), ("a.jpg", "PNG"), ("a.jpg", "WEBP"), ("a", "PNG")])
    def test_the_ending_may_lie(self, tmp_path: Path, pixels: Pixels, name: str, kind: str) -> None:
        Image.fromarray(pixels).save(tmp_path / name, format=kind, quality=98)
        assert close(shown(tmp_path / name), pixels, mean=4.0)

    def test_a_preview_behind_the_photo_is_not_seen(self, tmp_path: Path, pixels: Pixels) -> None:
        """Cameras put one behind the JPEG (MPO), editors a reduced page into the TIFF."""
        photo, preview = Image.fromarray(pixels), Image.new("RGB", (6, 4))
        photo.save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[preview], quality=98, subsampling=0)
        with Image.open(tmp_path / "a.jpg") as file:
            assert file.format == "MPO"
        assert close(shown(tmp_path / "a.jpg"), pixels)
        reduced = TiffImagePlugin.ImageFileDirectory_v2()
        reduced[254] = 1
        with TiffImagePlugin.AppendingTiffWriter(str(tmp_path / "a.tiff"), True) as file:
            for image, tags in ((photo, None), (preview, reduced)):
                image.save(file, "TIFF", **({"tiffinfo": tags} if tags else {}))
                file.newFrame()
        with Image.open(tmp_path / "a.tiff") as opened:
            assert opened.n_frames == 2  # type: ignore[attr-defined]
        np.testing.assert_array_equal(shown(tmp_path / "a.tiff"), pixels)

    @pytest.mark.parametrize("kind", ["TIFF", "WEBP"])
    @pytest.mark.parametrize("orientation", [2, 5, 6, 8])
    def test_orientation_of_other_kinds(self, tmp_path: Path, pixels: Pixels, kind: str, orientation: int) -> None:
        exif = Image.Exif()
        exif[0x0112] = orientation
        stored = {2: pixels[:, ::-1], 5: pixels.transpose(1, 0, 2), 6: np.rot90(pixels), 8: np.rot90(pixels, -1)}
        image = Image.fromarray(np.ascontiguousarray(stored[orientation]))
        image.save(tmp_path / "a", kind, exif=exif, lossless=True)
        np.testing.assert_array_equal(shown(tmp_path / "a"), pixels)
        assert upright_size(tmp_path / "a") == (30, 20)

    def test_real_photos(self, test_data: Callable[[str], Path]) -> None:
        photos = sorted(test_data("koniq_photos").glob("*.jpg"))[:3]
        for photo in photos:
            with Image.open(photo) as file:
                np.testing.assert_array_equal(shown(photo), np.asarray(file.convert("RGB")))


class TestBadFiles:
    def check(self, path: Path, part: str) -> None:
        with pytest.raises(ImageError) as error:
            read_image(path)
        text = str(error.value)
        assert str(path) in text and part in text and "\n" not in text, text

    def test_missing(self, tmp_path: Path) -> None:
        self.check(tmp_path / "no.png", "check the path")

    @pytest.mark.parametrize("content", [b"", b"no image at all", b"\x89PNG\r\n\x1a\n"])
    def test_no_image(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "a.png").write_bytes(content)
        self.check(tmp_path / "a.png", "replace it or drop the pair")

    @pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "BMP"])
    @pytest.mark.parametrize("share", [0.3, 0.8])
    def test_truncated(self, tmp_path: Path, kind: str, share: float) -> None:
        buffer = io.BytesIO()
        noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(noise).save(buffer, format=kind)
        (tmp_path / "a.png").write_bytes(buffer.getvalue()[: int(len(buffer.getvalue()) * share)])
        self.check(tmp_path / "a.png", "replace it or drop the pair")

    def test_flipped_bytes_in_a_png(self, tmp_path: Path, pixels: Pixels) -> None:
        Image.fromarray(pixels).save(tmp_path / "a.png")
        content = bytearray((tmp_path / "a.png").read_bytes())
        middle = content.index(b"IDAT") + 20
        content[middle : middle + 8] = bytes(255 - byte for byte in content[middle : middle + 8])
        (tmp_path / "a.png").write_bytes(bytes(content))
        self.check(tmp_path / "a.png", "is corrupt")

    def test_a_folder(self, tmp_path: Path) -> None:
        self.check(tmp_path, "Is a directory")

    @pytest.mark.parametrize(
        ("low", "high"), [(0.0, 255.0), (-0.2, 1.0), (0.0, 1.001), (0.0, 65535.0), (-1.0, 1.0), (0.0, 3e38)]
    )
    def test_floats_beyond_0_to_1_have_no_known_range(self, tmp_path: Path, low: float, high: float) -> None:
        Image.fromarray(np.linspace(low, high, 60, dtype=np.float32).reshape(6, 10)).save(tmp_path / "a.tiff")
        self.check(
            tmp_path / "a.tiff", f"holds float values from {low:g} to {high:g}, beyond [0, 1]; bring the values to"
        )

    @pytest.mark.parametrize(("low", "high"), [(-1, 200), (0, 65536), (0, 2**31 - 1)])
    def test_integers_beyond_16_bits(self, tmp_path: Path, low: int, high: int) -> None:
        Image.fromarray(np.array([[low, high]], dtype=np.int32)).save(tmp_path / "a.tiff")
        self.check(tmp_path / "a.tiff", f"holds integers from {low} to {high}, beyond 16 bits")

    def test_floats_that_are_not_finite(self, tmp_path: Path) -> None:
        Image.fromarray(np.array([[0.5, np.nan]], dtype=np.float32)).save(tmp_path / "a.tiff")
        self.check(tmp_path / "a.tiff", "has pixels that are not finite")

    @pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF", "AVIF"])
    def test_what_moves_is_refused(self, tmp_path: Path, kind: str) -> None:
        frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue", "green")]
        frames[0].save(tmp_path / "a.png", kind, save_all=True, append_images=frames[1:])
        self.check(tmp_path / "a.png", "has 3 frames; save one of them as a PNG")

    @pytest.mark.parametrize("limit", [100, 250])
    def test_a_decompression_bomb(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
        """Above the limit Pillow warns, above twice the limit it raises: both are refused."""
        Image.new("RGB", (20, 20)).save(tmp_path / "a.png")
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        self.check(tmp_path / "a.png", "is too large to decode safely")

    def test_warnings_filters_are_left_alone(self, tmp_path: Path, pixels: Pixels) -> None:
        Image.fromarray(pixels).save(tmp_path / "a.png")
        before = list(warnings.filters)
        read_image(tmp_path / "a.png")
        assert list(warnings.filters) == before


class TestResize:
    @pytest.fixture
    def striped(self) -> Image.Image:
        """120 x 60, left third red, middle green, right blue."""
        array = np.zeros((60, 120, 3), np.uint8)
        array[:, :40, 0] = array[:, 40:80, 1] = array[:, 80:, 2] = 255
        return Image.fromarray(array)

    @pytest.mark.parametrize("how", ["squash", "letterbox", "center_crop"])
    def test_square_out(self, striped: Image.Image, how: str) -> None:
        assert resize_image(striped, 48, how).size == (48, 48)  # type: ignore[arg-type]

    def test_none_keeps_the_size(self, striped: Image.Image) -> None:
        assert resize_image(striped, 48, "none") is striped

    @pytest.mark.parametrize(
        ("size", "expected"), [((48, 20), (48, 20)), ((96, 40), (48, 20)), ((31, 100), (15, 48)), ((500, 1), (48, 1))]
    )
    def test_bounded_keeps_small_images_and_the_aspect_of_large_ones(
        self, size: tuple[int, int], expected: tuple[int, int]
    ) -> None:
        image = Image.new("RGB", size)
        found = resize_image(image, 48, "bounded")
        assert found.size == expected and (found is image) == (size == expected)

    @pytest.mark.parametrize("how", ["squash", "letterbox", "center_crop", "bounded", "none"])
    def test_an_image_of_that_size_is_not_resampled(self, how: str) -> None:
        noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8))
        np.testing.assert_array_equal(np.asarray(resize_image(noise, 32, how)), np.asarray(noise))  # type: ignore[arg-type]

    def test_squash_shows_the_whole(self, striped: Image.Image) -> None:
        row = np.asarray(resize_image(striped, 48, "squash"))[24]
        assert row[2].tolist() == [255, 0, 0] and row[24].tolist() == [0, 255, 0] and row[45].tolist() == [0, 0, 255]

    def test_letterbox_keeps_the_aspect(self, striped: Image.Image) -> None:
        seen = np.asarray(resize_image(striped, 48, "letterbox"))
        assert (seen[:11] == 128).all() and (seen[37:] == 128).all(), "grey bars above and below"
        assert seen[24, 2].tolist() == [255, 0, 0] and seen[24, 45].tolist() == [0, 0, 255]

    def test_center_crop_loses_the_sides(self, striped: Image.Image) -> None:
        seen = np.asarray(resize_image(striped, 48, "center_crop"))
        share_green = (seen[24, :, 1] > 127).mean()
        assert share_green == pytest.approx(40 / 60, abs=0.05), "60 of 120 columns stay, 40 of them green"

    def test_downscaling_antialiases(self) -> None:
        """A one-pixel checkerboard becomes grey, not black or white."""
        board = (np.indices((128, 128)).sum(axis=0) % 2 * 255).astype(np.uint8)
        seen = np.asarray(resize_image(Image.fromarray(np.stack([board] * 3, axis=2)), 16, "squash"))[2:-2, 2:-2]
        assert np.abs(seen.astype(int) - 127).max() <= 3

    def test_load_pixels(self, tmp_path: Path, pixels: Pixels) -> None:
        Image.fromarray(pixels).save(tmp_path / "a.png")
        native = load_pixels(tmp_path / "a.png", 16, "none")
        np.testing.assert_array_equal(native, pixels.transpose(2, 0, 1))
        assert native.dtype == np.uint8 and native.flags.c_contiguous and native.flags.writeable
        assert load_pixels(tmp_path / "a.png", 16, "squash").shape == (3, 16, 16)


class TestFileHash:
    def test_content_decides(self, tmp_path: Path) -> None:
        block = bytes(range(256)) * 5000  # more than one block of reading
        for name, content in (("a", block), ("b", block), ("c", block[:-1] + b"x"), ("d", block[:-1])):
            (tmp_path / name).write_bytes(content)
        digests = {name: file_hash(tmp_path / name) for name in "abcd"}
        assert digests["a"] == digests["b"] and len(set(digests.values())) == 3
        assert all(len(digest) == 16 for digest in digests.values())

    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(ImageError, match=r"no image .*gone\.png: No such file"):
            file_hash(tmp_path / "gone.png")
