"""The places of a difference map that contribute most."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semfid.scoring.regions import LARGEST, Region, from_text, regions, to_text


def blob(size: tuple[int, int], row: int, column: int, height: float, width: float = 12.0) -> np.ndarray:
    rows, columns = np.mgrid[: size[0], : size[1]]
    return np.asarray(height * np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2 * width**2)))


def middle(region: Region) -> tuple[float, float]:
    return region.y + region.height / 2, region.x + region.width / 2


@pytest.mark.parametrize("background", [0.0, 0.3])
def test_blobs_are_found_in_the_order_of_their_share(background: float) -> None:
    size = (300, 400)
    places = [((60, 80), 0.9), ((220, 330), 0.7), ((200, 90), 0.5), ((50, 350), 0.1)]
    values = background + sum(blob(size, *place, height) for place, height in places)
    found = regions(values)
    assert len(found) == 3
    for region, (place, _) in zip(found, places, strict=False):
        assert np.hypot(*np.subtract(middle(region), place)) < 6
        assert 20 < region.width < 60 and 20 < region.height < 60, "around 2.7 standard deviations"
        inside = values[region.y : region.y + region.height, region.x : region.x + region.width].sum() / values.sum()
        assert region.share == pytest.approx(inside, abs=1e-4)
    assert [region.share for region in found] == sorted((region.share for region in found), reverse=True)


def test_one_sharp_box_is_that_box() -> None:
    values = np.zeros((512, 512), dtype=np.float32)
    values[100:140, 300:380] = 0.6
    (found,) = regions(values)
    assert found.share > 0.98
    for side, expected in zip((found.y, found.x, found.height, found.width), (100, 300, 40, 80), strict=True):
        assert abs(side - expected) <= 12, "cells of 4 pixels, smoothed"


def test_at_the_border_and_at_any_size() -> None:
    for size in ((32, 32), (33, 517), (1031, 64)):
        values = np.zeros(size)
        values[-8:, -8:] = 1.0
        (found,) = regions(values)
        assert (found.y + found.height, found.x + found.width) == size and found.share > 0.9


def test_a_wide_change_is_cut_down_to_its_core() -> None:
    values = blob((256, 256), 128, 128, 1.0, width=80.0)
    first = regions(values)[0]
    assert first.width * first.height <= LARGEST * values.size and np.hypot(*np.subtract(middle(first), (128, 128))) < 8


def test_nothing_and_everything() -> None:
    assert regions(np.zeros((64, 64))) == []
    assert regions(np.full((64, 64), -1.0)) == [] and regions(np.full((40, 40), np.nan)) == []
    (whole,) = regions(np.full((64, 80), 0.5))
    assert whole == Region(0, 0, 80, 64, 1.0)
    values = blob((64, 64), 30, 30, 1.0, 5.0)
    values[0, 0] = np.nan
    assert len(regions(values)) == 1


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.tuples(st.integers(32, 200), st.integers(32, 200)), st.integers(1, 5))
def test_boxes_are_disjoint_and_inside(seed: int, size: tuple[int, int], count: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.random(size) * rng.random() + sum(
        blob(size, int(rng.integers(size[0])), int(rng.integers(size[1])), rng.random(), 3 + 10 * rng.random())
        for _ in range(4)
    )
    found = regions(values, count)
    assert len(found) <= count
    painted = np.zeros(size, dtype=int)
    for region in found:
        assert region.x >= 0 and region.y >= 0 and region.width > 0 and region.height > 0
        assert region.x + region.width <= size[1] and region.y + region.height <= size[0]
        painted[region.y : region.y + region.height, region.x : region.x + region.width] += 1
    assert painted.max(initial=0) <= 1 and sum(region.share for region in found) <= 1.0 + 1e-3
    assert from_text(to_text(found)) == found


def test_words() -> None:
    assert Region(3, 4, 20, 10, 0.256).words() == "x 3-23, y 4-14 (26%)"
    assert to_text([]) == "" and from_text("") == []
    with pytest.raises(ValueError, match="unpack"):
        from_text("1 2")
