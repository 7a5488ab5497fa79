"""Optimisers by name: what is refused, which parameters get which learning rate, how the schedule falls."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from lightning_modules.optimizers import OPTIMIZERS, build_optimizer, build_schedule, check_optimizer
from semfid.errors import UserError


def parameters(count: int) -> list[nn.Parameter]:
    return [nn.Parameter(torch.ones(2)) for _ in range(count)]


@pytest.mark.parametrize(
    ("config", "part"),
    [
        (
            {"name": "adm"},
            r"model\.optimizer\.name is 'adm'; did you mean .*'adam'.*\(there are: adam, adamw, sgd, rmsprop\)",
        ),
        ({"lr": 1e-3}, r"model\.optimizer\.name is None"),
        ({"name": "adam", "lerning_rate": 1}, r"adam has no keyword 'lerning_rate'"),
        ({"name": "adam", "weight_decy": 1}, r"adam has no keyword 'weight_decy'; did you mean 'weight_decay'"),
        ({"name": "adam", "momentum": 0.9}, r"adam has no keyword 'momentum'"),
        ({"name": "adam", "params": []}, r"adam has no keyword 'params'"),
        ({"name": "adam", "lr": 0}, r"model\.optimizer\.lr is 0; it must be a positive number such as 1e-4"),
        ({"name": "adam", "lr": -1.0}, "it must be a positive number"),
        ({"name": "adam", "lr": "1e-4"}, "model.optimizer.lr is '1e-4'"),
        ({"name": "adam", "lr": True}, "it must be a positive number"),
        ({"name": "adam", "lr": None}, "it must be a positive number"),
        ({"name": "adam", "lr": float("nan")}, "it must be a positive number"),
        ({"name": "adam", "lr": math.inf}, "it must be a positive number"),
        ({"name": "sgd", "backbone_lr": 0.0}, r"model\.optimizer\.backbone_lr is 0\.0"),
        ({"name": "sgd", "schedule": "cosin"}, r"schedule is 'cosin'; choose one of constant, cosine"),
    ],
)
def test_mistakes(config: dict[str, Any], part: str) -> None:
    for call in (lambda: check_optimizer(config), lambda: build_optimizer(config, parameters(1))):
        with pytest.raises(UserError, match=part):
            call()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_name_builds_torchs_own(name: str) -> None:
    optimizer = build_optimizer({"name": name, "lr": 0.3, "weight_decay": 0.1, "schedule": "cosine"}, parameters(2))
    assert type(optimizer) is OPTIMIZERS[name]
    assert len(optimizer.param_groups) == 1
    assert optimizer.param_groups[0]["lr"] == 0.3 and optimizer.param_groups[0]["weight_decay"] == 0.1


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize(
    ("config", "rates"), [({"lr": 0.3, "backbone_lr": 0.01}, (0.3, 0.01)), ({"lr": 0.3}, (0.3, 0.3)), ({}, None)]
)
def test_the_backbones_learning_rate(name: str, config: dict[str, Any], rates: tuple[float, float] | None) -> None:
    """Without one of its own the backbone learns at `lr`, and without that at the optimiser's own default."""
    head, backbone = parameters(2), parameters(3)
    groups = build_optimizer({"name": name, **config}, head, backbone).param_groups
    assert [len(group["params"]) for group in groups] == [2, 3]
    assert groups[0]["params"][0] is head[0] and groups[1]["params"][0] is backbone[0]
    if rates is None:
        default = OPTIMIZERS[name](parameters(1)).param_groups[0]["lr"]
        rates = (default, default)
    assert (groups[0]["lr"], groups[1]["lr"]) == rates


def test_a_backbone_without_a_head() -> None:
    groups = build_optimizer({"name": "adam", "lr": 0.1}, [], parameters(1)).param_groups
    assert len(groups) == 1 and groups[0]["lr"] == 0.1


def test_steps_are_torchs() -> None:
    own, theirs = nn.Parameter(torch.tensor([1.0, -2.0])), nn.Parameter(torch.tensor([1.0, -2.0]))
    optimizers = [build_optimizer({"name": "adam", "lr": 0.1}, [own]), torch.optim.Adam([theirs], lr=0.1)]
    for _ in range(3):
        for optimizer, parameter in zip(optimizers, (own, theirs), strict=True):
            optimizer.zero_grad()
            parameter.square().sum().backward()
            optimizer.step()
    assert torch.equal(own, theirs)


def test_cosine_falls_to_zero() -> None:
    optimizer = build_optimizer({"name": "sgd", "lr": 0.4, "backbone_lr": 0.2}, parameters(1), parameters(1))
    schedule = build_schedule({"schedule": "cosine"}, optimizer, 10)
    assert schedule is not None
    for step in range(11):
        expected = 0.5 * (1 + math.cos(math.pi * step / 10))
        assert [group["lr"] for group in optimizer.param_groups] == pytest.approx(
            [0.4 * expected, 0.2 * expected], abs=1e-12
        )
        optimizer.step()
        schedule.step()


def test_constant_is_no_schedule() -> None:
    optimizer = build_optimizer({"name": "sgd", "lr": 0.4}, parameters(1))
    assert build_schedule({}, optimizer, 10) is None
    assert build_schedule({"schedule": "constant"}, optimizer, 10) is None
    assert build_schedule({"schedule": "cosine"}, optimizer, 0) is not None
