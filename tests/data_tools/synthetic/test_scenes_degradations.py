"""Degradations keep shape and meaning, and grow with their strength."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from data_tools.synthetic import DEGRADATIONS, degrade, render, sample_scene
from semfid.errors import UserError


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / max(((a.astype(float) - b.astype(float)) ** 2).mean(), 1e-3)))


@pytest.mark.parametrize("name", [*DEGRADATIONS, "resample+jpeg", "tone+noise"])
@pytest.mark.parametrize("size", [64, 101])
def test_shape_and_strength(name: str, size: int) -> None:
    images = [render(sample_scene(8, index), size).image for index in range(6)]
    means = []
    for strength in (0.0, 0.1, 0.35, 0.65, 1.0):
        values = []
        for k, image in enumerate(images):
            kept = image.copy()
            out = degrade(image, name, strength, np.random.default_rng(k))
            assert out.shape == image.shape and out.dtype == np.uint8
            assert np.array_equal(image, kept)
            again = degrade(image, name, strength, np.random.default_rng(k))
            assert np.array_equal(out, again)
            if strength == 0:
                assert np.array_equal(out, image)
            values.append(psnr(image, out))
        means.append(np.mean(values))
    assert all(a > b for a, b in pairwise(means)), means
    assert means[-1] > 10


def test_none_is_a_copy() -> None:
    image = render(sample_scene(0, 0), 64).image
    out = degrade(image, "none", 0.0, np.random.default_rng(0))
    assert np.array_equal(out, image) and not np.shares_memory(out, image)


def test_errors() -> None:
    image = np.zeros((64, 64, 3), dtype=np.uint8)
    with pytest.raises(UserError, match="did you mean 'blur'"):
        degrade(image, "blurr", 0.5, np.random.default_rng(0))
    with pytest.raises(UserError, match=r"0 \.\. 1"):
        degrade(image, "blur", 1.5, np.random.default_rng(0))
