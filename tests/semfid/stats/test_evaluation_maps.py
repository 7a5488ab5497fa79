"""Metrics of maps against scikit-learn, scipy and loops over pixels."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from sklearn.metrics import average_precision_score

from semfid.stats import PooledPrecision, Resamples, map_metrics, not_distinguishable_from_best, summarise_maps

Map = NDArray[np.float64]


def naive(predicted: Map, target: Map, threshold: float = 0.5) -> dict[str, float]:
    """Pixel by pixel, and by other libraries."""
    pixels = [(float(p), float(t)) for p, t in zip(predicted.ravel(), target.ravel(), strict=True) if not math.isnan(t)]
    p, t = [a for a, _ in pixels], [b for _, b in pixels]
    changed = [b >= 0.5 for b in t]
    nan = float("nan")
    both = any(changed) and not all(changed)
    tops = [c for a, c in zip(p, changed, strict=True) if a == max(p)]
    inter = sum(a >= threshold and c for a, c in zip(p, changed, strict=True))
    union = sum(a >= threshold or c for a, c in zip(p, changed, strict=True))
    constant = len(set(p)) < 2 or len(set(t)) < 2
    return {
        "mse": sum((a - b) ** 2 for a, b in pixels) / len(pixels) if pixels else nan,
        "srcc": nan if constant else float(stats.spearmanr(p, t).statistic),
        "average_precision": float(average_precision_score(changed, p)) if both else nan,
        "iou": inter / union if union else nan,
        "hit": sum(tops) / len(tops) if both else nan,
        "changed": sum(changed) / len(pixels) if pixels else nan,
        "predicted": sum(p) / len(pixels) if pixels else nan,
    }


def agree(predicted: Map, target: Map) -> None:
    found, expected = map_metrics(predicted, target).as_dict(), naive(predicted, target)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-9, nan_ok=True), name


@given(st.integers(1, 40), st.integers(1, 12), st.sampled_from([0.0, 0.3, 1.0]), st.integers(0, 10**6))
def test_few_levels_are_full_of_ties(size: int, levels: int, unknown: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    predicted = rng.integers(0, levels, (size, 3)) / levels
    target = rng.integers(0, levels, (size, 3)) / max(1, levels - 1)
    target[rng.random(target.shape) < unknown] = np.nan
    agree(predicted, target)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 1.0])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_masks_against_continuous_predictions(share: float, kind: type) -> None:
    rng = np.random.default_rng(1)
    target = (rng.random((31, 47)) < share).astype(kind)
    agree((0.4 * target + rng.random(target.shape)).astype(kind), target)


def test_constants_and_ends() -> None:
    mask = np.zeros((4, 4))
    mask[0, :2] = 1
    flat = map_metrics(np.full((4, 4), 0.3), mask)
    assert (
        math.isnan(flat.srcc) and flat.average_precision == pytest.approx(2 / 16) and flat.hit == pytest.approx(2 / 16)
    )
    assert flat.iou == 0
    perfect = map_metrics(mask, mask)
    assert (perfect.mse, perfect.srcc, perfect.average_precision, perfect.iou, perfect.hit) == pytest.approx(
        (0, 1, 1, 1, 1)
    )
    quiet = map_metrics(np.zeros((4, 4)), np.zeros((4, 4)))
    assert quiet.mse == 0 and math.isnan(quiet.iou) and math.isnan(quiet.hit) and math.isnan(quiet.average_precision)
    assert map_metrics(np.ones((4, 4)), np.zeros((4, 4))).iou == 0, "a false alarm on an unchanged image"
    assert all(math.isnan(value) for value in map_metrics(mask, np.full((4, 4), np.nan)).as_dict().values())


def test_a_tie_group_of_65536_is_exact() -> None:
    """torchmetrics' Spearman overflows here."""
    rng = np.random.default_rng(2)
    target = np.zeros((300, 300))
    target[:80, :90] = 1
    predicted = np.where(rng.random(target.shape) < 0.9, 0.0, rng.random(target.shape))
    expected = stats.spearmanr(predicted.ravel(), target.ravel()).statistic
    assert map_metrics(predicted, target).srcc == pytest.approx(float(expected), abs=1e-12)


def test_refused() -> None:
    with pytest.raises(ValueError, match="one shape"):
        map_metrics(np.zeros((2, 3)), np.zeros((3, 2)))
    bad = np.array([[0.1, np.nan]])
    with pytest.raises(ValueError, match="1 value"):
        map_metrics(bad, np.zeros((1, 2)))
    assert map_metrics(bad, np.array([[1.0, np.nan]])).mse == pytest.approx(0.81), "not looked at where unknown"


class TestPooledPrecision:
    @pytest.mark.parametrize("squeeze", [1.0, 1e-3, -1e-3])
    def test_against_scikit_learn(self, squeeze: float) -> None:
        """Also where all predictions crowd near 0, or near 1, as a decoder's sigmoid makes them."""
        rng = np.random.default_rng(3)
        target = (rng.random((12, 40, 50)) < 0.07).astype(float)
        target[5:] = 0  # unchanged images: their pixels are false alarms
        predicted = np.clip(0.3 * target + 0.7 * rng.random(target.shape), 0, 1) * abs(squeeze)
        predicted = predicted if squeeze > 0 else 1 + predicted + squeeze
        pooled, part = PooledPrecision(), PooledPrecision()
        for number in range(12):
            (pooled if number % 2 else part).add(predicted[number].astype(np.float32), target[number])
        pooled.merge(part)
        assert pooled.counts.sum() == target.size
        expected = average_precision_score(target.ravel(), predicted.ravel())
        assert 0.1 < expected < 0.9 and pooled.value == pytest.approx(expected, abs=1e-3 if squeeze == 1 else 2e-3)
        alone = PooledPrecision()
        alone.add(predicted[:5], target[:5])
        assert alone.value > pooled.value + 0.01

    def test_unknown_pixels_ends_and_nothing(self) -> None:
        pooled = PooledPrecision()
        assert math.isnan(pooled.value)
        pooled.add(np.array([-1.0, 0.0, 1.0, 7.0, 0.5]), np.array([0.0, 0.0, 1.0, 0.0, np.nan]))
        assert pooled.counts[0].tolist() == [2, 0] and pooled.counts[-1].tolist() == [1, 1]
        assert pooled.value == 0.5 and pooled.counts.sum() == 4


class TestSummary:
    SOURCES = np.array(["a", "a", "b", "c", "c", "d"])

    def test_against_a_loop_over_resamples(self) -> None:
        rng = np.random.default_rng(4)
        values = rng.random((2, 6))
        values[:, 3] = np.nan
        values[1, 0] = np.nan
        resamples = Resamples.draw(self.SOURCES, 50, 0)
        summary = summarise_maps({"x": values}, resamples)
        assert summary.n["x"] == 4
        seeds = np.nanmean(values, axis=1)
        assert summary.mean["x"] == pytest.approx(seeds.mean()) and summary.seed_std["x"] == pytest.approx(
            seeds.std(ddof=1)
        )
        for number, counts in enumerate(resamples.multiplicity):
            rows = [k for k, source in enumerate(self.SOURCES) for _ in range(counts["abcd".index(source)])]
            with np.errstate(all="ignore"):
                expected = np.mean([np.nanmean(row[rows]) for row in values])
            assert summary.samples["x"][number] == pytest.approx(expected, nan_ok=True)

    def test_a_figure_that_exists_nowhere(self) -> None:
        summary = summarise_maps({"x": np.full((1, 6), np.nan)}, Resamples.draw(self.SOURCES, 30, 0))
        assert summary.n["x"] == 0 and math.isnan(summary.mean["x"]) and np.isnan(summary.samples["x"]).all()
        with pytest.raises(ValueError, match="must be"):
            summarise_maps({"x": np.zeros(6)}, Resamples.draw(self.SOURCES, 30, 0))

    def test_variants_are_compared_on_it(self) -> None:
        sources = np.repeat([f"s{k}" for k in range(40)], 2)
        rng = np.random.default_rng(5)
        resamples = Resamples.draw(sources, 200, 0)
        good, same, bad = rng.random(80), rng.random(80), rng.random(80) - 0.5
        found = [summarise_maps({"ap": value[None]}, resamples) for value in (good, same, bad)]
        marked, _ = not_distinguishable_from_best([f.mean["ap"] for f in found], [f.samples["ap"] for f in found])
        assert marked.tolist() == [True, True, False]
