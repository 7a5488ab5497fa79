"""Losses of maps: a contract over the registry, and numbers against plain loops and torch's own."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_modules.losses import build_loss
from registry import LOSSES
from semfid.errors import UserError

NAMES = [name for name in LOSSES.names() if "maps" in LOSSES.get(name).factory.takes]  # type: ignore[union-attr]
NAN = float("nan")


def maps(seed: int, count: int = 3, low: float = 0.02, high: float = 0.98) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return low + (high - low) * torch.rand(count, 1, 5, 7, generator=generator, dtype=torch.float64)


def weights(count: int = 3) -> Tensor:
    return torch.arange(1, count + 1, dtype=torch.float64)


def one_by_one(name: str, keywords: dict[str, Any], predicted: Tensor, target: Tensor, weight: Tensor) -> float:
    """The same by loops over items and pixels."""
    total = 0.0
    for p_map, t_map, w in zip(predicted.flatten(1).tolist(), target.flatten(1).tolist(), weight.tolist(), strict=True):
        known = [(p, t) for p, t in zip(p_map, t_map, strict=True) if not math.isnan(t)]
        if not known:
            continue
        if name == "dice":
            s = keywords.get("smooth", 1.0)
            overlap = 2 * sum(p * t for p, t in known) + s
            total += w * (1 - overlap / (sum(p * p for p, _ in known) + sum(t * t for _, t in known) + s))
            continue
        losses = []
        for p, t in known:
            if name == "mse":
                losses.append((p - t) ** 2)
            elif name == "l1":
                losses.append(abs(p - t))
            elif name == "bce":
                losses.append(-(keywords.get("positive", 1.0) * t * math.log(p) + (1 - t) * math.log(1 - p)))
            else:
                alpha, gamma = keywords.get("alpha", 0.25), keywords.get("gamma", 2.0)
                changed, same = -alpha * (1 - p) ** gamma * math.log(p), -(1 - alpha) * p**gamma * math.log(1 - p)
                losses.append(t * changed + (1 - t) * same)
        total += w * sum(losses) / len(losses)
    return total


@pytest.mark.parametrize("name", NAMES)
class TestMapLossContract:
    def test_against_loops_with_unknown_pixels(self, name: str) -> None:
        predicted, target = maps(0), maps(1).round()
        target[0, 0, 2:4, 1:5] = NAN
        value = LOSSES.build(name)(predicted, target, weights())
        assert float(value) == pytest.approx(one_by_one(name, {}, predicted, target, weights()), rel=1e-9)

    def test_an_item_without_a_map_counts_nothing(self, name: str) -> None:
        predicted, target = maps(0).requires_grad_(), maps(1)
        target[1] = NAN
        loss = LOSSES.build(name)
        both = loss(predicted, target, weights())
        alone = loss(predicted[[0, 2]], target[[0, 2]], weights()[[0, 2]])
        torch.testing.assert_close(both, alone)
        (gradient,) = torch.autograd.grad(both, predicted)
        assert gradient.isfinite().all() and (gradient[1] == 0).all()

    def test_weight_zero_excludes(self, name: str) -> None:
        loss, weight = LOSSES.build(name), weights()
        weight[2] = 0
        whole = loss(maps(0), maps(1), weight)
        torch.testing.assert_close(whole, loss(maps(0)[:2], maps(1)[:2], weight[:2]))

    def test_it_pulls_towards_the_target_from_outside_too(self, name: str) -> None:
        for start in (-0.3, 0.4, 1.4):
            for goal in (0.0, 1.0):
                predicted = torch.full((1, 1, 4, 4), start, dtype=torch.float64, requires_grad=True)
                target = torch.full((1, 1, 4, 4), goal, dtype=torch.float64)
                if name == "dice" and (goal == 0.0 or start < 0):
                    continue  # of an empty mask it only asks for small squares; below 0 the overlap says where to go
                (gradient,) = torch.autograd.grad(LOSSES.build(name)(predicted, target, weights(1)), predicted)
                if (start - goal) * 1.0 != 0:
                    assert (gradient * (start - goal) > 0).all(), (start, goal)

    def test_the_perfect_map_is_the_best(self, name: str) -> None:
        target = maps(1).round()
        loss = LOSSES.build(name)
        perfect = loss(target.clone(), target, weights())
        assert perfect < loss(maps(2), target, weights())
        assert perfect.isfinite()


def test_against_torch() -> None:
    predicted, target, weight = maps(0), maps(1), weights()
    own = F.binary_cross_entropy(predicted, target, reduction="none").mean(dim=(1, 2, 3)) @ weight
    torch.testing.assert_close(LOSSES.build("bce")(predicted, target, weight), own)
    gentle = LOSSES.build("focal", gamma=0.0, alpha=0.5)(predicted, target, weight)  # cross-entropy, halved
    torch.testing.assert_close(2 * gentle, own)
    from torchvision.ops import sigmoid_focal_loss

    focal = sigmoid_focal_loss(torch.logit(predicted), target.round(), 0.3, 1.5, "none").mean(dim=(1, 2, 3)) @ weight
    torch.testing.assert_close(LOSSES.build("focal", gamma=1.5, alpha=0.3)(predicted, target.round(), weight), focal)


def test_keywords_matter() -> None:
    predicted, target, weight = maps(0), maps(1).round(), weights()
    for name, keywords in (
        ("bce", {"positive": 3.0}),
        ("dice", {"smooth": 10.0}),
        ("focal", {"alpha": 0.7, "gamma": 1.0}),
    ):
        value = float(LOSSES.build(name, **keywords)(predicted, target, weight))
        assert value == pytest.approx(one_by_one(name, keywords, predicted, target, weight), rel=1e-9)


@pytest.mark.parametrize(
    ("name", "keywords", "part"),
    [("bce", {"positive": 0.0}, "positive"), ("focal", {"alpha": 1.0}, "alpha"), ("dice", {"smooth": 0.0}, "smooth")],
)
def test_mistakes(name: str, keywords: dict[str, Any], part: str) -> None:
    with pytest.raises(UserError, match=part):
        LOSSES.build(name, **keywords)


def test_a_loss_of_the_other_kind_is_refused() -> None:
    with pytest.raises(UserError, match=r"model\.loss: 'ranking' takes scores, not maps; use one of bce, dice"):
        build_loss("ranking", "model.loss", "maps")
    with pytest.raises(UserError, match=r"model\.loss: 'dice' takes maps, not scores"):
        build_loss("dice", "model.loss", "scores")
