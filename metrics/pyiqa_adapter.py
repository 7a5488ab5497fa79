"""pyiqa's metrics under this project's contracts, where pyiqa is installed.

pyiqa (IQA-PyTorch) is licensed for non-commercial use (PolyForm Noncommercial 1.0.0, with parts under S-Lab's licence). It is
no dependency of this project and is never installed by it; this file holds none of its code.
"""

from __future__ import annotations

import importlib
from typing import Any, Literal

from torch import Tensor

from metrics import QualityMetric, TrainingFreeMetric, zero_where_equal
from models.hub import device_of
from registry import METRICS, QUALITY_METRICS
from semfid.errors import UserError, did_you_mean


@METRICS.register(
    "pyiqa",
    summary="any full-reference metric of pyiqa, where it is installed",
    source="github.com/chaofengc/IQA-PyTorch, non-commercial",
)
class PyiqaMetric(TrainingFreeMetric):
    """A metric of pyiqa as a difference in [0, 1], linear in its values between the two ends of its scale.

    Args:
        metric: pyiqa's name of it, such as ``dists`` or ``topiq_fr``.
        best, worst: the ends: what becomes 0 and what becomes 1; values beyond them are cut. null: 0 and 1, or 1 and 0 where
            pyiqa says that higher is better. A scale that is another one (psnr's decibel) needs both.

    Raises:
        UserError: pyiqa is not there, or has no such metric; its weights cannot be had.
    """

    symmetric = False  # it depends on the metric: what is not promised here is not checked

    def __init__(
        self, metric: str, best: float | None = None, worst: float | None = None, device: str = "auto"
    ) -> None:
        super().__init__()
        self.device = device_of("pyiqa", device)
        self.metric = _create(metric, "FR", self.device)
        lower_better = bool(self.metric.lower_better)
        self.best = float(best) if best is not None else (0.0 if lower_better else 1.0)
        self.worst = float(worst) if worst is not None else (1.0 if lower_better else 0.0)
        if self.best == self.worst or (self.best < self.worst) != lower_better:
            better = "lower" if lower_better else "higher"
            raise UserError(
                f"pyiqa: best={self.best:g} and worst={self.worst:g} of '{metric}' do not fit: {better} is better there"
            )

    def forward(self, reference: Tensor, candidate: Tensor) -> Tensor:
        values = _values(self.metric(candidate.to(self.device), reference.to(self.device)), len(reference))
        difference = ((values - self.best) / (self.worst - self.best)).to(reference.device)
        return zero_where_equal(difference, reference, candidate)


@QUALITY_METRICS.register(
    "pyiqa",
    summary="any no-reference metric of pyiqa, where it is installed",
    source="github.com/chaofengc/IQA-PyTorch, non-commercial",
)
class PyiqaQuality(QualityMetric):
    """A no-reference metric of pyiqa, its sign turned where pyiqa says that lower is better.

    Args:
        metric: pyiqa's name of it, such as ``musiq``, ``topiq_nr`` or ``niqe``. Those trained on KonIQ-10k favour its photos.

    Raises:
        UserError: pyiqa is not there, or has no such metric; its weights cannot be had.
    """

    def __init__(self, metric: str, device: str = "auto") -> None:
        super().__init__()
        self.device = device_of("pyiqa", device)
        self.metric = _create(metric, "NR", self.device)
        self.sign = -1.0 if self.metric.lower_better else 1.0

    def forward(self, images: Tensor) -> Tensor:
        return (self.sign * _values(self.metric(images.to(self.device)), len(images))).to(images.device)


def _create(metric: str, mode: Literal["FR", "NR"], device: str) -> Any:
    try:
        pyiqa: Any = importlib.import_module("pyiqa")
    except ImportError as error:
        raise UserError(
            f"pyiqa is not installed ({error}), and semfid does not install it: its licence is non-commercial. If that suits "
            "you, pip install pyiqa; else use lpips, ms_ssim or dinov2_cosine, or deblocked_sharpness for quality"
        ) from error
    known = list(pyiqa.list_models())
    if metric not in known:
        raise UserError(
            f"pyiqa has no metric '{metric}'{did_you_mean(metric, known)}; pyiqa.list_models() names them all"
        )
    fitting = list(pyiqa.list_models(metric_mode=mode))
    if metric not in fitting:
        kind = "compares two images; it is a metric" if mode == "NR" else "looks at one image; it is a quality"
        raise UserError(f"pyiqa: '{metric}' {kind}, so it cannot stand here")
    try:
        created = pyiqa.create_metric(metric, as_loss=False, device=device)
    except (OSError, RuntimeError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise UserError(f"pyiqa: cannot get '{metric}' ({reason}); connect, or fill its cache") from error
    return created.eval().requires_grad_(False)


def _values(found: Tensor, count: int) -> Tensor:
    """(B,) float32 of what pyiqa returns: (B,), (B, 1) or one number."""
    values = found.detach().float().reshape(-1)
    if len(values) != count:
        raise UserError(
            f"pyiqa returned {len(values)} values for {count} images; this metric is of sets, not of images"
        )
    return values
