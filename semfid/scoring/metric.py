"""`SemanticDifference`: the default or a trained metric as a torchmetrics `Metric`."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities.data import dim_zero_cat

from semfid.scoring.arithmetic import exact_products
from semfid.scoring.load import load_scorer
from semfid.scoring.scorer import Scorer, check_pair, keep_out_of_checkpoints


class SemanticDifference(Metric):
    """Mean semantic difference between references and candidates: 0 = same meaning, 1 = every rater would see a change.

    Args:
        scorer: an exported file (``scorer.pt2``), a run folder (in the clone), or a loaded scorer; None: the default metric.
        reduction: ``mean`` over all pairs, ``none``: one value per pair, in the order of the updates (and ranks).

    Raises:
        UserError: nothing there, or not a scorer.

    Example:
        >>> metric = SemanticDifference()  # doctest: +SKIP
        >>> metric.update(reference, candidate)  # doctest: +SKIP
        >>> metric.compute()  # doctest: +SKIP
        tensor(0.2715)
    """

    is_differentiable = True
    higher_is_better = False
    full_state_update = False
    plot_lower_bound = 0.0
    plot_upper_bound = 1.0

    scored_by: Tensor
    total: Tensor
    count: Tensor
    values: list[Tensor]

    def __init__(self, scorer: str | Path | Scorer | None = None, reduction: Literal["mean", "none"] = "mean") -> None:
        super().__init__()
        if reduction not in ("mean", "none"):
            raise ValueError(f"reduction is {reduction!r}; give 'mean' or 'none'")
        self.reduction = reduction
        self.scorer = scorer if isinstance(scorer, Scorer) else load_scorer(scorer)
        keep_out_of_checkpoints(self, "scorer")
        # a MetricCollection merges metrics whose states are equal after the first batch: those of two scorers never are
        facts = self.scorer.facts
        origin = torch.tensor(zlib.crc32(f"{facts.run} {facts.weights_hash}".encode()))
        self.add_state("scored_by", default=origin, dist_reduce_fx="max")
        if reduction == "mean":
            self.add_state("total", default=torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
            self.add_state("count", default=torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")
        else:
            self.add_state("values", default=[], dist_reduce_fx="cat")

    def update(self, reference: Tensor, candidate: Tensor) -> None:
        """Score a batch.

        Args:
            reference: (B, 3, H, W) floating point RGB in [0, 1].
            candidate: the same shape.

        Raises:
            UserError: another shape, type or range; pixels that are not finite.
        """
        check_pair(reference, candidate)
        # the value is not to depend on the caller's precision
        with torch.autocast(reference.device.type, enabled=False), exact_products(reference.device):
            scores = self.scorer(reference.float(), candidate.float())
        if self.reduction == "mean":
            self.total = self.total + scores.sum(dtype=self.total.dtype)
            self.count = self.count + len(scores)
        else:
            self.values.append(scores)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Add a batch and return its own value, through which gradients reach the images."""
        value = super().forward(*args, **kwargs)
        if self.reduction == "none":  # or the graphs of all batches would be held
            self.values = [scores.detach() for scores in self.values]
        return value

    def compute(self) -> Tensor:
        """The mean, or (N,) values."""
        if self.reduction == "mean":
            return (self.total / self.count).float()
        return dim_zero_cat(self.values)

    def train(self, mode: bool = True) -> SemanticDifference:
        """The scorer stays in eval mode."""
        super().train(mode)
        self.scorer.eval()
        return self
