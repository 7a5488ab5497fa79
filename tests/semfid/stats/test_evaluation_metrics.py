"""Metrics against sklearn and scipy, and the errors that name pairs."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from semfid.errors import UserError
from semfid.stats.metrics import by_group, score_metrics

N = 120


def rows(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    truth = generator.beta(0.6, 1.2, N)
    difference = generator.binomial(30, truth) / 30
    predicted = 1 / (1 + np.exp(-(4 * truth - 2 + generator.normal(size=N))))
    return difference, predicted, np.array([f"s{i // 3}" for i in range(N)]), np.array([f"p{i}" for i in range(N)])


def test_equals_references() -> None:
    y, x, sources, pairs = rows()
    found = score_metrics(y, x, sources, pairs)
    assert (found.n, found.sources, found.constant) == (N, N // 3, False)
    expected = {
        "srcc": stats.spearmanr(x, y).statistic,
        "krcc": stats.kendalltau(x, y).statistic,
        "plcc": stats.pearsonr(x, y).statistic,
        "mse": metrics.mean_squared_error(y, x),
        "mae": metrics.mean_absolute_error(y, x),
        "rmse": metrics.root_mean_squared_error(y, x),
    }
    for name, value in expected.items():
        assert getattr(found, name) == pytest.approx(value, abs=1e-12), name
    assert found.plcc < found.plcc_logistic < 1
    # least squares with an intercept: R^2 = 1 - residual / total = squared PLCC of the mapped values
    assert found.plcc_logistic**2 == pytest.approx(1 - found.rmse_logistic**2 / y.var(), abs=1e-9)
    assert list(found.as_dict()) == [
        *("n", "sources", "srcc", "krcc", "plcc", "plcc_logistic"),
        *("rmse", "rmse_logistic", "mse", "mae", "auc", "average_precision", "constant"),
    ]


def test_a_metric_that_runs_the_wrong_way_is_negative() -> None:
    y, x, sources, pairs = rows()
    right, wrong = score_metrics(y, x, sources, pairs), score_metrics(y, 1 - x, sources, pairs)
    assert right.srcc > 0.5
    for name in ("srcc", "krcc", "plcc"):
        assert getattr(wrong, name) == pytest.approx(-getattr(right, name), abs=1e-12)
    assert wrong.plcc_logistic == pytest.approx(right.plcc_logistic, abs=1e-4)


def test_order_of_rows_changes_no_bit() -> None:
    y, x, sources, pairs = rows()
    p = np.random.default_rng(1).permutation(N)
    assert score_metrics(y[p], x[p], sources[p], pairs[p]) == score_metrics(y, x, sources, pairs)


@pytest.mark.parametrize("which", ["predicted", "labels"])
def test_constant_is_reported_not_zero(which: str) -> None:
    y, x, sources, pairs = rows()
    fixed = np.full(N, 0.1)
    found = score_metrics(y, fixed, sources, pairs) if which == "predicted" else score_metrics(fixed, x, sources, pairs)
    assert found.constant
    assert all(np.isnan(getattr(found, name)) for name in ("srcc", "krcc", "plcc", "plcc_logistic"))
    assert found.mse == pytest.approx(np.mean(((y - fixed) if which == "predicted" else (fixed - x)) ** 2))
    expected = y.std() if which == "predicted" else 0.0
    assert found.rmse_logistic == pytest.approx(expected, abs=1e-12)


def test_no_relation_is_zero_not_constant() -> None:
    found = score_metrics([0.0, 1.0, 0.0, 1.0], [0.0, 0.0, 1.0, 1.0], list("aabb"), list("abcd"))
    assert not found.constant
    assert (found.srcc, found.plcc_logistic) == (0.0, 0.0)


def test_a_value_that_is_not_finite_names_its_pair() -> None:
    y, x, sources, pairs = rows()
    x[[7, 9]] = np.nan, np.inf
    with pytest.raises(UserError, match=r"the prediction of pairs 'p7', 'p9' is not"):
        score_metrics(y, x, sources, pairs)
    y, x, sources, pairs = rows()
    y[3] = np.nan
    with pytest.raises(UserError, match=r"the label of pair 'p3' is not"):
        by_group(y, x, sources, pairs, sources)
    with pytest.raises(UserError, match="'p2' and 117 more"):
        score_metrics(np.full(N, np.nan), x, sources, pairs)


def test_other_errors() -> None:
    y, x, sources, pairs = rows()
    with pytest.raises(UserError, match="pair 'p0' occurs more than once"):
        score_metrics(y, x, sources, np.where(pairs == "p1", "p0", pairs))
    with pytest.raises(UserError, match="no pairs"):
        score_metrics([], [], [], [])
    with pytest.raises(ValueError, match="one length"):
        score_metrics(y[1:], x, sources, pairs)
    with pytest.raises(ValueError, match="1-D"):
        score_metrics(y[:, None], x, sources, pairs)


def test_one_and_two_pairs() -> None:
    one = score_metrics([0.2], [0.5], ["a"], ["p"])
    assert (one.n, one.constant, one.mse) == (1, True, pytest.approx(0.09))
    two = score_metrics([0.2, 0.4], [0.5, 0.1], ["a", "b"], ["p", "q"])
    assert (two.srcc, two.krcc, two.plcc) == pytest.approx((-1.0, -1.0, -1.0))


def test_groups_equal_figures_of_their_rows() -> None:
    y, x, sources, pairs = rows()
    group = np.array(["swinir", "edsr", "bicubic"])[np.arange(N) % 3]
    found = by_group(y, x, sources, pairs, group)
    assert list(found) == ["bicubic", "edsr", "swinir"]
    for name, value in found.items():
        here = group == name
        assert value == score_metrics(y[here], x[here], sources[here], pairs[here])
    with pytest.raises(ValueError, match="group"):
        by_group(y, x, sources, pairs, group[1:])
