"""Means of groups and bins of predictions."""

from __future__ import annotations

import numpy as np
import pytest

from semfid.stats import Resamples, calibration_curve, group_means


def _rows(n: int = 240) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    predicted = rng.random(n)
    return (rng.random(n) < predicted).astype(float), predicted, np.array([f"s{i // 4}" for i in range(n)])


def test_group_means_against_a_bootstrap_that_repeats_rows() -> None:
    label, _, source = _rows()
    group = np.array(["b", "a", "a", "c"] * 60)
    resamples = Resamples.draw(source, 200, 0)
    found = group_means(label, group, resamples)
    assert list(found) == ["a", "b", "c"]
    for name, mean in found.items():
        drawn = []
        for times in resamples.multiplicity:
            rows = np.repeat(np.arange(len(label)), times[resamples.row_source])
            drawn.append(label[rows][group[rows] == name].mean())
        low, high = np.quantile(drawn, (0.025, 0.975))
        assert (mean.n, mean.mean) == ((group == name).sum(), pytest.approx(label[group == name].mean()))
        assert (mean.low, mean.high) == (pytest.approx(low), pytest.approx(high))


def test_a_group_of_one_source_has_no_interval_where_most_resamples_lack_it() -> None:
    source = np.array([f"s{i}" for i in range(40)])
    group = np.array(["rare"] + ["rest"] * 39)
    found = group_means(np.linspace(0, 1, 40), group, Resamples.draw(source, 100, 0))
    assert found["rare"].n == 1 and found["rest"].low < found["rest"].mean < found["rest"].high
    assert found["rare"].low == found["rare"].high == found["rare"].mean == 0.0  # one value, in 63 % of the resamples


def test_bins_hold_all_pairs_in_order() -> None:
    label, predicted, source = _rows()
    bins = calibration_curve(label, predicted, Resamples.draw(source, 50, 0))
    assert len(bins) == 10 and sum(found.label.n for found in bins) == len(label)
    assert [found.predicted for found in bins] == sorted(found.predicted for found in bins)
    order = np.argsort(predicted)
    assert bins[0].predicted == pytest.approx(predicted[order[:24]].mean())
    assert bins[-1].label.mean == pytest.approx(label[order[-24:]].mean())
    assert all(found.label.low <= found.label.mean <= found.label.high for found in bins)


def test_equal_predictions_share_a_bin() -> None:
    label, _, source = _rows()
    predicted = np.where(np.arange(len(label)) < 200, 0.0, 1.0)
    resamples = Resamples.draw(source, 50, 0)
    assert [found.label.n for found in calibration_curve(label, predicted, resamples)] == [200, 40]
    (only,) = calibration_curve(label, np.full(len(label), 0.25), resamples)
    assert (only.predicted, only.label.n) == (0.25, len(label))


def test_few_pairs_make_few_bins() -> None:
    label, predicted, source = _rows(32)
    assert len(calibration_curve(label, predicted, Resamples.draw(source, 30, 0))) == 3
    assert len(calibration_curve(label[:4], predicted[:4], Resamples.draw(source[:4], 30, 0))) == 1


def test_lengths_must_agree() -> None:
    label, predicted, source = _rows()
    resamples = Resamples.draw(source, 10, 0)
    with pytest.raises(ValueError, match="one length"):
        calibration_curve(label[1:], predicted, resamples)
    with pytest.raises(ValueError, match="one length"):
        group_means(label[1:], source[1:], resamples)
