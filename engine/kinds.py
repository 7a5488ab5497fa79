"""What an experiment trains on: pairs with labels, or single images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lightning_modules.global_regressor import named
from lightning_modules.pair_module import PairModule
from lightning_modules.task import ImageTask
from registry import LIGHTNING_MODULES, RegistryError


def task_class(config: Mapping[str, Any]) -> type[ImageTask] | None:
    """The class of a variant's module where it trains on single images, else None (also where there is no such module)."""
    factory = _factory(config)
    return factory if isinstance(factory, type) and issubclass(factory, ImageTask) else None


def needs_maps(config: Mapping[str, Any]) -> bool:
    """Whether a variant's module trains on difference maps."""
    factory = _factory(config)
    return isinstance(factory, type) and issubclass(factory, PairModule) and factory.needs_maps


def _factory(config: Mapping[str, Any]) -> Any:
    try:
        name, _ = named(config["model"], "model")
        return LIGHTNING_MODULES.get(name).factory
    except RegistryError:  # a training-free metric stands in `model` too; the check reports a mistyped name
        return None


def task_monitor(task: type[ImageTask], config: Mapping[str, Any]) -> str | None:
    """The logged figure that selects an epoch; None is the last epoch. The schema's default, val_mse, is of pairs."""
    monitor = str(config["selection"]["monitor"])
    return monitor if monitor in task.monitors else None
