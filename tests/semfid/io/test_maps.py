"""Difference maps from files: what counts as 1, what is refused, and what resizing does to them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from semfid.io.images import Resize, resize_image
from semfid.io.maps import MapError, area_average, frame_map, frame_of, read_map, resize_map

STEPS = np.arange(12, dtype=np.float32).reshape(3, 4) / 11


def save(path: Path, values: Any, mode: str | None = None) -> Path:
    if path.suffix == ".npy":
        np.save(path, values)
    else:
        image = Image.fromarray(values)
        (image if mode is None else image.convert(mode)).save(path)
    return path


class TestReading:
    @pytest.mark.parametrize(
        ("name", "values", "mode", "expected"),
        [
            ("m.png", np.round(STEPS * 255).astype(np.uint8), None, np.round(STEPS * 255) / 255),
            ("m.png", np.round(STEPS * 65535).astype(np.uint16), None, np.round(STEPS * 65535) / 65535),
            ("m.png", (STEPS > 0.5).astype(np.uint8) * 255, "1", STEPS > 0.5),
            ("m.png", np.round(STEPS * 255).astype(np.uint8), "RGB", np.round(STEPS * 255) / 255),
            ("m.png", np.round(STEPS * 255).astype(np.uint8), "RGBA", np.round(STEPS * 255) / 255),
            ("m.png", np.round(STEPS * 255).astype(np.uint8), "LA", np.round(STEPS * 255) / 255),
            ("m.tiff", STEPS, None, STEPS),
            ("m.npy", STEPS, None, STEPS),
            ("m.npy", STEPS.astype(np.float16), None, STEPS.astype(np.float16)),
            ("m.npy", STEPS.astype(np.float64) * 1.000001, None, STEPS),
            ("m.npy", STEPS > 0.5, None, STEPS > 0.5),
            ("m.npy", (STEPS > 0.5).astype(np.uint8), None, STEPS > 0.5),
            ("m.npy", (STEPS > 0.5).astype(np.int64) * 255, None, STEPS > 0.5),
            ("m.png", np.zeros((3, 4), np.uint8), None, np.zeros((3, 4))),
            ("m.png", np.zeros((3, 4), np.uint16), None, np.zeros((3, 4))),
        ],
    )
    def test_kinds(self, tmp_path: Path, name: str, values: Any, mode: str | None, expected: Any) -> None:
        found = read_map(save(tmp_path / name, values, mode))
        assert found.dtype == np.float32 and found.shape == (3, 4)
        np.testing.assert_allclose(found, expected.astype(np.float32), atol=1e-6)

    def test_unknown_pixels(self, tmp_path: Path) -> None:
        values = STEPS.astype(np.float16)
        values[1, 2] = np.nan
        found = read_map(save(tmp_path / "m.npy", values))
        assert np.argwhere(np.isnan(found)).tolist() == [[1, 2]]
        assert np.isnan(read_map(save(tmp_path / "n.npy", np.full((2, 2), np.nan, np.float32)))).all()

    def test_a_palette_of_black_and_white(self, tmp_path: Path) -> None:
        image = Image.fromarray((STEPS > 0.5).astype(np.uint8))
        palette = image.convert("P")
        palette.putpalette([0, 0, 0, 255, 255, 255])
        palette.save(tmp_path / "m.png")
        with Image.open(tmp_path / "m.png") as file:
            assert file.mode == "P"
        np.testing.assert_array_equal(read_map(tmp_path / "m.png"), (STEPS > 0.5).astype(np.float32))

    @pytest.mark.parametrize(
        ("name", "values", "says"),
        [
            ("m.npy", STEPS * 2, r"holds values from 0 to 2, outside \[0, 1\]"),
            ("m.npy", STEPS - 1, r"holds values from -1 to 0, outside \[0, 1\]"),
            ("m.npy", np.array([[np.inf, 0.0]]), r"from 0 to inf, outside \[0, 1\]"),
            ("m.npy", np.arange(12).reshape(3, 4), "integers from 0 to 11, which may be levels or ids"),
            ("m.npy", np.zeros((3, 4, 1)), r"has the shape \(3, 4, 1\); it must be \(height, width\)"),
            ("m.npy", np.zeros((0, 4)), r"has the shape \(0, 4\)"),
            ("m.npy", STEPS.astype(complex), "is of type complex128"),
            ("m.npy", np.array([["a"]], dtype=object), r"cannot be read as \.npy"),
            ("m.png", (STEPS > 0.5).astype(np.uint8), "holds only 0 and 1, where 255 is 1; multiply it by 255"),
            ("m.png", (STEPS * 200).astype(np.uint16), "is 16-bit, where 65535 is 1, but its greatest value is 200"),
            ("m.png", np.stack([STEPS * 255] * 2 + [STEPS * 0], -1).astype(np.uint8), "is a colour image"),
        ],
    )
    def test_refused(self, tmp_path: Path, name: str, values: Any, says: str) -> None:
        with pytest.raises(MapError, match=says) as error:
            read_map(save(tmp_path / name, values))
        assert "\n" not in str(error.value) and name in str(error.value)

    def test_refused_images(self, tmp_path: Path) -> None:
        path = tmp_path / "m.png"

        def refused(says: str) -> None:
            with pytest.raises(MapError, match=says) as error:
                read_map(path)
            assert "\n" not in str(error.value) and "m.png" in str(error.value)

        refused("no map .*; check the column map")
        grey = Image.fromarray((STEPS * 255).astype(np.uint8))
        grey.quantize(8).save(path)
        refused("is a palette image, whose numbers are no levels")
        see_through = grey.convert("LA")
        see_through.putpixel((0, 0), (0, 3))
        see_through.save(path)
        refused("is transparent in places")
        grey.convert("CMYK").save(path, format="TIFF")
        refused("is of the image mode CMYK")
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40), dtype=np.uint8)).save(path)
        path.write_bytes(path.read_bytes()[:300])
        refused("is corrupt")
        path.write_bytes(b"")
        refused("is not an image that Pillow can read")

    @pytest.mark.parametrize("content", [b"", b"no array", b"\x93NUMPY\x01\x00"])
    def test_a_broken_array(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "m.npy").write_bytes(content)
        with pytest.raises(MapError, match=r"m\.npy cannot be read as \.npy: .*numpy\.save"):
            read_map(tmp_path / "m.npy")
        (tmp_path / "m.pkl").write_bytes(b"")
        with pytest.raises(MapError, match=r"m\.pkl is a pickle, which can run code; save np\.save"):
            read_map(tmp_path / "m.pkl")


def naive_average(values: Any, box: tuple[float, ...], size: tuple[int, int]) -> Any:
    """Every pixel's overlap with every cell, one by one."""
    left, top, right, bottom = box
    width, height = (right - left) / size[0], (bottom - top) / size[1]
    out = np.full(size[::-1], np.nan)
    for j in range(size[1]):
        for i in range(size[0]):
            x0, y0 = left + i * width, top + j * height
            known = total = 0.0
            for v in range(max(0, math.floor(y0)), min(values.shape[0], math.ceil(y0 + height))):
                for u in range(max(0, math.floor(x0)), min(values.shape[1], math.ceil(x0 + width))):
                    part = (min(u + 1, x0 + width) - max(u, x0)) * (min(v + 1, y0 + height) - max(v, y0))
                    if part > 0 and not math.isnan(values[v, u]):
                        known += part
                        total += part * values[v, u]
            if known / (width * height) >= 0.5 - 1e-9:
                out[j, i] = total / known
    return out


class TestResizing:
    @given(
        st.integers(1, 9),
        st.integers(1, 9),
        st.integers(1, 12),
        st.integers(1, 12),
        st.floats(0, 0.6),
        st.integers(0, 99),
    )
    def test_averages_by_area(self, height: int, width: int, w: int, h: int, void: float, seed: int) -> None:
        rng = np.random.default_rng(seed)
        values = rng.random((height, width)).astype(np.float32)
        values[rng.random((height, width)) < void] = np.nan
        x, y = np.sort(rng.random(2)) * width, np.sort(rng.random(2)) * height
        for box in ((0.0, 0.0, float(width), float(height)), (x[0], y[0], x[1] + 1e-3, y[1] + 1e-3)):
            box = (box[0], box[1], min(box[2], width), min(box[3], height))
            found = area_average(values, box, (w, h))
            assert found.shape == (h, w) and found.dtype == np.float32
            np.testing.assert_allclose(found, naive_average(values, box, (w, h)), atol=2e-5)

    def test_known_answers(self) -> None:
        values = np.array([[0, 1], [1, np.nan]], np.float32)
        np.testing.assert_allclose(area_average(values, (0, 0, 2, 2), (1, 1)), [[2 / 3]])
        half = np.array([[1, np.nan]], np.float32)
        assert area_average(half, (0, 0, 2, 1), (1, 1)).tolist() == [[1.0]], "half known is known"
        less = np.array([[1, np.nan, np.nan]], np.float32)
        assert np.isnan(area_average(less, (0, 0, 3, 1), (1, 1))).all(), "more than half unknown is unknown"
        np.testing.assert_array_equal(
            area_average(np.array([[0, 1]], np.float32), (0, 0, 2, 1), (4, 2)), [[0, 0, 1, 1]] * 2
        )

    @pytest.mark.parametrize("how", ["squash", "letterbox", "center_crop", "bounded", "none"])
    @pytest.mark.parametrize("size", [(40, 24), (24, 40), (32, 32), (33, 31), (16, 16), (7, 90)])
    def test_lies_on_the_image(self, how: Resize, size: tuple[int, int]) -> None:
        """A horizontal and a vertical ramp, as an image and as maps, end up at the same places."""
        x, y = np.meshgrid(np.linspace(0, 1, size[0]), np.linspace(0, 1, size[1]))
        image = Image.fromarray((np.stack([x, y, 0 * x], -1) * 255).round().astype(np.uint8))
        seen = np.asarray(resize_image(image, 16, how)) / 255
        bars = (np.asarray(resize_image(Image.new("RGB", size, "red"), 16, how)) == 128).all(-1)
        for channel, ramp in enumerate((x, y)):
            found = resize_map(ramp.astype(np.float32), 16, how)
            assert found.shape == seen.shape[:2]
            np.testing.assert_array_equal(np.isnan(found), bars)
            inside = ~bars
            assert np.abs(found - seen[..., channel])[inside].max() < 0.06 if inside.any() else True
            assert np.abs(found - seen[..., channel])[inside].mean() < 0.02  # few pixels make steps, not ramps

    def test_flip(self) -> None:
        frame = frame_of((4, 3), 16, "none", flip=True)
        np.testing.assert_array_equal(frame_map(STEPS, frame), STEPS[:, ::-1])

    def test_another_size_in_proportion(self) -> None:
        values = np.zeros((6, 8), np.float32)
        values[2:4, 4:8] = 1
        frame = frame_of((16, 12), 4, "squash", window=(8.0, 4.0, 16.0, 8.0))
        assert frame_map(values, frame).tolist() == [[1.0] * 4] * 4

    def test_the_same_size_is_a_copy(self) -> None:
        values = STEPS[:3, :3].copy()
        found = resize_map(values, 3, "squash")
        np.testing.assert_array_equal(found, values)
        found[:] = 0
        assert values.max() > 0
