"""What an experiment trains on: pairs with labels, or single images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lightning_modules.experts import Experts
from lightning_modules.image_module import ImageTask
from lightning_modules.pair_module import PairModule
from registry import LIGHTNING_MODULES, RegistryError, named


def task_class(config: Mapping[str, Any]) -> type[ImageTask] | None:
    """The class of a variant's module where it trains on single images, else None (also where there is no such module)."""
    found = module_class(config)
    return found if found is not None and issubclass(found, ImageTask) else None


def is_experts(config: Mapping[str, Any]) -> bool:
    """Whether a variant is of experts and a gate, which write metrics' files."""
    found = module_class(config)
    return found is not None and issubclass(found, Experts)


def needs_maps(config: Mapping[str, Any]) -> bool:
    """Whether a variant's module trains on difference maps."""
    found = module_class(config)
    return found is not None and issubclass(found, PairModule) and found.wants_maps(named(config["model"], "model")[1])


def module_class(config: Mapping[str, Any]) -> type[Any] | None:
    """The class that a variant's module is registered as; None where there is no such module, or a function makes it."""
    if not config["model"]:  # only training-free metrics are compared
        return None
    try:
        name, _ = named(config["model"], "model")
        factory: Any = LIGHTNING_MODULES.get(name).factory
    except RegistryError:  # a training-free metric stands in `model` too; the check reports a mistyped name
        return None
    return factory if isinstance(factory, type) else None


def task_monitor(task: type[ImageTask], config: Mapping[str, Any]) -> str | None:
    """The logged figure that selects an epoch; None is the last epoch. The schema's default, val_mse, is of pairs."""
    monitor = str(config["selection"]["monitor"])
    return monitor if monitor in task.monitors else None
