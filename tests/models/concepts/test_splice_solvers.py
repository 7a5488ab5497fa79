"""The three solvers against scikit-learn and against the conditions that only the solution meets."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
from concept_support import problem
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import nnls
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Lasso, lars_path
from torch import Tensor

from models.concepts.admm import admm, duality_gap
from models.concepts.lars import lars_by_count, lars_by_l1
from models.concepts.lasso import lasso
from models.concepts.nnls import nonnegative_quadratic
from semfid.errors import UserError

Solve = Callable[[Tensor, Tensor, float], Tensor]
SOLVERS: dict[str, Solve] = {
    "lasso": lasso,
    "lars": lambda dictionary, targets, l1: lars_by_l1(dictionary, targets, l1).weights,
    "admm": admm,
}
CASES = [(300, 48, 0.0, 0.25), (300, 48, 0.8, 0.2), (40, 64, 0.5, 0.1), (900, 24, 1.5, 0.15)]


def by_sklearn(dictionary: Tensor, targets: Tensor, l1: float, tolerance: float = 1e-6) -> np.ndarray:
    """The published call, one embedding after the other."""
    design = np.asfortranarray(dictionary.double().numpy().T)
    dim = dictionary.shape[1]
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        return np.array(
            [
                Lasso(alpha=l1 / (2 * dim), positive=True, fit_intercept=False, max_iter=100_000, tol=tolerance)
                .fit(design, target)
                .coef_
                for target in targets.double().numpy()
            ]
        )


def violation(dictionary: Tensor, targets: Tensor, weights: Tensor, l1: float) -> float:
    """How far the Karush-Kuhn-Tucker conditions are from being met: a word's correlation with what is left is l1 / 2 where it
    is active, and not above it elsewhere."""
    c, z, w = dictionary.double(), targets.double(), weights.double()
    above = (z - w @ c) @ c.T - l1 / 2
    return float(torch.where(w > 0, above.abs(), above.clamp(min=0)).max())


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("solver", SOLVERS)
class TestSolvers:
    def test_equal_to_sklearn(self, solver: str, case: tuple[int, int, float, float]) -> None:
        words, dim, alike, l1 = case
        dictionary, targets = problem(words, dim, 6, alike=alike)
        weights = SOLVERS[solver](dictionary, targets, l1)
        expected = by_sklearn(dictionary, targets, l1, 1e-10)
        assert (expected > 0).sum(axis=1).max() > 3
        np.testing.assert_allclose(weights.numpy(), expected, atol=1e-4)

    def test_the_conditions_of_a_solution(self, solver: str, case: tuple[int, int, float, float]) -> None:
        words, dim, alike, l1 = case
        dictionary, targets = problem(words, dim, 9, seed=1, alike=alike)
        weights = SOLVERS[solver](dictionary, targets, l1)
        assert weights.shape == (9, words) and weights.dtype == torch.float32 and (weights >= 0).all()
        assert violation(dictionary, targets, weights, l1) < (1e-3 if solver == "admm" else 1e-5)
        assert duality_gap(dictionary, targets, weights, l1).max() < (1e-5 if solver == "admm" else 5e-6)

    def test_alone_or_among_others(self, solver: str, case: tuple[int, int, float, float]) -> None:
        words, dim, alike, l1 = case
        dictionary, targets = problem(words, dim, 5, seed=2, alike=alike)
        together = SOLVERS[solver](dictionary, targets, l1)
        alone = torch.cat([SOLVERS[solver](dictionary, targets[i : i + 1], l1) for i in range(5)])
        torch.testing.assert_close(alone, together, rtol=0, atol=1e-3 if solver == "admm" else 1e-5)


@pytest.mark.parametrize("solver", SOLVERS)
class TestEdges:
    def test_an_l1_that_nothing_survives(self, solver: str) -> None:
        dictionary, targets = problem(60, 16, 3)
        weights = SOLVERS[solver](dictionary, targets, 2.5)
        assert weights.shape == (3, 60) and (weights == 0).all()

    def test_embeddings_of_zeros_among_others(self, solver: str) -> None:
        dictionary, targets = problem(60, 16, 3)
        targets[1] = 0
        weights = SOLVERS[solver](dictionary, targets, 0.2)
        assert (weights[1] == 0).all() and weights[0].any() and weights[2].any()

    def test_no_embeddings(self, solver: str) -> None:
        dictionary, _ = problem(60, 16, 1)
        assert SOLVERS[solver](dictionary, torch.zeros(0, 16), 0.2).shape == (0, 60)

    @pytest.mark.parametrize("l1", [0.0, -1.0, float("nan"), float("inf")])
    def test_a_bad_l1(self, solver: str, l1: float) -> None:
        with pytest.raises(UserError, match=r"l1=.* must be"):
            SOLVERS[solver](*problem(60, 16, 1), l1)

    def test_values_that_are_not_finite(self, solver: str) -> None:
        dictionary, targets = problem(60, 16, 2)
        targets[1, 3] = float("nan")
        with pytest.raises(UserError, match="not finite"):
            SOLVERS[solver](dictionary, targets, 0.2)

    def test_sizes_that_do_not_fit(self, solver: str) -> None:
        with pytest.raises(UserError, match="of different towers"):
            SOLVERS[solver](torch.zeros(60, 16), torch.zeros(2, 17), 0.2)

    def test_words_of_one_vector(self, solver: str) -> None:
        dictionary, targets = problem(30, 16, 4)
        twice = torch.cat([dictionary, dictionary[:10]])
        weights = SOLVERS[solver](twice, targets, 0.1)
        folded = weights[:, :30].clone()
        folded[:, :10] += weights[:, 30:]
        expected = SOLVERS[solver](dictionary, targets, 0.1)
        torch.testing.assert_close(folded, expected, rtol=0, atol=1e-3 if solver == "admm" else 1e-4)


class TestPath:
    def test_every_count_against_sklearn(self) -> None:
        dictionary, targets = problem(200, 32, 4, alike=0.6)
        for row, target in enumerate(targets):
            alphas, _, path = lars_path(
                np.asfortranarray(dictionary.double().numpy().T), target.double().numpy(), method="lasso", positive=True
            )
            counts = (path > 1e-12).sum(axis=0)
            for concepts in (1, 2, 5, 9, 14):
                knot = int(np.argmax(counts == concepts))
                found = lars_by_count(dictionary, targets[row : row + 1], concepts)
                assert (found.weights > 0).sum() == concepts
                np.testing.assert_allclose(found.weights[0].numpy(), path[:, knot], atol=1e-6)
                assert float(found.l1[0]) == pytest.approx(alphas[knot] * 2 * 32, abs=1e-9)

    def test_a_count_is_the_lasso_of_its_l1(self) -> None:
        dictionary, targets = problem(400, 40, 5, seed=3, alike=0.5)
        found = lars_by_count(dictionary, targets, 7)
        for row in range(5):
            weights = lasso(dictionary, targets[row : row + 1], float(found.l1[row]))
            torch.testing.assert_close(weights[0], found.weights[row], rtol=0, atol=1e-5)

    def test_a_path_that_ends_before(self) -> None:
        dictionary = torch.eye(6)[:4]
        targets = torch.nn.functional.normalize(torch.tensor([[3.0, 2.0, 0.0, 0.0, 0.0, 0.0], [-1.0, 0, 0, 0, 0, 0]]))
        found = lars_by_count(dictionary, targets, 3)
        assert (found.weights[0] > 0).tolist() == [True, True, False, False] and (found.weights[1] == 0).all()
        assert found.l1.tolist() == [0.0, 0.0]

    @pytest.mark.parametrize("concepts", [0, 16, 99])
    def test_a_bad_count(self, concepts: int) -> None:
        with pytest.raises(UserError, match="must be 1 to 15"):
            lars_by_count(*problem(60, 16, 1), concepts)


class TestAdmm:
    def test_it_says_where_it_did_not_come_to_an_end(self) -> None:
        with pytest.raises(UserError, match="3 of 3 embeddings are not within tolerance=1e-05 after 10 iterations"):
            admm(*problem(300, 32, 3, alike=0.8), 0.15, max_iterations=10)

    def test_a_tolerance_that_float32_cannot_tell(self) -> None:
        with pytest.raises(UserError, match="tolerance=1e-08 must be above 2e-06"):
            admm(*problem(30, 8, 1), 0.15, tolerance=1e-8)


class TestNonnegative:
    @settings(max_examples=25)
    @given(st.integers(0, 10_000), st.integers(1, 12))
    def test_against_scipy(self, seed: int, size: int) -> None:
        draw = np.random.default_rng(seed)
        matrices, targets = draw.standard_normal((3, 16, size)), draw.standard_normal((3, 16))
        gram = torch.from_numpy(np.einsum("bij,bik->bjk", matrices, matrices))
        linear = torch.from_numpy(np.einsum("bij,bi->bj", matrices, targets))
        found = nonnegative_quadratic(gram, linear, torch.ones_like(linear, dtype=torch.bool))
        expected = [nnls(matrix, target)[0] for matrix, target in zip(matrices, targets, strict=True)]
        np.testing.assert_allclose(found.numpy(), expected, atol=1e-7)

    def test_variables_that_are_not_allowed(self) -> None:
        allowed = torch.tensor([[True, False, True]])
        found = nonnegative_quadratic(torch.eye(3).double()[None], torch.ones(1, 3).double(), allowed)
        assert found[0, 1] == 0 and torch.allclose(found, allowed.double())

    def test_values_that_are_not_finite(self) -> None:
        with pytest.raises(UserError, match="are all embeddings finite"):
            nonnegative_quadratic(
                torch.full((1, 2, 2), torch.nan).double(), torch.ones(1, 2).double(), torch.ones(1, 2) > 0
            )
