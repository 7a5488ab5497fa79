"""One contract for every training-free metric, and each of them against an independent implementation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor

from metrics import TrainingFreeMetric
from registry import METRICS, UserError


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
    def metric(self, name: str) -> TrainingFreeMetric:
        made = METRICS.build(name)
        assert isinstance(made, TrainingFreeMetric)
        return made.eval()

    def test_one_difference_per_pair_in_the_unit_interval(self, name: str) -> None:
        for count in (1, 4):
            score = self.metric(name)(*pictures(count))
            assert score.shape == (count,) and score.dtype == torch.float32
            assert ((score >= 0) & (score <= 1)).all()
        black, white = torch.zeros(1, 3, 40, 40), torch.ones(1, 3, 40, 40)
        assert 0 < self.metric(name)(black, white).item() <= 1

    def test_zero_at_identity(self, name: str) -> None:
        reference, _ = pictures()
        noise = torch.rand(24, *reference.shape[1:], generator=torch.Generator().manual_seed(3))  # rounding shows
        flat = torch.cat([reference, torch.zeros_like(reference[:1]), torch.ones_like(reference[:1]), noise])
        assert (self.metric(name)(flat, flat.clone()) == 0).all()

    def test_identical_pairs_among_others(self, name: str) -> None:
        reference, candidate = pictures()
        candidate[2] = reference[2]
        score = self.metric(name)(reference, candidate)
        assert score[2] == 0 and (score[torch.tensor([0, 1, 3])] > 0).all()

    def test_alone_or_among_others(self, name: str) -> None:
        reference, candidate = pictures()
        together = self.metric(name)(reference, candidate)
        alone = torch.cat([self.metric(name)(reference[i : i + 1], candidate[i : i + 1]) for i in range(4)])
        torch.testing.assert_close(alone, together, rtol=1e-5, atol=1e-5)

    def test_order(self, name: str) -> None:
        reference, candidate = pictures()
        order = torch.tensor([2, 0, 3, 1])
        metric = self.metric(name)
        torch.testing.assert_close(metric(reference[order], candidate[order]), metric(reference, candidate)[order])

    def test_more_damage_is_more_difference(self, name: str) -> None:
        reference, candidate = pictures(5)
        score = self.metric(name)(reference[:1].expand(5, -1, -1, -1), reference[:1] + candidate - reference)
        assert (score.diff() > 0).all(), "the direction of every score in this project"

    def test_symmetry(self, name: str) -> None:
        reference, candidate = pictures()
        metric = self.metric(name)
        there, back = metric(reference, candidate), metric(candidate, reference)
        if metric.symmetric:
            torch.testing.assert_close(there, back, rtol=1e-5, atol=1e-6)
        else:
            assert not torch.allclose(there, back)

    def test_maps(self, name: str) -> None:
        reference, candidate = pictures()
        candidate[2] = reference[2]
        metric = self.metric(name)
        if not metric.gives_maps:
            with pytest.raises(NotImplementedError, match="gives no maps"):
                metric.maps(reference, candidate)
            return
        maps = metric.maps(reference, candidate)
        assert maps.shape == (4, 1, *reference.shape[-2:]) and maps.dtype == torch.float32
        assert ((maps >= 0) & (maps <= 1)).all() and (maps[2] == 0).all() and (maps[3].amax() > 0)
        alone = torch.cat([metric.maps(reference[i : i + 1], candidate[i : i + 1]) for i in range(4)])
        torch.testing.assert_close(alone, maps, rtol=1e-5, atol=1e-5)
        if metric.symmetric:
            torch.testing.assert_close(metric.maps(candidate, reference), maps, rtol=1e-5, atol=1e-6)

    def test_a_map_says_where(self, name: str) -> None:
        metric = self.metric(name)
        if not metric.gives_maps:
            return
        reference, _ = pictures()
        candidate = reference.clone()
        candidate[:, :, 10:14, 30:36] = 1 - candidate[:, :, 10:14, 30:36]
        for found in metric.maps(reference, candidate)[:, 0]:
            row, column = divmod(int(found.argmax()), found.shape[1])
            assert 8 <= row < 16 and 28 <= column < 38 and found[:2].max() < 1e-3 and found[:, :20].max() < 1e-3

    def test_inputs_are_left_alone_and_nothing_trains(self, name: str) -> None:
        reference, candidate = pictures()
        kept = reference.clone(), candidate.clone()
        metric = self.metric(name)
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


class TestPixelDifference:
    def test_against_numpy(self) -> None:
        reference, candidate = pictures()
        metric = METRICS.build("pixel_difference")
        expected = ((reference.numpy().astype(np.float64) - candidate.numpy()) ** 2).mean(axis=1)
        np.testing.assert_allclose(metric.maps(reference, candidate)[:, 0].numpy(), expected, atol=1e-6)
        np.testing.assert_allclose(metric(reference, candidate).numpy(), expected.mean(axis=(1, 2)), atol=1e-6)
