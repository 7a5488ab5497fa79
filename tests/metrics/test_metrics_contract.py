"""One contract for every training-free metric, and each of them against an independent implementation."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pyiqa_stand_in import pyiqa_in_place
from scipy import ndimage
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from tiny_plugins import CASES, Tiny, tiny_plugins
from torch import Tensor

from metrics import TrainingFreeMetric
from metrics.memo import EmbeddingMemo
from registry import METRICS
from semfid.errors import UserError
from semfid.scoring.text import missing

Make = Callable[..., TrainingFreeMetric]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return tiny_plugins(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def make(tiny: Tiny) -> Make:
    """A metric by name, with what `CASES` says; each built once and given without what it remembers."""
    built: dict[str, Any] = {}

    def make(name: str) -> TrainingFreeMetric:
        if name == "text_difference" and missing():
            pytest.skip(missing())
        if name not in built:
            with pyiqa_in_place():
                built[name] = METRICS.build(name, **CASES.get(name, lambda tiny: {})(tiny)).eval()
        metric = built[name]
        assert isinstance(metric, TrainingFreeMetric)
        for module in metric.modules():
            for held in vars(module).values():
                if isinstance(held, EmbeddingMemo):
                    held.forget()
        return metric

    return make


RANDOM_WEIGHTS = set(CASES) - {"ms_ssim", "pyiqa"}
LEARNED = {"semfid"}  # from photos: noise in the place of a photo is beyond what it knows


def pictures(count: int = 4, size: int = 40, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Smooth references, and candidates from nearly equal to unrelated."""
    generator = torch.Generator().manual_seed(seed)
    low = torch.rand(count, 3, 8, 8, generator=generator)
    reference = torch.nn.functional.interpolate(low, size=(size, size + 6), mode="bicubic").clamp(0, 1)
    amounts = torch.logspace(-3, 0, count).view(-1, 1, 1, 1)
    noise = torch.randn(reference.shape, generator=generator)
    return reference, (reference + amounts * noise).clamp(0, 1)


@pytest.mark.parametrize("name", METRICS.names())
class TestMetricContract:
    def test_one_difference_per_pair_in_the_unit_interval(self, name: str, make: Make) -> None:
        for count in (1, 4):
            score = make(name)(*pictures(count))
            assert score.shape == (count,) and score.dtype == torch.float32
            assert ((score >= 0) & (score <= 1)).all()
        black, white = torch.zeros(1, 3, 40, 40), torch.ones(1, 3, 40, 40)
        worst = make(name)(black, white).item()
        assert 0 < worst <= 1 or (worst == 0 and make(name).coarse)

    def test_zero_at_identity(self, name: str, make: Make) -> None:
        reference, _ = pictures()
        noise = torch.rand(24, *reference.shape[1:], generator=torch.Generator().manual_seed(3))  # rounding shows
        flat = torch.cat([reference, torch.zeros_like(reference[:1]), torch.ones_like(reference[:1]), noise])
        assert (make(name)(flat, flat.clone()) == 0).all()

    def test_identical_pairs_among_others(self, name: str, make: Make) -> None:
        reference, candidate = pictures()
        candidate[2] = reference[2]
        score = make(name)(reference, candidate)
        assert score[2] == 0
        assert (score[torch.tensor([0, 1, 3])] > 0).all() or make(name).coarse

    def test_alone_or_among_others(self, name: str, make: Make) -> None:
        reference, candidate = pictures()
        together = make(name)(reference, candidate)
        alone = torch.cat([make(name)(reference[i : i + 1], candidate[i : i + 1]) for i in (2, 0, 3, 1)])
        torch.testing.assert_close(alone, together[torch.tensor([2, 0, 3, 1])], rtol=1e-5, atol=1e-5)

    def test_order(self, name: str, make: Make) -> None:
        reference, candidate = pictures()
        order = torch.tensor([2, 0, 3, 1])
        metric = make(name)
        torch.testing.assert_close(metric(reference[order], candidate[order]), metric(reference, candidate)[order])

    def test_more_damage_is_more_difference(self, name: str, make: Make) -> None:
        reference, candidate = pictures(5)
        damaged = (reference[:1] + candidate - reference).clamp(0, 1)
        score = make(name)(reference[:1].expand(5, -1, -1, -1), damaged)
        if name == "c2i":
            return  # caption and image in a random tower have nothing to do with each other
        if name in RANDOM_WEIGHTS | LEARNED:
            assert score[-1] > score[0] or make(name).coarse
        else:
            assert (score.diff() > 0).all(), "the direction of every score in this project"

    def test_symmetry(self, name: str, make: Make) -> None:
        reference, candidate = pictures()
        metric = make(name)
        there, back = metric(reference, candidate), metric(candidate, reference)
        if metric.symmetric:
            torch.testing.assert_close(there, back, rtol=1e-5, atol=1e-6)
        else:
            assert metric.coarse or not torch.allclose(there, back)

    def test_maps(self, name: str, make: Make) -> None:
        reference, candidate = pictures()
        candidate[2] = reference[2]
        metric = make(name)
        if not metric.gives_maps:
            with pytest.raises(NotImplementedError, match="gives no maps"):
                metric.maps(reference, candidate)
            return
        maps = metric.maps(reference, candidate)
        assert maps.shape == (4, 1, *reference.shape[-2:]) and maps.dtype == torch.float32
        assert ((maps >= 0) & (maps <= 1)).all() and (maps[2] == 0).all()
        assert maps[3].amax() > 0 or metric.coarse
        alone = torch.cat([metric.maps(reference[i : i + 1], candidate[i : i + 1]) for i in range(4)])
        torch.testing.assert_close(alone, maps, rtol=1e-5, atol=1e-5)
        if metric.symmetric:
            torch.testing.assert_close(metric.maps(candidate, reference), maps, rtol=1e-5, atol=1e-6)

    def test_a_map_says_where(self, name: str, make: Make) -> None:
        metric = make(name)
        if not metric.gives_maps or metric.coarse:
            return  # maps of what these pictures do not hold: tests of their own
        reference, _ = pictures()
        candidate = reference.clone()
        candidate[:, :, 10:14, 30:36] = 1 - candidate[:, :, 10:14, 30:36]
        for found in metric.maps(reference, candidate)[:, 0]:
            row, column = divmod(int(found.argmax()), found.shape[1])
            assert 8 <= row < 16 and 28 <= column < 38 and found[:2].max() < 1e-3 and found[:, :20].max() < 1e-3

    def test_inputs_are_left_alone_and_nothing_trains(self, name: str, make: Make) -> None:
        reference, candidate = pictures()
        kept = reference.clone(), candidate.clone()
        metric = make(name)
        metric(reference, candidate)
        assert torch.equal(reference, kept[0]) and torch.equal(candidate, kept[1])
        assert not any(parameter.requires_grad for parameter in metric.parameters())


class TestPsnr:
    def test_against_scikit_image(self) -> None:
        reference, candidate = pictures()
        for peak in (100.0, 60.0):
            own = METRICS.build("psnr", peak_db=peak)(reference, candidate)
            for index in range(4):
                decibel = peak_signal_noise_ratio(reference[index].numpy(), candidate[index].numpy(), data_range=1.0)
                assert own[index].item() == pytest.approx(min(1.0, max(0.0, 1 - decibel / peak)), abs=1e-5)

    @given(st.floats(1e-4, 1.0))
    def test_closed_form(self, offset: float) -> None:
        """A constant offset e has the squared error e^2, so PSNR = -20 log10 e."""
        score = METRICS.build("psnr")(torch.zeros(1, 3, 16, 16), torch.full((1, 3, 16, 16), offset))
        assert score.item() == pytest.approx(1 + 20 * math.log10(offset) / 100, abs=1e-5)

    def test_peak(self) -> None:
        with pytest.raises(UserError, match="psnr needs peak_db > 0, not 0"):
            METRICS.build("psnr", peak_db=0.0)


class TestSsim:
    def test_against_scikit_image(self) -> None:
        reference, candidate = pictures(size=48)
        own = METRICS.build("ssim")(reference, candidate)
        for index in range(4):
            similarity = structural_similarity(
                reference[index].numpy().astype(np.float64),
                candidate[index].numpy().astype(np.float64),
                data_range=1.0,
                channel_axis=0,
                gaussian_weights=True,
                sigma=1.5,
                use_sample_covariance=False,
            )
            assert own[index].item() == pytest.approx(min(1.0, 1 - similarity), abs=1e-4)

    def test_the_map_against_scikit_image(self) -> None:
        reference, candidate = pictures(size=48)
        maps = METRICS.build("ssim").maps(reference, candidate)
        for index in range(4):
            _, full = structural_similarity(
                reference[index].numpy().astype(np.float64),
                candidate[index].numpy().astype(np.float64),
                data_range=1.0,
                channel_axis=0,
                gaussian_weights=True,
                sigma=1.5,
                use_sample_covariance=False,
                full=True,
            )
            expected = np.clip(1 - full.mean(axis=0), 0, 1)[5:-5, 5:-5]  # the libraries mirror borders differently
            np.testing.assert_allclose(maps[index, 0, 5:-5, 5:-5].numpy(), expected, atol=2e-4)

    def test_a_negative_similarity_is_clipped(self) -> None:
        checker = (torch.arange(40)[:, None] + torch.arange(40)[None, :]) % 2
        reference = checker.float().expand(1, 3, -1, -1)
        assert METRICS.build("ssim")(reference, 1 - reference).item() == 1.0

    def test_images_smaller_than_the_window(self) -> None:
        ssim = METRICS.build("ssim")
        assert ssim(torch.zeros(1, 3, 11, 11), torch.rand(1, 3, 11, 11)).isfinite().all()
        with pytest.raises(UserError, match="ssim needs images of at least 11x11 pixels"):
            ssim(torch.zeros(1, 3, 10, 30), torch.rand(1, 3, 10, 30))


def naive_ms_ssim(x: np.ndarray, y: np.ndarray, exponents: list[float]) -> float:
    """Of one channel-first pair, after the paper: windows that are whole, halves by means."""

    def blur(image: np.ndarray) -> np.ndarray:
        return ndimage.gaussian_filter(image, 1.5, truncate=3.5, axes=(1, 2))[:, 5:-5, 5:-5]

    product = 1.0
    for scale, exponent in enumerate(exponents):
        mean_x, mean_y = blur(x), blur(y)
        structure = (2 * (blur(x * y) - mean_x * mean_y) + 0.03**2) / (
            blur(x * x) - mean_x**2 + blur(y * y) - mean_y**2 + 0.03**2
        )
        luminance = (2 * mean_x * mean_y + 0.01**2) / (mean_x**2 + mean_y**2 + 0.01**2)
        last = scale == len(exponents) - 1
        product *= max(0.0, float((luminance * structure if last else structure).mean())) ** exponent
        size = (x.shape[0], x.shape[1] // 2, 2, x.shape[2] // 2, 2)
        x, y = (one[:, : size[1] * 2, : size[3] * 2].reshape(size).mean(axis=(2, 4)) for one in (x, y))
    return product


class TestMsSsim:
    def test_against_a_naive_implementation(self) -> None:
        reference, candidate = pictures(size=176)
        own = METRICS.build("ms_ssim")(reference, candidate)
        for index in range(4):
            pair = (reference[index].double().numpy(), candidate[index].double().numpy())
            expected = 1 - naive_ms_ssim(*pair, [0.0448, 0.2856, 0.3001, 0.2363, 0.1333])
            assert own[index].item() == pytest.approx(min(1.0, expected), abs=1e-4)

    def test_one_scale_is_ssim(self) -> None:
        reference, candidate = pictures()
        one = METRICS.build("ms_ssim", scales=1)(reference, candidate)
        torch.testing.assert_close(one, METRICS.build("ssim")(reference, candidate), atol=1e-4, rtol=0)

    def test_small_images_and_bad_scales(self) -> None:
        with pytest.raises(UserError, match=r"5 scales need images of at least 176 .* these have 96; set scales: 4"):
            METRICS.build("ms_ssim")(torch.rand(1, 3, 96, 120), torch.rand(1, 3, 96, 120))
        METRICS.build("ms_ssim", scales=4)(torch.rand(1, 3, 96, 120), torch.rand(1, 3, 96, 120))
        with pytest.raises(UserError, match="scales from 1 to 5, not 6"):
            METRICS.build("ms_ssim", scales=6)


class TestPixelDifference:
    def test_against_numpy(self) -> None:
        reference, candidate = pictures()
        metric = METRICS.build("pixel_difference")
        expected = ((reference.numpy().astype(np.float64) - candidate.numpy()) ** 2).mean(axis=1)
        np.testing.assert_allclose(metric.maps(reference, candidate)[:, 0].numpy(), expected, atol=1e-6)
        np.testing.assert_allclose(metric(reference, candidate).numpy(), expected.mean(axis=(1, 2)), atol=1e-6)
