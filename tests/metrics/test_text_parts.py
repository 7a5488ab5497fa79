"""The parts of the reading of text: rectangles, decoding, alignment. None of it needs an OCR network."""

from __future__ import annotations

import itertools
import sys
from functools import lru_cache

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

pytest.importorskip("scipy")

from semfid.errors import UserError
from semfid.scoring import text
from semfid.scoring.text import models
from semfid.scoring.text.boxes import Box, boxes_of, smallest_rectangle
from semfid.scoring.text.lines import Column, Sign, align, combine, signs
from semfid.scoring.text.reading import Crop, Reading, cut, decode


def reading(content: str, confidence: float = 0.9, others: tuple[str, ...] = ()) -> Reading:
    count = len(content)
    places = tuple((at + 0.5) / count for at in range(count))
    return Reading(content, (confidence,) * count, places, others or ("",) * count)


points = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), min_size=1, max_size=40)


class TestBoxes:
    @given(points)
    def test_the_smallest_rectangle_against_opencv(self, corners: list[tuple[int, int]]) -> None:
        given_points = np.array(corners, dtype=np.float64)
        box = smallest_rectangle(given_points)
        _, (width, height), _ = cv2.minAreaRect(given_points.astype(np.float32))
        assert box.width * box.height == pytest.approx(width * height, rel=1e-3, abs=1e-2)
        assert -np.pi / 4 - 1e-6 <= box.angle <= np.pi / 4 + 1e-6
        turned = np.array([[np.cos(box.angle), np.sin(box.angle)], [-np.sin(box.angle), np.cos(box.angle)]])
        inside = (given_points - (box.x, box.y)) @ turned.T
        assert (np.abs(inside) <= np.array([box.width, box.height]) / 2 + 1e-6).all()

    @pytest.mark.parametrize("angle", [0, 20, -35])
    def test_a_region_is_found_and_grown(self, angle: float) -> None:
        """The unclip of a rectangle is what clipping libraries give: area * ratio / circumference on every side."""
        y, x = np.mgrid[:120, :160] + 0.5
        turn = np.radians(angle)
        along, across = (
            (x - 80) * np.cos(turn) + (y - 60) * np.sin(turn),
            (y - 60) * np.cos(turn) - (x - 80) * np.sin(turn),
        )
        drawn = ((np.abs(along) <= 35) & (np.abs(across) <= 7)).astype(np.float32)
        (box,) = boxes_of(drawn * np.float32(0.9), 0.3, 0.5, 1.6)
        grown = 70 * 14 * 1.6 / (2 * (70 + 14))
        assert (box.x, box.y) == pytest.approx((80, 60), abs=0.5)
        assert (box.width, box.height) == pytest.approx((70 + 2 * grown, 14 + 2 * grown), abs=3)
        assert np.degrees(box.angle) == pytest.approx(angle, abs=2)

    def test_faint_and_tiny_regions_are_passed_over(self) -> None:
        drawn = np.zeros((40, 60), dtype=np.float32)
        drawn[5:15, 5:30] = 0.45  # above the threshold, below the mean that is asked for
        drawn[30:32, 5:50] = 1.0  # too flat
        drawn[20:28, 40:55] = 0.9
        (box,) = boxes_of(drawn, 0.3, 0.5, 0.0)
        assert (box.x, box.y, box.width, box.height) == pytest.approx((47.5, 24.0, 14.0, 7.0))

    def test_a_part_of_a_box_lies_on_its_axis(self) -> None:
        part = Box(50, 40, 40, 10, np.pi / 2).part(0.5, 1.0)  # reads downwards
        assert (part.x, part.y, part.width, part.height) == pytest.approx((50, 50, 20, 10))

    def test_a_turned_box_is_cut_out_level(self) -> None:
        picture = np.zeros((100, 100, 3), dtype=np.uint8)
        picture[20:80, 40:60] = (255, 0, 0)
        picture[20:50, 40:60] = (0, 0, 255)  # the upper half is blue
        down = cut(Image.fromarray(picture), Box(50, 50, 60, 20, np.pi / 2), Crop(1, 1, 1))
        assert down.size == (60, 20)
        assert down.getpixel((10, 10)) == (0, 0, 255) and down.getpixel((50, 10)) == (255, 0, 0)
        wide = cut(Image.fromarray(picture), Box(50, 50, 60, 20, np.pi / 2), Crop(1, 0.5, 2, 0.5))
        assert wide.size == (60, 5)


class TestDecoding:
    @given(st.lists(st.integers(0, 3), min_size=1, max_size=20))
    def test_against_groupby(self, classes: list[int]) -> None:
        steps = np.full((len(classes), 4), 0.1, dtype=np.float32)
        steps[np.arange(len(classes)), classes] = 0.7
        found = decode(steps, ["", "a", "b", " "], extent=1.0)
        assert found.text == "".join(["", "a", "b", " "][key] for key, _ in itertools.groupby(classes))
        assert all(value == pytest.approx(0.7) for value in found.confidence)
        assert list(found.at) == sorted(found.at) and len(found.at) == len(found.text)
        assert len(found.others) == len(found.text)

    def test_what_may_be_meant_too(self) -> None:
        steps = np.array([[0.2, 0.5, 0.2, 0.05]], dtype=np.float32)
        assert decode(steps, ["", "O", "Q", "D"], extent=1.0).others == ("Q",)

    def test_places_are_shares_of_the_line(self) -> None:
        steps = np.zeros((10, 2), dtype=np.float32)
        steps[:, 0] = 0.6
        steps[4, 1] = 0.9
        assert decode(steps, ["", "a"], extent=2.0).at == pytest.approx(
            (0.9,)
        )  # the line is the left half of the steps
        assert decode(steps[:1], ["", "a"], extent=1.0).mean == 0.0


words = st.text("abco0I1é -", max_size=7)


def edit_distance(one: str, other: str) -> int:
    @lru_cache
    def distance(i: int, j: int) -> int:
        if not i or not j:
            return i + j
        same = distance(i - 1, j - 1) + (one[i - 1] != other[j - 1])
        return min(same, distance(i - 1, j) + 1, distance(i, j - 1) + 1)

    return distance(len(one), len(other))


class TestLines:
    def test_what_counts_as_a_letter(self) -> None:
        shapes = [(sign.shape, sign.place) for sign in signs(reading("É-0 Il!９"))]
        assert shapes == [("e", 0), ("o", 2), ("l", 4), ("l", 5), ("9", 7)]
        assert signs(reading("...")) == []

    @given(st.text("abc", max_size=7), st.text("abc", max_size=7))
    def test_alignment_against_a_recursion(self, one: str, other: str) -> None:
        columns = [Column({shape}) for shape in one]
        match = align(columns, [1.0] * len(one), [Sign(shape, at) for at, shape in enumerate(other)], 1.0)
        assert match.cost == edit_distance(one, other)
        assert [at for at, _ in match.steps if at is not None] == list(range(len(one)))
        assert [at for _, at in match.steps if at is not None] == list(range(len(other)))
        assert sum(match.lost) == (match.cost if one else 0)

    @given(st.lists(words, min_size=1, max_size=5))
    def test_every_reading_agrees_with_its_own_network(self, contents: list[str]) -> None:
        """This is why a candidate that equals its reference differs by exactly 0."""
        network = combine([reading(content) for content in contents])
        for content in contents:
            assert network.match(reading(content)).cost == 0.0
        assert all(0.0 <= weight <= 1.0 for weight in network.weights)

    def test_weights_say_how_far_readings_agree(self) -> None:
        network = combine([reading("EXIT"), reading("EXIT"), reading("EX1T"), reading("EXAT", 0.5)])
        assert network.pivot.text == "EXIT"
        assert network.weights == pytest.approx([0.8, 0.8, 0.675, 0.8])  # I and 1 are one shape, A is another
        assert network.match(reading("exat")).cost == 0.0  # one reading of the reference has it
        assert network.match(reading("EXOT")).cost == pytest.approx(0.675)
        assert network.match(reading("EXT")).cost == pytest.approx(0.675)
        assert network.match(reading("EXITS")).cost == pytest.approx(np.mean(network.weights))

    def test_a_character_that_may_be_meant(self) -> None:
        network = combine([reading("LOG")])
        assert network.match(reading("LOC")).cost == pytest.approx(0.9)
        assert network.match(reading("LOC", others=("", "", "Qg"))).cost == 0.0

    def test_a_character_that_few_readings_have_costs_nothing(self) -> None:
        network = combine([reading("SKIER"), reading("SKIIER"), reading("SKIER")])
        assert network.pivot.text == "SKIER" and network.match(reading("SKIIER")).cost == 0.0
        assert network.match(reading("SKIXER")).cost == pytest.approx(0.9)


class TestWhatIsMissing:
    def test_a_python_without_the_models(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "version_info", type("V", (tuple,), {"major": 3, "minor": 13})((3, 13)))
        assert not text.available()
        with pytest.raises(
            UserError, match=r"needs Python < 3\.13, and this is 3\.13.* use Python 3\.11 or 3\.12"
        ) as caught:
            text.compare_text("a.png", "b.png")
        assert "\n" not in str(caught.value)

    def test_the_extra_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "version_info", type("V", (tuple,), {"major": 3, "minor": 12})((3, 12)))
        monkeypatch.setattr(
            models.importlib.util, "find_spec", lambda name: None if name == models.PACKAGE else object()
        )
        assert models.missing() == (
            "reading text needs rapidocr-onnxruntime, which is not installed; pip install 'semfid[text]'"
        )
        assert not text.available()
