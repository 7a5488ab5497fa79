"""Regions, difference maps and outlines against slow and independent ways of the same."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from naive_regions import naive_regions
from PIL import Image
from scipy import ndimage
from scipy.spatial.distance import cdist

from data_tools.region_maps.difference_map import difference_map, overlapping, region_differences
from data_tools.region_maps.regions import find_regions
from models.captioners.errors import LabelError
from models.captioners.overlay import MAGENTA, contour_width, outline_region

RAW = hnp.arrays(np.int32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=14), elements=st.integers(0, 3))


class TestRegions:
    @given(RAW.filter(np.any), st.sampled_from([0.0, 0.03, 0.1, 0.3, 0.9]))
    def test_equal_to_dilation(self, raw: np.ndarray, min_area: float) -> None:
        assert np.array_equal(find_regions(raw, min_area).ids, naive_regions(raw, min_area))

    def test_equal_to_dilation_on_patches(self) -> None:
        for seed in range(4):
            draw = np.random.default_rng(seed)
            field = ndimage.gaussian_filter(draw.normal(size=(36, 48)), 1.5)
            raw = np.digitize(field, np.quantile(field, [0.1, 0.3, 0.5, 0.7])).astype(np.int32)  # 0 is void
            found = find_regions(raw, 0.01)
            assert np.array_equal(found.ids, naive_regions(raw, 0.01)) and found.count > 3
            for number, raw_id in enumerate(found.raw, start=1):  # the raw id of the largest share of a region
                assert raw_id in np.unique(raw[found.ids == number])

    def test_what_is_not_connected_is_split_and_diagonals_do_not_connect(self) -> None:
        raw = np.array([[7, 0, 7], [0, 7, 0]])
        found = find_regions(raw, 0.0)
        assert found.ids.tolist() == [[1, 0, 2], [0, 3, 0]] and found.raw == (7, 7, 7)
        assert found.ids.dtype == np.int32

    def test_longest_border_wins_and_void_is_no_neighbour(self) -> None:
        raw = np.array([[1, 1, 1, 2, 2], [1, 1, 3, 2, 2], [1, 1, 0, 2, 2], [4, 4, 0, 2, 2]])
        found = find_regions(
            raw, 0.1
        )  # 3 has two sides in common with 1, one with 2 and one with void; 4 is large enough
        assert found.ids.tolist() == [[1, 1, 1, 2, 2], [1, 1, 1, 2, 2], [1, 1, 0, 2, 2], [3, 3, 0, 2, 2]]
        assert found.raw == (1, 2, 4)

    def test_equal_borders_go_to_the_first_in_reading_order(self) -> None:
        assert find_regions(np.array([[5, 5, 9, 4, 4]]), 0.3).ids.tolist() == [[1, 1, 1, 2, 2]]

    def test_small_ones_add_up(self) -> None:
        """The smallest goes first; two that are small together are not."""
        found = find_regions(np.array([[1, 2, 2, 3, 3, 3, 3, 3]]), 0.3)
        assert found.ids.tolist() == [[1, 1, 1, 2, 2, 2, 2, 2]] and found.raw == (2, 3)

    def test_a_small_one_amid_void_stays(self) -> None:
        raw = np.zeros((20, 20), dtype=np.int64)
        raw[3, 3] = 8
        assert np.array_equal(find_regions(raw, 0.5).ids, (raw > 0).astype(int))

    def test_parts_that_a_merge_brings_together_stay_two(self) -> None:
        assert find_regions(np.array([[3, 3, 3, 5, 3, 3, 3, 3]]), 0.2).ids.tolist() == [[1, 1, 1, 1, 2, 2, 2, 2]]

    @pytest.mark.parametrize(
        ("raw", "min_area", "message"),
        [
            (np.zeros((4, 4), int), 0.1, "void everywhere"),
            (np.full((4, 4), -1), 0.1, "there is -1"),
            (np.ones((2, 2, 2), int), 0.1, r"\(H, W\)"),
            (np.ones((0, 3), int), 0.1, r"\(H, W\)"),
            (np.ones((4, 4), int), 1.0, "min_area=1"),
        ],
    )
    def test_bad_input(self, raw: np.ndarray, min_area: float, message: str) -> None:
        with pytest.raises(LabelError, match=message):
            find_regions(raw, min_area)


class TestDifferenceMap:
    def test_equal_to_the_dense_way(self) -> None:
        draw = np.random.default_rng(0)
        x, y = draw.normal(size=(5, 16)), draw.normal(size=(7, 16))
        ids_x, ids_y = draw.integers(0, 6, (30, 40)), draw.integers(0, 8, (30, 40))
        found = difference_map(ids_x, ids_y, x, y)
        pixels_x, pixels_y = np.vstack([x[:1] * np.nan, x])[ids_x], np.vstack([y[:1] * np.nan, y])[ids_y]
        cosine = (pixels_x * pixels_y).sum(2) / np.linalg.norm(pixels_x, axis=2) / np.linalg.norm(pixels_y, axis=2)
        np.testing.assert_allclose(found, np.clip(1 - cosine, 0, 1), atol=1e-6)
        assert np.array_equal(np.isnan(found), (ids_x == 0) | (ids_y == 0)) and found.dtype == np.float32
        np.testing.assert_allclose(region_differences(x, y), np.clip(cdist(x, y, "cosine"), 0, 1), atol=1e-6)

    def test_equal_vectors_give_exactly_nothing(self) -> None:
        x = np.random.default_rng(1).normal(size=(300, 384)).astype(np.float32)
        x /= np.linalg.norm(x, axis=1, keepdims=True)
        found = region_differences(x, x)
        assert (np.diag(found) == 0).all() and found[0, 1] > 0.5

    def test_near_vectors_are_not_called_equal(self) -> None:
        x = np.array([[1.0, 0.0]], dtype=np.float32)
        y = np.array([[1.0, 1e-3]], dtype=np.float32)
        assert 0 < region_differences(x, y)[0, 0] < 1e-5

    def test_unknown_embeddings(self) -> None:
        x = np.array([[0.0, 0.0], [1.0, 0.0], [np.nan, 1.0]])
        found = difference_map(np.array([[1, 2, 3, 0]]), np.array([[1, 1, 1, 1]]), x, np.array([[-1.0, 0.0]]))
        np.testing.assert_array_equal(found, [[np.nan, 1.0, np.nan, np.nan]])

    def test_bad_input(self) -> None:
        one = np.ones((1, 4))
        with pytest.raises(LabelError, match="differ in size: 3x2 and 2x3"):
            difference_map(np.ones((2, 3), int), np.ones((3, 2), int), one, one)
        with pytest.raises(LabelError, match="holds 2, but regions are numbered 1 to 1"):
            difference_map(np.full((2, 2), 2), np.ones((2, 2), int), one, one)
        with pytest.raises(LabelError, match="holds -1"):
            difference_map(np.full((2, 2), -1), np.ones((2, 2), int), one, one)

    def test_overlapping_masks(self) -> None:
        draw = np.random.default_rng(2)
        masks, vectors = draw.random((11, 12, 9)) < 0.2, draw.normal(size=(11, 6))
        ids, means = overlapping(masks, vectors)
        for row, column in np.ndindex(12, 9):
            covering = masks[:, row, column]
            if covering.any():
                np.testing.assert_allclose(means[ids[row, column] - 1], vectors[covering].mean(axis=0))
            else:
                assert ids[row, column] == 0


class TestOutline:
    def test_three_pixels_wide_around_the_border(self) -> None:
        mask = np.zeros((40, 50), dtype=bool)
        mask[10:30, 15:40] = True
        picture = np.asarray(outline_region(Image.new("RGB", (50, 40), "green"), mask))
        line = (picture == MAGENTA).all(axis=2)
        outer, inner = np.zeros_like(mask), np.zeros_like(mask)
        outer[9:31, 14:41], inner[12:28, 17:38] = True, True
        assert np.array_equal(line, outer & ~inner)
        assert (picture[~line] == (0, 128, 0)).all()

    def test_at_the_edge_of_the_image(self) -> None:
        line = (np.asarray(outline_region(Image.new("RGB", (9, 9)), np.ones((9, 9), dtype=bool))) == MAGENTA).all(
            axis=2
        )
        assert line.sum() == 81 - 25 and not line[2:7, 2:7].any()

    def test_width(self) -> None:
        assert contour_width(5, (4000, 10)) == 5 and contour_width("scaled", (1024, 768)) == 9
        assert contour_width("scaled", (100, 100)) == 3

    def test_bad_input(self) -> None:
        with pytest.raises(LabelError, match="no pixels"):
            outline_region(Image.new("RGB", (5, 5)), np.zeros((5, 5), dtype=bool))
        with pytest.raises(LabelError, match="mask is 4x5, the image 5x4"):
            outline_region(Image.new("RGB", (5, 4)), np.zeros((5, 4), dtype=bool))
