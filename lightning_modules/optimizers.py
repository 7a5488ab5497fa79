"""Optimisers and schedules by name, their keywords checked."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from semfid.errors import UserError, did_you_mean

OPTIMIZERS = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": torch.optim.SGD,
    "rmsprop": torch.optim.RMSprop,
}
SCHEDULES = ("constant", "cosine")


def check_optimizer(config: Mapping[str, Any]) -> None:
    """Check ``{name, lr, backbone_lr, schedule, ...}`` without building anything.

    Raises:
        UserError: unknown name, unknown keyword, or a learning rate that is not a positive number.
    """
    name = config.get("name")
    if name not in OPTIMIZERS:
        raise UserError(
            f"model.optimizer.name is {name!r}{did_you_mean(str(name), OPTIMIZERS)} (there are: {', '.join(OPTIMIZERS)})"
        )
    known = [key for key in inspect.signature(OPTIMIZERS[name]).parameters if key != "params"]
    known += ["name", "backbone_lr", "schedule"]
    for key in config:
        if key not in known:
            raise UserError(f"model.optimizer: {name} has no keyword '{key}'{did_you_mean(str(key), known)}")
    for key in ("lr", "backbone_lr"):
        value = config.get(key)
        positive = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < math.inf
        if key in config and not positive:
            raise UserError(f"model.optimizer.{key} is {value!r}; it must be a positive number such as 1e-4")
    keywords = {key: value for key, value in config.items() if key not in ("name", "backbone_lr", "schedule")}
    try:
        OPTIMIZERS[name]([nn.Parameter(torch.zeros(1))], **keywords)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"model.optimizer: {name} refuses {keywords}: {error}") from error
    if config.get("schedule", "constant") not in SCHEDULES:
        raise UserError(f"model.optimizer.schedule is {config['schedule']!r}; choose one of {', '.join(SCHEDULES)}")


def build_optimizer(
    config: Mapping[str, Any], head: Sequence[nn.Parameter], backbone: Sequence[nn.Parameter] = ()
) -> torch.optim.Optimizer:
    """Build an optimiser; `backbone_lr` (default: `lr`) is the backbone's learning rate."""
    check_optimizer(config)
    keywords = {key: value for key, value in config.items() if key not in ("name", "backbone_lr", "schedule")}
    groups: list[dict[str, Any]] = [{"params": list(head)}] if head else []
    if backbone:
        own = {"lr": config["backbone_lr"]} if "backbone_lr" in config else {}
        groups.append({"params": list(backbone), **own})
    return OPTIMIZERS[config["name"]](groups, **keywords)


def build_schedule(
    config: Mapping[str, Any], optimizer: torch.optim.Optimizer, steps: int
) -> torch.optim.lr_scheduler.LRScheduler | None:
    """``cosine`` falls to 0 over `steps` optimiser steps; ``constant`` is None."""
    if config.get("schedule", "constant") == "cosine":
        return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=max(1, steps))
    return None
