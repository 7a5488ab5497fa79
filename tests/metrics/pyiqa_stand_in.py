"""A module with the part of pyiqa's interface that the adapter uses; pyiqa itself is not installed for its licence."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from types import ModuleType

import torch
from torch import Tensor, nn


@contextlib.contextmanager
def pyiqa_in_place() -> Iterator[None]:
    """The stand-in, where `import pyiqa` finds it."""
    before = sys.modules.get("pyiqa")
    sys.modules["pyiqa"] = pyiqa_stand_in()
    try:
        yield
    finally:
        if before is None:
            del sys.modules["pyiqa"]
        else:
            sys.modules["pyiqa"] = before


class StandIn(nn.Module):
    """The part of pyiqa's InferenceModel that the adapter uses."""

    def __init__(self, name: str, lower_better: bool) -> None:
        super().__init__()
        self.name, self.lower_better = name, lower_better

    def forward(self, target: Tensor, ref: Tensor | None = None) -> Tensor:
        if ref is None:  # niqe: lower is better; musiq: higher
            contrast = target.std(dim=(1, 2, 3))
            return 1 - contrast if self.name == "niqe" else contrast.unsqueeze(1)
        if self.name == "psnr":
            return -10 * torch.log10((target - ref).square().mean(dim=(1, 2, 3)))
        return ((target - ref).square() * (0.5 + ref)).mean(dim=(1, 2, 3)).unsqueeze(1)


def pyiqa_stand_in() -> ModuleType:
    """A module with pyiqa's `list_models` and `create_metric`."""
    modes = {"lopsided": ("FR", True), "psnr": ("FR", False), "niqe": ("NR", True), "musiq": ("NR", False)}
    module = ModuleType("pyiqa")

    def list_models(metric_mode: str | None = None) -> list[str]:
        return [name for name, (mode, _) in modes.items() if metric_mode in (None, mode)]

    def create_metric(metric_name: str, as_loss: bool = False, device: str | None = None) -> StandIn:
        assert not as_loss and device == "cpu"
        return StandIn(metric_name, modes[metric_name][1])

    module.list_models, module.create_metric = list_models, create_metric  # type: ignore[attr-defined]
    return module
