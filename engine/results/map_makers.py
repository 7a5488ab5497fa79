"""Difference maps out of a finished run or a training-free metric."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from engine.config.schema import RunConfig
from heads import Head
from lightning_modules.scorer import RunScorer, load_finished
from metrics import TrainingFreeMetric
from registry import HEADS, METRICS, RegistryError
from semfid.scoring.arithmetic import exact_products
from semfid.scoring.scorer import Description, Scorer, upsampled


class MapMaker(Protocol):
    """Makes maps of pairs."""

    def __call__(self, fold: int, names: Sequence[str], reference: Tensor, candidate: Tensor) -> Tensor:
        """Differences at the size of the images, (B, 1, H, W) float32 on the CPU.

        Args:
            fold: that the pairs were tested in.
            names: of the references; one name is one image, and is described once while it stands in neighbouring calls.
            reference, candidate: (B, 3, H, W) in [0, 1].
        """
        ...


def gives_maps(config: RunConfig) -> bool:
    """Whether a variant or a metric gives maps; known from names, before a backbone is built for nothing."""
    model = config.model
    if model is None:
        return False
    if config.needs_maps or config.is_experts:
        return True
    try:
        factory: Any = METRICS.get(model.name).factory
    except RegistryError:
        if model.head is None:
            return False
        head = HEADS.get(model.head.name).factory
        return isinstance(head, type) and issubclass(head, Head) and head.gives_maps
    return isinstance(factory, type) and issubclass(factory, TrainingFreeMetric) and factory.gives_maps


def map_maker(folder: Path, config: RunConfig) -> MapMaker:
    """What makes the maps of a run, on the device that its configuration asks for.

    Args:
        folder: of the run.
        config: of the run, of which `gives_maps` says yes.

    Raises:
        UserError: a run whose files are gone or changed.
    """
    if config.learns:
        return RunMaps(folder, config)
    metric = config.needed_model
    return MetricMaps(METRICS.build(metric.name, **metric.keywords))  # type: ignore[arg-type]


class MetricMaps:
    """Maps of a training-free metric."""

    def __init__(self, metric: TrainingFreeMetric) -> None:
        self.metric = metric.eval()

    def __call__(self, fold: int, names: Sequence[str], reference: Tensor, candidate: Tensor) -> Tensor:
        with torch.inference_mode(), exact_products(reference.device):
            return self.metric.maps(reference, candidate).float()


class RunMaps:
    """Maps of a run, by the head, and the backbone, of the fold that a pair was tested in.

    Folds whose backbones train are loaded one at a time.
    """

    def __init__(self, folder: Path, config: RunConfig) -> None:
        self.folder = folder
        self.device = map_device(config)
        self._fold = -1
        self._scorer: Any = None
        self._described: dict[str, Description] = {}
        self._shared: dict[int, RunScorer] = {}
        if config.needed_model.tuning == "frozen":
            whole = load_finished(folder)  # one backbone for all folds
            if type(whole) is RunScorer:
                parts = sorted(int(path.stem.split("-")[1]) for path in folder.glob("part-*.ckpt"))
                heads = dict(zip(parts, whole.heads, strict=True))
                self._shared = {part: RunScorer(whole.backbone, [head], whole.facts) for part, head in heads.items()}  # type: ignore[list-item]

    def scorer(self, fold: int) -> Scorer:
        """The scorer of one fold."""
        if fold != self._fold:
            found = self._shared[fold] if fold in self._shared else load_finished(self.folder, fold)
            self._scorer, self._fold, self._described = found.to(self.device), fold, {}
        return self._scorer  # type: ignore[no-any-return]

    def __call__(self, fold: int, names: Sequence[str], reference: Tensor, candidate: Tensor) -> Tensor:
        scorer = self.scorer(fold)
        with torch.inference_mode(), exact_products(self.device):
            fresh = {name: at for at, name in reversed(list(enumerate(names))) if name not in self._described}
            known = {name: self._described[name] for name in names if name in self._described}
            if fresh:
                described = scorer.describe(reference[list(fresh.values())].to(self.device))
                for place, name in enumerate(fresh):
                    known[name] = tuple(tensor[place : place + 1] for tensor in described)
            self._described = known
            sides = zip(*(known[name] for name in names), strict=True)
            x = tuple(torch.cat(tensors) for tensors in sides)
            maps = scorer.maps(x, scorer.describe(candidate.to(self.device)))  # (B, 1, h, w)
            return upsampled(maps, candidate.shape[-2:]).float().cpu()


def map_device(config: RunConfig) -> str:
    """Where a run's maps are made: a GPU where there is one and the configuration does not say otherwise."""
    wanted = config.trainer.accelerator in ("auto", "gpu", "cuda")
    return "cuda" if wanted and torch.cuda.is_available() else "cpu"
