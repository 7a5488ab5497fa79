"""AUC and average precision against scikit-learn, in resamples against repeated rows, and in the table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import average_precision_score, roc_auc_score

from engine.config.sections import Evaluation
from engine.results.pairs import RunResult, compare_variants, compute_metrics
from semfid.stats import Resamples, best_srcc, bootstrap_metrics, is_binary, roc_auc, score_metrics, summarise
from semfid.stats.binary import WeightedBinary, average_precision

EVALUATION = Evaluation(bootstraps=60, by_origin=False)


def made(count: int = 90, seed: int = 0, ties: bool = True) -> tuple[np.ndarray, np.ndarray, list[str], list[str]]:
    rng = np.random.default_rng(seed)
    y = (rng.random(count) < 0.3).astype(float)
    x = y + rng.standard_normal(count)
    x = np.round(x, 1) if ties else x
    return y, x, [f"s{i // 3}" for i in range(count)], [f"p{i}" for i in range(count)]


@pytest.mark.parametrize("ties", [True, False])
@pytest.mark.parametrize("seed", range(5))
def test_equals_scikit_learn(seed: int, ties: bool) -> None:
    y, x, sources, pairs = made(seed=seed, ties=ties)
    found = score_metrics(y, x, sources, pairs)
    assert found.auc == pytest.approx(roc_auc_score(y, x), abs=1e-12)
    assert found.average_precision == pytest.approx(average_precision_score(y, x), abs=1e-12)
    assert roc_auc(-x, y) == pytest.approx(1 - found.auc, abs=1e-12), "a metric that runs the wrong way lies below 0.5"


def test_weights_are_repeated_rows() -> None:
    y, x, _, _ = made(40)
    weights = np.random.default_rng(1).integers(0, 4, (6, 40)).astype(float)
    found = WeightedBinary(x, y)(weights)
    for number, row in enumerate(weights.astype(int)):
        a, b = np.repeat(x, row), np.repeat(y, row)
        assert found["auc"][number] == pytest.approx(roc_auc_score(b, a), abs=1e-12)
        assert found["average_precision"][number] == pytest.approx(average_precision_score(b, a), abs=1e-12)


def test_resamples_without_one_kind_have_no_figure() -> None:
    found = WeightedBinary(np.array([0.1, 0.2, 0.3]), np.array([0.0, 0.0, 1.0]))
    auc = found(np.array([[1.0, 1.0, 0.0], [0.0, 0.0, 2.0], [1.0, 0.0, 1.0]]))["auc"]
    assert np.isnan(auc[:2]).all() and auc[2] == 1


def test_only_of_binary_labels_and_never_of_constants() -> None:
    y, x, sources, pairs = made()
    for labels, predicted in ((y / 2, x), (np.ones_like(y), x), (y, np.zeros_like(x))):
        found = score_metrics(labels, predicted, sources, pairs)
        assert np.isnan(found.auc) and np.isnan(found.average_precision)
    assert not is_binary(y / 2) and not is_binary(np.ones(3)) and is_binary(y)
    assert np.isnan(average_precision(x, y / 2))
    assert "auc" not in bootstrap_metrics(y / 2, x, Resamples.draw(sources, 10))


def test_the_best_srcc_of_two_label_values() -> None:
    for ones, count in ((5, 10), (1, 8), (30, 31)):
        y = np.r_[np.zeros(count - ones), np.ones(ones)]
        assert best_srcc(y) == pytest.approx(spearmanr(np.arange(count), y)[0])


def test_intervals_and_means_over_runs() -> None:
    y, x, sources, pairs = made()
    other = x + 0.3 * np.random.default_rng(2).standard_normal(len(x))
    found = summarise(y, np.stack([x, other]), sources, pairs, Resamples.draw(sources, 100))
    assert found.mean["auc"] == pytest.approx((roc_auc_score(y, x) + roc_auc_score(y, other)) / 2)
    low, high = found.interval["auc"]
    assert low < found.mean["auc"] < high


def test_the_table_has_them_beside_srcc_only_where_labels_are_binary(tmp_path: Path) -> None:
    y, x, sources, pairs = made()
    frame = pd.DataFrame({"pair_id": pairs, "source_id": sources, "difference": y, "fold": 0, "predicted": x})
    content = compute_metrics(frame, EVALUATION)
    assert content["pooled"]["auc"] == pytest.approx(roc_auc_score(y, x))
    assert content["interval"]["auc"][0] < content["pooled"]["auc"] < content["interval"]["auc"][1]

    def screen(difference: np.ndarray) -> str:
        run = RunResult("a", 0, frame.assign(difference=difference), False, True, tmp_path)
        (result,) = compare_variants([run], EVALUATION)
        return result.screen

    binary, graded = screen(y), screen(y / 2 + 0.1)
    assert f" {roc_auc_score(y, x):.3f} [" in binary.splitlines()[2] and " AUC " in binary.splitlines()[0]
    assert f"a perfect ranking without ties has SRCC {best_srcc(y):.3f}" in binary
    assert " AUC " not in graded and "perfect ranking" not in graded
