from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import published_degradation as published
import pytest
from PIL import Image
from scipy import ndimage

from data_tools.degradations import build_degradation, crop_to_multiple, degraded_like, generator_of
from data_tools.degradations import operations as do
from data_tools.degradations.kernels import anisotropic_kernel, gaussian_profile, shifted_profile
from registry import DEGRADATIONS
from semfid.errors import UserError

STRENGTHS = (0.3, 0.7, 1.0)


def photo(seed: int, height: int = 96, width: int = 128) -> np.ndarray:
    """Smooth fields, edges and fine grain, float32 in [0, 1]."""
    draw = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(draw.standard_normal((height, width, 3)), (9, 9, 0))
    edges = (ndimage.gaussian_filter(draw.standard_normal((height, width, 3)), (4, 4, 0)) > 0.02).astype(float)
    grain = ndimage.gaussian_filter(draw.standard_normal((height, width, 1)), (0.7, 0.7, 0))
    mixed = 0.5 + smooth / smooth.std() * 0.15 + 0.25 * (edges - 0.5) + 0.06 * grain
    return np.clip(mixed, 0, 1).astype(np.float32)


@pytest.mark.parametrize(
    ("size", "theta", "first", "second"), [(7, 0.0, 3.0, 0.5), (15, 1.1, 6.2, 0.04), (25, 2.9, 0.3, 7.9)]
)
def test_anisotropic_kernel_is_the_published_one(size, theta, first, second) -> None:
    ours = anisotropic_kernel(size, theta, first, second)
    np.testing.assert_allclose(ours, published.anisotropic(size, theta, first, second), atol=1e-12)


@pytest.mark.parametrize(("sigma", "factor"), [(0.1, 4), (0.7, 2), (2.4, 4)])
def test_shifted_kernel_is_the_published_one(sigma, factor) -> None:
    profile = shifted_profile(25, sigma, (factor - 1) / 2)
    np.testing.assert_allclose(
        np.outer(profile, profile), published.shifted(published.isotropic(25, sigma), factor), atol=1e-12
    )


@pytest.mark.parametrize(("height", "width"), [(40, 56), (9, 7)])  # the second is smaller than the kernel
def test_blurs_are_scipys_convolution(height, width) -> None:
    image = photo(0, height, width)
    kernel = anisotropic_kernel(25, 0.8, 6.0, 1.0)
    np.testing.assert_allclose(do.blur(image, kernel), published.convolve(image, kernel), atol=1e-6)
    lopsided = np.arange(1, 10, dtype=float).reshape(3, 3) / 45
    np.testing.assert_allclose(do.blur(image, lopsided), published.convolve(image, lopsided), atol=1e-6)
    profile = shifted_profile(25, 1.2, 1.5)
    expected = published.convolve(image, np.outer(profile, profile))
    np.testing.assert_allclose(do.blur_separable(image, profile), expected, atol=1e-6)
    np.testing.assert_allclose(do.decimate(image, profile, 4), np.clip(expected, 0, 1)[::4, ::4], atol=1e-6)


@pytest.mark.parametrize(("height", "width"), [(24, 36), (9, 7)])
def test_bicubic_half_is_the_naive_one(height, width) -> None:
    image = photo(1, height, width)
    np.testing.assert_allclose(do.shrink_bicubic(image, 2), published.bicubic_half(image), atol=1e-6)


def test_kernels_of_no_width_leave_an_image_alone() -> None:
    image = photo(2, 24, 24)
    np.testing.assert_allclose(do.blur(image, anisotropic_kernel(7, 0.4, 0.0, 0.0)), image, atol=1e-6)
    np.testing.assert_allclose(do.blur_separable(image, gaussian_profile(7, 0.0)), image, atol=1e-6)


def test_noise_has_its_level_and_covariance() -> None:
    grey = np.full((300, 300, 3), 0.5, dtype=np.float32)
    color = do.gaussian_noise(grey, 0.05, grey=False, seed=1) - 0.5
    assert color.std(axis=(0, 1)) == pytest.approx([0.05] * 3, rel=0.02)
    assert abs(np.corrcoef(color.reshape(-1, 3).T)[0, 1]) < 0.02
    same = do.gaussian_noise(grey, 0.05, grey=True, seed=1) - 0.5
    assert np.ptp(same, axis=2).max() < 1e-6
    covariance = np.array([[4.0, 1.5, 0.5], [1.5, 3.0, 1.0], [0.5, 1.0, 2.0]]) * 1e-3
    found = np.cov((do.correlated_noise(grey, covariance, seed=2) - 0.5).reshape(-1, 3).T)
    np.testing.assert_allclose(found, covariance, rtol=0.05)
    speckled = do.speckle_noise(grey * [[[1, 0.5, 0]]], 0.1, grey=False, seed=3).std(axis=(0, 1))
    assert speckled == pytest.approx([0.05, 0.025, 0.0], rel=0.03, abs=1e-6)
    shot = do.poisson_noise(grey, 1000.0, grey=False, seed=4)
    assert shot.std() == pytest.approx(np.sqrt(0.5 / 1000), rel=0.03)
    assert np.ptp(do.poisson_noise(grey, 1000.0, grey=True, seed=4), axis=2).max() < 1e-6


@pytest.mark.parametrize("seed", range(10))
def test_records_carried_out_equal_the_published_way(seed) -> None:
    image = photo(seed)
    degradation = build_degradation("bsrgan", {})
    for record in [
        *degradation.records(generator_of(7, str(seed)), STRENGTHS),
        published.draw(random.Random(str(seed))),
    ]:
        given = image.copy()
        ours = degradation.apply(given, record)
        assert (given == image).all()
        assert ours.shape == (24, 32, 3) and ours.dtype == np.float32
        theirs = published.degrade(image.copy(), record)
        assert np.abs(ours - theirs).mean() < 1e-4  # a JPEG may round one value the other way
        before = {**record, "order": record["order"].rpartition(" ")[0].replace("jpeg1", "").replace("  ", " ")}
        np.testing.assert_allclose(degradation.apply(image, before), published.degrade(image.copy(), before), atol=2e-6)


def test_draws_follow_the_published_law() -> None:
    degradation = build_degradation("bsrgan", {})
    ours = [degradation.records(generator_of(0, str(n)), [1.0])[0] for n in range(3000)]
    theirs = [published.draw(random.Random(str(n))) for n in range(3000)]  # close whole numbers give like draws
    for name in (*sorted({key for record in theirs for key in record} - {"order", "reading", "noise1_covariance"}),):
        sides = [[record[name] for record in records if name in record] for records in (ours, theirs)]
        assert len(sides[0]) == pytest.approx(len(sides[1]), abs=150), name  # four standard errors and more
        if isinstance(sides[0][0], str):
            for value in set(sides[1]):
                assert sides[0].count(value) == pytest.approx(sides[1].count(value), abs=160), (name, value)
        elif not name.endswith("seed"):
            spread = np.std(sides[1])
            error = spread * np.sqrt(1 / len(sides[0]) + 1 / len(sides[1]))
            assert np.mean(sides[0]) == pytest.approx(np.mean(sides[1]), abs=5 * error + 1e-9), name
            assert np.std(sides[0]) == pytest.approx(spread, rel=0.12, abs=1e-9), name
    for records in (ours, theirs):
        assert all(r["order"].index("shrink") < r["order"].index("fit") for r in records)
    first = [sum(r["order"].startswith("noise1") for r in records) for records in (ours, theirs)]
    assert first[0] == pytest.approx(first[1], abs=110)
    sizes = [np.mean([np.trace(np.reshape(r["noise1_covariance"], (3, 3))) for r in s if "noise1_covariance" in r])
             for s in (ours, theirs)]  # fmt: skip
    assert sizes[0] == pytest.approx(sizes[1], rel=0.1)


@pytest.mark.parametrize("name", DEGRADATIONS.names())
def test_every_degradation_keeps_the_contract(name) -> None:
    degradation = build_degradation(name, {})
    image = photo(3)
    kept = image.copy()
    drawn = generator_of(5, "a")
    records = degradation.records(drawn, STRENGTHS)
    after = drawn.random()
    alone = generator_of(5, "a")
    assert degradation.records(alone, [0.7]) == [records[1]]
    assert alone.random() == after  # the strengths asked for change nothing in what is drawn
    assert degradation.records(generator_of(5, "b"), [0.7]) != [records[1]]
    for record, strength in zip(records, STRENGTHS, strict=True):
        assert record["strength"] == strength
        assert not any(isinstance(value, dict) for value in record.values())
        small = degradation.apply(image, record)
        assert small.shape == (24, 32, 3) and small.dtype == np.float32
        assert small.min() >= 0 and small.max() <= 1
        again = degradation.apply(image, json.loads(json.dumps(record)))
        assert (small == again).all()
    assert (image == kept).all()
    assert build_degradation(name, {"factor": 2}).degrade(image, generator_of(5, "a"))[0].shape == (48, 64, 3)
    for bad in ({"factor": 3}, {"strength": 1.5}, {"strength": float("nan")}):
        with pytest.raises(UserError, match=next(iter(bad))):
            build_degradation(name, bad)
    for shape in ((95, 128), (12, 128)):
        with pytest.raises(UserError, match="multiples of 4"):
            degradation.degrade(photo(3, *shape), generator_of(5, "a"))


@pytest.mark.parametrize(
    ("name", "keywords"), [("bsrgan", {}), ("bsrgan", {"reading": "blended"}), ("bsrgan_plus", {})]
)
def test_strengths_are_ordered(name, keywords) -> None:
    degradation = build_degradation(name, keywords)
    ordered = 0
    for seed in range(50):
        image = photo(seed)
        errors = []
        for record in degradation.records(generator_of(0, str(seed)), STRENGTHS):
            large = do.enlarge_bicubic(degradation.apply(image, record), 128, 96)
            errors.append(float(np.mean((large - image) ** 2)))
        ordered += errors == sorted(errors)
    assert ordered >= (49 if name == "bsrgan" else 45)


def test_strength_nothing_is_a_plain_downsampling() -> None:
    image = photo(4)
    none = build_degradation("bsrgan", {"strength": 0.0})
    record = none.records(generator_of(0, "x"), [0.0])[0]
    assert record["jpeg2_quality"] == 95 and "jpeg1_quality" not in record and "pre_by" not in record
    assert record.get("noise1_level", 0.0) == 0.0
    blended = build_degradation("bsrgan", {"strength": 0.0, "reading": "blended"})
    np.testing.assert_allclose(blended.degrade(image, generator_of(0, "x"))[0], do.shrink_bicubic(image, 4), atol=1e-6)


def test_augmentation_keeps_size_and_follows_its_generator() -> None:
    degradation = build_degradation("bsrgan", {})
    image = do.to_bytes(photo(5, 97, 131))
    found = [degraded_like(degradation, image, np.random.default_rng(n)) for n in (1, 1, 2)]
    assert found[0].shape == image.shape and found[0].dtype == np.uint8
    assert (found[0] == found[1]).all() and (found[0] != found[2]).any()
    mild = degraded_like(degradation, image, np.random.default_rng(1), strength=0.1)
    assert np.square(mild.astype(float) - image).mean() < np.square(found[0].astype(float) - image).mean()


def test_a_photo_is_only_ever_cut() -> None:
    image = photo(6, 97, 131)
    cut = crop_to_multiple(image, 4)
    assert cut.shape == (96, 128, 3) and (cut == image[:96, :128]).all()
    assert crop_to_multiple(cut, 4).shape == cut.shape


def test_a_broken_record_is_named() -> None:
    degradation = build_degradation("bsrgan", {})
    with pytest.raises(UserError, match="blur1_kernel"):
        degradation.apply(photo(7), {"order": "blur1", "reading": "scaled"})
    with pytest.raises(UserError, match="no step 'smear'"):
        degradation.apply(photo(7), {"order": "smear", "reading": "scaled"})


def test_strengths_are_ordered_on_real_photos(test_data: Callable[[str], Path]) -> None:
    degradation = build_degradation("bsrgan", {})
    ordered = []
    for path in sorted(test_data("koniq_photos").glob("*.jpg")):
        image = do.from_bytes(np.asarray(Image.open(path).convert("RGB"))[128:384, 128:384])
        errors = []
        for record in degradation.records(generator_of(0, path.stem), STRENGTHS):
            large = do.enlarge_bicubic(degradation.apply(image, record), 256, 256)
            errors.append(float(np.mean((large - image) ** 2)))
        ordered.append(errors == sorted(errors))
    assert len(ordered) > 50 and np.mean(ordered) >= 0.98
