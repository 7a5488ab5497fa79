"""Filters of objects against naive loops, and masks against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from data_tools.builders.core.coco import Instance, Photo
from data_tools.builders.core.instance_filters import (
    Filters,
    connected_share,
    fault_of_annotation,
    fault_of_mask,
    overlapped_share,
    sharpness_of,
)
from data_tools.builders.core.masks import box_of, dilate, feathered, pasted, shaped
from semfid.errors import UserError
from semfid.settings import validate

PHOTO = Photo(1, "a.jpg", 640, 480, "", "", "")


def instance(
    box: tuple[float, float, float, float] = (100, 100, 200, 150), area: float = 20000, crowd: bool = False
) -> Instance:
    return Instance(5, 1, "dog", box, area, crowd)


def blobs(seed: int, shape: tuple[int, int] = (40, 50), level: float = 0.0) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal(shape)
    return ndimage.gaussian_filter(noise, 2) > level


@pytest.mark.parametrize(
    ("one", "fault"),
    [
        (instance(), None),
        (instance(crowd=True), "crowd"),
        (instance(area=0.0199 * 640 * 480), "area"),
        (instance(area=0.02 * 640 * 480), None),
        (instance(area=0.4001 * 640 * 480), "area"),
        (instance((100, 100, 63.9, 150)), "box_side"),
        (instance((100, 100, 64, 150)), None),
        (instance((7.9, 100, 200, 150)), "border"),
        (instance((8, 8, 200, 150)), None),
        (instance((433, 100, 200, 150)), "border"),
        (instance((432, 322, 200, 150)), None),
        (instance((432, 323, 200, 150)), "border"),
    ],
)
def test_annotations_at_the_documented_limits(one: Instance, fault: str | None) -> None:
    assert fault_of_annotation(PHOTO, one, Filters()) == fault


def test_small_photos_and_categories() -> None:
    small = Photo(1, "a.jpg", 383, 600, "", "", "")
    assert fault_of_annotation(small, instance((20, 20, 100, 100), 8000), Filters()) == "short_side"
    assert fault_of_annotation(PHOTO, instance(), Filters(categories=("cat",))) == "category"
    assert fault_of_annotation(PHOTO, instance(crowd=True), Filters(crowd=True)) is None


@pytest.mark.parametrize("seed", range(8))
def test_connected_share_is_that_of_the_largest_part(seed: int) -> None:
    mask = blobs(seed, level=0.1)
    parts, count = ndimage.label(mask, np.ones((3, 3)))
    sizes = [int((parts == index).sum()) for index in range(1, count + 1)]
    assert count > 1 and connected_share(mask) == pytest.approx(max(sizes) / sum(sizes))
    assert connected_share(np.zeros((4, 4), bool)) == 0.0


@pytest.mark.parametrize("seed", range(4))
def test_overlap_counts_each_pixel_once(seed: int) -> None:
    mask, others = blobs(seed), [blobs(seed + 10), blobs(seed + 20)]
    covered = 0
    for row in range(mask.shape[0]):
        for column in range(mask.shape[1]):
            covered += bool(mask[row, column] and any(other[row, column] for other in others))
    assert overlapped_share(mask, others) == pytest.approx(covered / mask.sum())


def test_faults_of_masks() -> None:
    mask = np.zeros((40, 40), bool)
    mask[5:25, 5:25] = True
    apart = mask.copy()
    apart[35:40, 30:39] = True  # 45 of 445 pixels: 89.9 % in one piece
    assert fault_of_mask(mask, [], Filters()) is None
    assert fault_of_mask(apart, [], Filters()) == "connected"
    cover = np.zeros_like(mask)
    cover[5:25, 5:9] = True  # 20 %
    assert fault_of_mask(mask, [cover], Filters()) is None
    cover[5, 9] = True
    assert fault_of_mask(mask, [cover], Filters()) == "overlap"
    assert fault_of_mask(np.zeros_like(mask), [], Filters()) == "connected"


def test_sharpness_is_the_variance_of_the_laplacian() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (30, 41, 3), dtype=np.uint8)
    luma = np.rint(picture @ np.array([0.299, 0.587, 0.114])).astype(np.float64)
    reference = ndimage.convolve(luma, np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]]), mode="mirror").var()
    assert sharpness_of(picture) == pytest.approx(reference, rel=0.01)
    blurred = np.stack([ndimage.gaussian_filter(picture[..., c], 2) for c in range(3)], -1)
    assert sharpness_of(blurred) < 0.02 * reference


def test_filters_refuse_what_cannot_be() -> None:
    with pytest.raises(UserError, match=r"filters: area=\[0\.2, 0\.2\]: must be two shares"):
        validate(Filters, {"area": [0.2, 0.2]}, "filters")
    with pytest.raises(UserError, match=r"filters: overlap=2 must be 1 or less"):
        validate(Filters, {"overlap": 2}, "filters")


def test_dilation_is_an_ellipse_of_two_percent_of_the_diagonal() -> None:
    mask = np.zeros((480, 640), bool)
    mask[240, 320] = True
    wide = dilate(mask, 0.02)
    assert box_of(wide) == (312, 232, 329, 249), "17 px at 640x480"
    rows, columns = np.mgrid[-8:9, -8:9]
    inner, outer = rows**2 + columns**2 <= 7.5**2, rows**2 + columns**2 <= 9**2
    disc = wide[232:249, 312:329]
    assert (disc[inner]).all() and not disc[~outer].any()
    assert (dilate(mask, 0.0) == mask).all()


def test_shapes() -> None:
    mask = blobs(3, (60, 80), 0.12)
    wide = dilate(mask, 0.05)
    assert (shaped(mask, "segmentation", 0.05) == mask).all() and (shaped(mask, "dilated", 0.05) == wide).all()
    box = shaped(mask, "box", 0.05)
    x0, y0, x1, y1 = box_of(wide)
    assert box.sum() == (x1 - x0) * (y1 - y0) and box[wide].all()


def test_a_feather_falls_in_a_line() -> None:
    mask = np.zeros((5, 30), bool)
    mask[:, :10] = True
    alpha = feathered(mask, 4)
    assert alpha[2].tolist() == [255] * 10 + [204, 153, 102, 51] + [0] * 16
    assert (feathered(mask, 0) == mask * 255).all()


def test_pasting_is_exact_where_alpha_is_nothing_or_all() -> None:
    rng = np.random.default_rng(0)
    source, painted = (rng.integers(0, 256, (20, 30, 3), dtype=np.uint8) for _ in range(2))
    alpha = rng.integers(0, 256, (20, 30), dtype=np.uint8)
    alpha[:5], alpha[5:10] = 0, 255
    result = pasted(source, painted, alpha)
    assert (result[:5] == source[:5]).all() and (result[5:10] == painted[5:10]).all()
    share = alpha[..., None] / 255
    assert np.abs(result - (share * painted + (1 - share) * source)).max() <= 0.5 + 1e-9
