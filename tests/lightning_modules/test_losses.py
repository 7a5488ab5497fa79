"""Losses against closed forms and loops. A new loss is held to the contract by being registered."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from lightning_modules.losses.pairs import PairLoss
from registry import LOSSES
from semfid.errors import UserError

numbers = st.lists(st.tuples(st.floats(-0.5, 1.5), st.floats(0, 1), st.floats(0, 3)), min_size=1, max_size=8)


def tensors(rows: list[tuple[float, float, float]]) -> tuple[Tensor, Tensor, Tensor]:
    columns = torch.tensor(rows, dtype=torch.float64)
    return columns[:, 0], columns[:, 1], columns[:, 2]


def naive_mse(p: float, d: float) -> float:
    return (p - d) ** 2


def naive_huber(p: float, d: float, delta: float = 0.1) -> float:
    error = abs(p - d)
    return 0.5 * error**2 if error <= delta else delta * (error - 0.5 * delta)


def naive_binomial(p: float, d: float, eps: float = 1e-3) -> float:
    inside = min(max(p, eps), 1 - eps)
    return -(d * math.log(inside) + (1 - d) * math.log(1 - inside)) + (p - inside) ** 2 / eps


def naive_ranking(rows: list[tuple[float, float, float]], scale: float = 0.1) -> float:
    total = 0.0
    for i, (p, d, w) in enumerate(rows):
        weighted, partners = 0.0, 0.0
        for j, (q, e, v) in enumerate(rows):
            if i == j or d == e:
                continue
            margin = (1 if d > e else -1) * (p - q) / scale
            logistic = math.log1p(math.exp(-margin)) if margin > -700 else -margin
            weighted += w * v * logistic
            partners += v
        total += weighted / max(partners, 1e-6)
    return total


def taking(target: str) -> list[str]:
    return [name for name in LOSSES.names() if target in LOSSES.get(name).factory.takes]  # type: ignore[union-attr]


@pytest.mark.parametrize("name", taking("scores"))
class TestLossContract:
    def loss(self, name: str) -> PairLoss:
        made = LOSSES.build(name)
        assert isinstance(made, PairLoss)
        return made

    rows = ((0.2, 0.1, 1.0), (0.9, 0.7, 2.0), (0.4, 0.6, 0.5), (1.2, 1.0, 1.0), (-0.1, 0.0, 3.0))

    def test_a_scalar(self, name: str) -> None:
        value = self.loss(name)(*tensors(list(self.rows)))
        assert value.shape == () and value.isfinite()

    def test_weight_zero_excludes(self, name: str) -> None:
        loss, rows = self.loss(name), list(self.rows)
        for extra in ((0.5, 0.3, 0.0), (7.0, 1.0, 0.0)):
            with_it, without = tensors([*rows[:2], extra, *rows[2:]]), tensors(rows)
            p, q = with_it[0].requires_grad_(), without[0].requires_grad_()
            a, b = loss(p, *with_it[1:]), loss(q, *without[1:])
            torch.testing.assert_close(a, b)
            (ga,), (gb,) = torch.autograd.grad(a, p), torch.autograd.grad(b, q)
            assert ga[2] == 0
            torch.testing.assert_close(torch.cat([ga[:2], ga[3:]]), gb)

    def test_order_does_not_matter(self, name: str) -> None:
        p, d, w = tensors(list(self.rows))
        order = torch.tensor([4, 2, 0, 3, 1])
        torch.testing.assert_close(self.loss(name)(p[order], d[order], w[order]), self.loss(name)(p, d, w))

    def test_the_gradient_pulls_towards_the_label(self, name: str) -> None:
        """Items far too low go up, far too high go down: for the bounded losses also from outside [0, 1]."""
        p = torch.tensor([-0.5, 1.5], requires_grad=True)
        (gradient,) = torch.autograd.grad(self.loss(name)(p, torch.tensor([0.9, 0.1]), torch.ones(2)), p)
        assert gradient[0] < 0 < gradient[1]

    def test_gradients_are_finite_at_the_extremes(self, name: str) -> None:
        for value in (-50.0, 0.0, 1.0, 50.0):
            p = torch.tensor([value, value, 0.5], requires_grad=True)
            loss = self.loss(name)(p, torch.tensor([0.0, 1.0, 0.5]), torch.ones(3))
            (gradient,) = torch.autograd.grad(loss, p)
            assert loss.isfinite() and gradient.isfinite().all()

    def test_one_item_and_all_alike(self, name: str) -> None:
        assert self.loss(name)(torch.tensor([0.4]), torch.tensor([0.4]), torch.ones(1)).isfinite()
        assert self.loss(name)(torch.full((3,), 0.4), torch.full((3,), 0.2), torch.ones(3)).isfinite()

    def test_vmap(self, name: str) -> None:
        generator = torch.Generator().manual_seed(0)
        p, d, w = (torch.rand(4, 6, generator=generator) for _ in range(3))
        w[1, 2:] = 0
        stacked = torch.func.vmap(self.loss(name))(p, d, w)
        torch.testing.assert_close(stacked, torch.stack([self.loss(name)(*row) for row in zip(p, d, w, strict=True)]))
        shared = torch.func.vmap(self.loss(name), in_dims=(0, None, None))(p, d[0], w[0])
        torch.testing.assert_close(shared, torch.stack([self.loss(name)(row, d[0], w[0]) for row in p]))

    def test_vmapped_gradients(self, name: str) -> None:
        p, d, w = (torch.rand(3, 5, generator=torch.Generator().manual_seed(1)) for _ in range(3))
        loss = self.loss(name)
        stacked = torch.func.vmap(torch.func.grad(loss))(p, d, w)
        one = p[2].clone().requires_grad_()
        torch.testing.assert_close(stacked[2], torch.autograd.grad(loss(one, d[2], w[2]), one)[0])


class TestClosedForms:
    @pytest.mark.parametrize(
        ("name", "keywords", "naive"),
        [
            ("mse", {}, naive_mse),
            ("huber", {}, naive_huber),
            ("huber", {"delta": 0.4}, lambda p, d: naive_huber(p, d, 0.4)),
            ("binomial", {}, naive_binomial),
            ("binomial", {"eps": 0.05}, lambda p, d: naive_binomial(p, d, 0.05)),
        ],
    )
    def test_weighted_sum(self, name: str, keywords: dict[str, Any], naive: Callable[[float, float], float]) -> None:
        @given(numbers)
        def check(rows: list[tuple[float, float, float]]) -> None:
            expected = sum(w * naive(p, d) for p, d, w in rows)
            assert LOSSES.build(name, **keywords)(*tensors(rows)).item() == pytest.approx(expected, rel=1e-9, abs=1e-12)

        check()

    @pytest.mark.parametrize("name", ["mse", "huber", "binomial"])
    def test_sum_over_parts_is_the_whole(self, name: str) -> None:
        """What makes a step on N processes equal to a step on one."""
        p, d, w = torch.rand(3, 12, generator=torch.Generator().manual_seed(0)).double()
        loss = LOSSES.build(name)
        parts = sum(loss(p[i::3], d[i::3], w[i::3]) for i in range(3))
        torch.testing.assert_close(parts, loss(p, d, w))

    @given(
        st.lists(
            st.tuples(st.floats(-0.5, 1.5), st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.floats(0.1, 3)),
            max_size=7,
            min_size=1,
        )
    )
    def test_ranking(self, rows: list[tuple[float, float, float]]) -> None:
        assert LOSSES.build("ranking")(*tensors(rows)).item() == pytest.approx(naive_ranking(rows), rel=1e-7, abs=1e-9)
        assert LOSSES.build("ranking", scale=0.5)(*tensors(rows)).item() == pytest.approx(
            naive_ranking(rows, 0.5), rel=1e-7, abs=1e-9
        )

    def test_ranking_prefers_the_right_order(self) -> None:
        d, w = torch.tensor([0.0, 0.5, 1.0]), torch.ones(3)
        loss = LOSSES.build("ranking")
        right, tied, wrong = (loss(torch.tensor(p), d, w) for p in ([0.1, 0.2, 0.3], [0.2, 0.2, 0.2], [0.3, 0.2, 0.1]))
        assert right < tied < wrong
        assert tied.item() == pytest.approx(3 * math.log(2))

    def test_binomial_is_the_likelihood_of_votes(self) -> None:
        """With votes as weights, its minimum over a common p is the pooled rate, and it equals -log of the binomial."""
        from scipy.stats import binom

        yes, votes = torch.tensor([3.0, 10.0, 0.0]), torch.tensor([10.0, 12.0, 5.0])
        p = torch.tensor([0.3, 0.6, 0.2], dtype=torch.float64)
        loss = LOSSES.build("binomial")(p, yes.double() / votes, votes)
        reference = -sum(
            binom.logpmf(y, n, q) for y, n, q in zip(yes.tolist(), votes.tolist(), p.tolist(), strict=True)
        )
        constants = sum(math.log(math.comb(int(n), int(y))) for y, n in zip(yes.tolist(), votes.tolist(), strict=True))
        assert loss.item() == pytest.approx(reference + constants, rel=1e-6)

    @pytest.mark.parametrize(
        ("name", "keywords", "part"),
        [
            ("huber", {"delta": 0.0}, "needs delta > 0"),
            ("huber", {"delta": -1}, "needs delta > 0"),
            ("binomial", {"eps": 0.5}, "needs 0 < eps < 0.5"),
            ("binomial", {"eps": 0}, "needs 0 < eps < 0.5"),
            ("ranking", {"scale": 0.0}, "needs scale > 0"),
            ("mse", {"scale": 1.0}, "loss 'mse' has no keyword 'scale'"),
            ("hubr", {}, "no loss 'hubr'; did you mean 'huber'"),
        ],
    )
    def test_mistakes(self, name: str, keywords: dict[str, Any], part: str) -> None:
        with pytest.raises(UserError, match=part):
            LOSSES.build(name, **keywords)
