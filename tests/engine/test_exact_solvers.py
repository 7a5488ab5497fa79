"""Convex fits against scikit-learn, scipy and naive loops: objectives to 1e-6 and better, penalties and left-out losses alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import scipy.optimize
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression, Ridge

from engine.training.exact import Huber, Logistic, PointLoss, Problem, Solution, Squared, choose_and_solve, solve
from engine.training.exact import ridge_path as ridge_path_module
from engine.training.exact.choose import _fold_loss, deal, path
from engine.training.exact.ridge_path import RidgePath

Array = NDArray[np.float64]
SHAPES = [(90, 30), (60, 150)]  # more pairs than inputs, and fewer


def made(
    pairs: int, width: int, loss: PointLoss, nonnegative: bool = False, intercept: bool = False, seed: int = 0
) -> tuple[Problem, NDArray[np.int64]]:
    """Correlated heavy-tailed inputs, like pooled squared differences; labels that follow some of them; 12 photos."""
    rng = np.random.default_rng(seed)
    common = np.exp(rng.standard_normal((pairs, 4))) @ rng.random((4, width))
    inputs = common + np.exp(1.5 * rng.standard_normal((pairs, width)))
    target = np.clip(inputs[:, : width // 4].mean(axis=1) / 10 + 0.1 * rng.standard_normal(pairs), 0, 1)
    weight = rng.integers(1, 30, pairs).astype(float)
    group = rng.integers(0, 12, pairs)
    return Problem.of(
        inputs / np.sqrt(np.square(inputs).mean(axis=0)), target, weight, loss, nonnegative, intercept
    ), group


def close(problem: Problem, ridge: float, found: Solution, other: Solution, rtol: float = 1e-9) -> None:
    """No worse than the other solver, and not better by more than its own tolerance."""
    ours, theirs = problem.objective(found, ridge), problem.objective(other, ridge)
    assert ours <= theirs * (1 + rtol)
    assert ours == pytest.approx(theirs, rel=1e-6)


@pytest.mark.parametrize("penalty", [1e-4, 1e-1])
@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_ridge_is_scikit_learns(shape: tuple[int, int], intercept: bool, penalty: float) -> None:
    problem, group = made(*shape, Squared(), intercept=intercept)
    ridge = problem.ridge(penalty)
    reference = Ridge(alpha=ridge, fit_intercept=intercept, solver="svd")
    reference.fit(problem.inputs, problem.target, sample_weight=problem.weight)
    other = Solution(reference.coef_, float(reference.intercept_))
    for found in (solve(problem, ridge), RidgePath(problem, group).solution(ridge)):
        close(problem, ridge, found, other)
        np.testing.assert_allclose(found.weights, other.weights, rtol=1e-7, atol=1e-9)
        assert found.intercept == pytest.approx(other.intercept, abs=1e-9)
        assert intercept or found.intercept == 0


@pytest.mark.parametrize("penalty", [1e-6, 1e-3, 1e-1])
@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_nonnegative_is_scipys_nnls(shape: tuple[int, int], intercept: bool, penalty: float) -> None:
    """The penalty as rows below the inputs; the constant as the difference of two more inputs, which carry none."""
    problem, _ = made(*shape, Squared(), nonnegative=True, intercept=intercept)
    ridge, (pairs, width) = problem.ridge(penalty), shape
    root = np.sqrt(problem.weight)[:, None]
    ones = np.hstack([root, -root]) if intercept else np.zeros((pairs, 0))
    system = np.block(
        [[root * problem.inputs, ones], [np.sqrt(ridge) * np.eye(width), np.zeros((width, ones.shape[1]))]]
    )
    right = np.concatenate([root[:, 0] * problem.target, np.zeros(width)])
    reference, _ = scipy.optimize.nnls(system, right)
    other = Solution(reference[:width], float(reference[width] - reference[width + 1]) if intercept else 0.0)
    found = solve(problem, ridge)
    close(problem, ridge, found, other)
    assert (found.weights >= 0).all() and (penalty > 1e-2 or (found.weights == 0).any())
    np.testing.assert_allclose(found.weights, other.weights, atol=1e-7)


def test_nonnegative_from_any_start_is_the_same() -> None:
    problem, _ = made(60, 150, Squared(), nonnegative=True)
    ridge, rng = problem.ridge(1e-3), np.random.default_rng(1)
    expected = solve(problem, ridge)
    for _ in range(5):
        start = Solution(rng.standard_normal(150).clip(0), 0.0)
        np.testing.assert_allclose(solve(problem, ridge, start).weights, expected.weights, atol=1e-12)


@pytest.mark.parametrize("penalty", [1e-4, 1e-1])
@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_binomial_is_scikit_learns_logistic_regression(shape: tuple[int, int], intercept: bool, penalty: float) -> None:
    """Every pair stands there twice, as a yes with weight (1 + y) / 2 and as a no with the rest."""
    problem, _ = made(*shape, Logistic(), intercept=intercept)
    ridge = problem.ridge(penalty)
    reference = LogisticRegression(C=1 / (2 * ridge), fit_intercept=intercept, solver="newton-cholesky", tol=1e-12)
    votes = np.concatenate([problem.weight * (1 + problem.target) / 2, problem.weight * (1 - problem.target) / 2])
    kinds = np.repeat([1, 0], len(problem.target))
    reference.fit(np.vstack([problem.inputs, problem.inputs]), kinds, sample_weight=votes)
    close(problem, ridge, solve(problem, ridge), Solution(reference.coef_[0], float(np.ravel(reference.intercept_)[0])))


@pytest.mark.parametrize("penalty", [1e-5, 1e-2])
@pytest.mark.parametrize("intercept", [False, True])
def test_huber_is_scipys_minimum(intercept: bool, penalty: float) -> None:
    problem, _ = made(70, 20, Huber(0.05), intercept=intercept)
    ridge = problem.ridge(penalty)

    def objective(given: Array) -> float:
        z = problem.inputs @ given[:20] + (given[20] if intercept else 0.0)
        away = np.abs(z - problem.target)
        loss = np.where(away < 0.05, 0.5 * away**2, 0.05 * away - 0.00125)
        return float(problem.weight @ loss + ridge * given[:20] @ given[:20])

    reference = scipy.optimize.minimize(objective, np.zeros(21), method="BFGS", options={"gtol": 1e-9, "maxiter": 3000})
    found = solve(problem, ridge)
    ours = objective(np.append(found.weights, found.intercept))
    assert ours <= reference.fun * (1 + 1e-9) and ours == pytest.approx(reference.fun, rel=1e-6)
    inside = np.abs(found.predict(problem.inputs) - problem.target) < 0.05
    assert 0 < inside.sum() < 70, "both of its branches must be at work"


@pytest.mark.parametrize("loss", [Huber(0.05), Logistic()])
@pytest.mark.parametrize("intercept", [False, True])
def test_nonnegative_of_other_losses_against_bounded_descent(loss: PointLoss, intercept: bool) -> None:
    problem, _ = made(60, 25, loss, nonnegative=True, intercept=intercept)
    ridge = problem.ridge(1e-3)

    def objective(given: Array) -> tuple[float, Array]:
        solution = Solution(given[:25], float(given[25]))
        slope = problem.weight * loss.slope(solution.predict(problem.inputs), problem.target)
        gradient = np.append(problem.inputs.T @ slope + 2 * ridge * given[:25], slope.sum() if intercept else 0.0)
        return problem.objective(solution, ridge), gradient

    bounds = [(0, None)] * 25 + [(None, None) if intercept else (0, 0)]
    options = {"ftol": 1e-15, "gtol": 1e-10, "maxiter": 20000}
    reference = scipy.optimize.minimize(
        objective, np.zeros(26), jac=True, bounds=bounds, method="L-BFGS-B", options=options
    )
    close(problem, ridge, solve(problem, ridge), Solution(reference.x[:25], float(reference.x[25])), rtol=1e-7)


@pytest.mark.parametrize("loss", [Squared(), Huber(0.1), Logistic()])
def test_derivatives_of_the_losses(loss: PointLoss) -> None:
    z, y, step = np.linspace(-1, 2, 61) + 0.013, np.linspace(0, 1, 61), 1e-5
    slope = (loss.value(z + step, y) - loss.value(z - step, y)) / (2 * step)
    np.testing.assert_allclose(loss.slope(z, y), slope, atol=1e-8)
    curvature = (loss.slope(z + step, y) - loss.slope(z - step, y)) / (2 * step)
    near = np.abs(z - y) < 0.09 if isinstance(loss, Huber) else np.ones(61, dtype=bool)
    assert near.any()
    np.testing.assert_allclose(loss.curvatures(z, y)[0][near], curvature[near], atol=1e-6)


@pytest.mark.parametrize("loss", [Squared(), Huber(0.1), Logistic()])
def test_the_last_parabola_lies_nowhere_below_the_loss(loss: PointLoss) -> None:
    """Its minimum then always improves the objective."""
    for label in (0.0, 0.4, 1.0):
        y, at = np.full(401, label), np.linspace(-6, 6, 401)
        for z in (-5.0, -0.1, 0.03, 0.7):
            here = np.full(401, z)
            bend = loss.curvatures(here, y)[-1]
            parabola = loss.value(here, y) + loss.slope(here, y) * (at - z) + bend * (at - z) ** 2 / 2
            assert (parabola >= loss.value(at, y) - 1e-12).all()


def test_the_binomial_slope_vanishes_where_the_difference_is_the_share_of_yes_votes() -> None:
    share = np.array([0.0, 0.2, 0.9])
    assert np.abs(Logistic().slope(2 * np.arctanh(share), share)).max() < 1e-15


def _left_out(problem: Problem, group: NDArray[np.int64], ridge: float) -> float:
    """Group by group, a fit of the others under the same penalty."""
    total = 0.0
    for code in np.unique(group):
        out = group == code
        share = problem.weight[~out].sum()
        rest = replace(
            problem, inputs=problem.inputs[~out], target=problem.target[~out], weight=problem.weight[~out] / share
        )
        found = solve(rest, ridge / share).predict(problem.inputs[out])
        total += float(problem.weight[out] @ problem.loss.value(found, problem.target[out]))
    return total


@pytest.mark.parametrize("exactly", [True, False])
@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_leaving_photos_out_without_fitting_again(
    shape: tuple[int, int], intercept: bool, exactly: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of large groups and of small ones; in float64, and in float32 as large problems are."""
    if not exactly:
        monkeypatch.setattr(ridge_path_module, "SMALL", 0)
    problem, group = made(*shape, Squared(), intercept=intercept)
    for own in (group, np.arange(shape[0]) // 2, np.arange(shape[0]) % 3):
        ridges = [problem.ridge(one) for one in (1.0, 1e-2, 1e-4)]
        found = RidgePath(problem, own).left_out_loss(ridges)
        expected = [_left_out(problem, own, ridge) for ridge in ridges]
        np.testing.assert_allclose(found, expected, rtol=1e-9 if exactly else 1e-3)


def test_a_float32_decomposition_still_gives_float64_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    for shape in SHAPES:
        problem, group = made(*shape, Squared())
        for penalty in (1e-6, 1e-2):
            ridge = problem.ridge(penalty)
            monkeypatch.setattr(ridge_path_module, "SMALL", 0)
            found = RidgePath(problem, group)
            assert found.vectors.dtype == np.float32
            np.testing.assert_allclose(
                found.solution(ridge).weights, solve(problem, ridge).weights, rtol=1e-6, atol=1e-9
            )


def test_of_very_many_pairs_a_part_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    problem, group = made(90, 30, Squared(), intercept=True)
    whole = RidgePath(problem, group).left_out_loss([problem.ridge(1e-2)])
    monkeypatch.setattr(ridge_path_module, "LEFT_OUT", 45)
    part = RidgePath(problem, group)
    assert len(part.basis) < 60 and len(part.groups) == 6
    half = part.left_out_loss([problem.ridge(1e-2)])
    out = np.isin(group, np.unique(group)[::2])
    expected = 0.0
    for code in np.unique(group[out]):
        own = group == code
        share = problem.weight[~own].sum()
        rest = replace(
            problem, inputs=problem.inputs[~own], target=problem.target[~own], weight=problem.weight[~own] / share
        )
        found = solve(rest, problem.ridge(1e-2) / share).predict(problem.inputs[own])
        expected += float(problem.weight[own] @ np.square(found - problem.target[own]))
    np.testing.assert_allclose(half, expected / problem.weight[out].sum(), rtol=1e-9)
    assert half != whole


@pytest.mark.parametrize("shape", [(70, 40), (40, 70)])
@pytest.mark.parametrize(
    ("loss", "nonnegative"), [(Squared(), False), (Squared(), True), (Logistic(), False), (Huber(0.1), False)]
)
def test_the_penalty_is_the_best_of_the_path(loss: PointLoss, nonnegative: bool, shape: tuple[int, int]) -> None:
    problem, group = made(*shape, loss, nonnegative)
    choice = choose_and_solve(problem, group)
    own = group if isinstance(loss, Squared) and not nonnegative else deal(group, 5)
    expected = np.array([_left_out(problem, own, problem.ridge(one)) for one in choice.penalties])
    np.testing.assert_allclose(choice.left_out_loss, expected, rtol=1e-5)
    assert choice.penalty == choice.penalties[int(np.argmin(expected))] and choice.border == ""
    np.testing.assert_allclose(
        choice.solution.weights, solve(problem, problem.ridge(choice.penalty)).weights, rtol=1e-4, atol=1e-6
    )
    assert np.diff(choice.penalties).max() < 0


def test_a_path_that_ends_at_its_border_says_so() -> None:
    problem, group = made(60, 150, Squared())
    half = np.arange(60) % 2  # either half says the opposite of what the other would have learned
    contrary = Problem.of(np.ones((60, 1)), 2.0 * half - 1, np.ones(60), Squared(), False, False)
    assert choose_and_solve(contrary, half).border == "largest"
    linear = replace(problem, target=problem.inputs[:, :2] @ np.array([0.1, 0.2]))
    few = replace(linear, inputs=problem.inputs[:, :2])
    assert choose_and_solve(few, group).border == "smallest"


def test_a_given_penalty_is_taken() -> None:
    problem, group = made(60, 30, Squared())
    choice = choose_and_solve(problem, np.zeros(60, dtype=np.int64), 0.03)
    assert choice.penalty == 0.03 and len(choice.left_out_loss) == 0 and group.any()
    np.testing.assert_array_equal(choice.solution.weights, solve(problem, problem.ridge(0.03)).weights)


@pytest.mark.parametrize("build", [lambda: made(60, 150, Squared()), lambda: made(60, 30, Squared(), nonnegative=True)])
def test_twice_the_same(build: Callable[[], tuple[Problem, NDArray[np.int64]]]) -> None:
    one, other = choose_and_solve(*build()), choose_and_solve(*build())
    np.testing.assert_array_equal(one.solution.weights, other.solution.weights)


def test_votes_weigh_as_repeated_pairs() -> None:
    problem, group = made(40, 60, Squared(), intercept=True)
    votes = np.rint(problem.weight / problem.weight.min()).astype(int)
    weighted = Problem.of(problem.inputs, problem.target, votes.astype(float), Squared(), False, True)
    rows = np.repeat(np.arange(40), votes)
    repeated = Problem.of(problem.inputs[rows], problem.target[rows], np.ones(len(rows)), Squared(), False, True)
    one, other = choose_and_solve(weighted, group), choose_and_solve(repeated, group[rows])
    assert one.penalty == other.penalty
    np.testing.assert_allclose(one.solution.weights, other.solution.weights, rtol=1e-7, atol=1e-10)


def test_groups_are_dealt_evenly_and_never_torn() -> None:
    group = np.repeat(np.arange(9), [9, 1, 1, 7, 3, 3, 3, 2, 1])
    fold = deal(group, 3)
    assert all(len(set(fold[group == code])) == 1 for code in range(9))
    assert np.bincount(fold).tolist() == [10, 10, 10]
    assert deal(np.array([5, 5, 8]), 5).max() == 1, "no more folds than groups"
    assert len(_fold_loss(*made(40, 10, Huber(0.1)), [0.1, 0.01])) == 2
    assert path(2)[0] == pytest.approx(10) and path(2)[-1] == pytest.approx(1e-6) and len(path(2)) == 15
