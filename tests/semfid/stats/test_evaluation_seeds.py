"""A variant over its seeds and folds."""

from __future__ import annotations

import numpy as np
import pytest

from semfid.errors import UserError
from semfid.stats.binary import BINARY
from semfid.stats.bootstrap import bootstrap_metrics, interval
from semfid.stats.metrics import score_metrics
from semfid.stats.resamples import Resamples
from semfid.stats.seeds import SUMMARISED, fold_spread, summarise

N = 90


def rows(seeds: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, Resamples]:
    generator = np.random.default_rng(0)
    y = generator.uniform(size=N)
    runs = y + 0.4 * generator.normal(size=(seeds, N))
    sources = np.array([f"s{i % 30}" for i in range(N)])
    return y, runs, sources, np.array([f"p{i}" for i in range(N)]), Resamples.draw(sources, n=100)


def test_means_over_seeds() -> None:
    y, runs, sources, pairs, resamples = rows(3)
    found = summarise(y, runs, sources, pairs, resamples)
    each = [score_metrics(y, run, sources, pairs).as_dict() for run in runs]
    drawn = [bootstrap_metrics(y, run, resamples) for run in runs]
    assert (found.n, found.sources, found.seeds, found.constant) == (N, 30, 3, False)
    assert set(found.mean) == set(found.seed_std) == set(found.interval) == set(found.samples) == set(SUMMARISED)
    for name in SUMMARISED[: -len(BINARY)]:  # these labels are shares
        values = [metric[name] for metric in each]
        assert found.mean[name] == pytest.approx(sum(values) / 3)
        assert found.seed_std[name] == pytest.approx(np.std(values, ddof=1))
        expected = sum(one[name] for one in drawn) / 3
        np.testing.assert_allclose(found.samples[name], expected, atol=1e-14)
        assert found.interval[name] == pytest.approx(interval(expected))
    assert [metric.srcc for metric in found.per_seed] == [metric["srcc"] for metric in each]


def test_one_seed_has_no_spread() -> None:
    y, runs, sources, pairs, resamples = rows(1)
    found = summarise(y, runs, sources, pairs, resamples)
    assert np.isnan(list(found.seed_std.values())).all()
    assert found.mean["srcc"] == score_metrics(y, runs[0], sources, pairs).srcc


def test_one_dead_seed_is_not_averaged_away() -> None:
    y, runs, sources, pairs, resamples = rows(3)
    runs[1] = 0.1
    found = summarise(y, runs, sources, pairs, resamples)
    assert found.constant
    for name in ("srcc", "krcc", "plcc", "plcc_logistic"):
        assert np.isnan([found.mean[name], found.seed_std[name], *found.interval[name]]).all()
        assert np.isnan(found.samples[name]).all()
    assert np.isfinite([found.mean["mse"], *found.interval["mse"]]).all()


def test_without_krcc() -> None:
    y, runs, sources, pairs, resamples = rows(2)
    found = summarise(y, runs, sources, pairs, resamples, krcc=False)
    assert np.isfinite(found.mean["krcc"]) and np.isnan(found.interval["krcc"]).all()
    assert np.isfinite(found.interval["srcc"]).all()


def test_errors() -> None:
    y, runs, sources, pairs, resamples = rows(2)
    with pytest.raises(ValueError, match="predictions must be"):
        summarise(y, runs[0], sources, pairs, resamples)
    with pytest.raises(ValueError, match="other rows"):
        summarise(y, runs, sources, pairs, Resamples.draw(sources[::-1], n=10))
    runs[1, 4] = np.nan
    with pytest.raises(UserError, match="pair 'p4'"):
        summarise(y, runs, sources, pairs, resamples)


def test_fold_spread() -> None:
    y, runs, sources, pairs, _ = rows(1)
    fold = np.arange(N) % 3
    found = fold_spread(y, runs[0], fold)
    assert list(found) == [0, 1, 2]
    for k, values in found.items():
        here = score_metrics(y[fold == k], runs[0][fold == k], sources[fold == k], pairs[fold == k])
        assert values == {"n": 30, "srcc": pytest.approx(here.srcc), "mse": pytest.approx(here.mse)}
    assert list(fold_spread(y, runs[0], np.array(["b", "a", "c"])[fold])) == ["a", "b", "c"]
    with pytest.raises(ValueError, match="one length"):
        fold_spread(y, runs[0], fold[1:])
