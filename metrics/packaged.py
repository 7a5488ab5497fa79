"""The package's default metric beside the training-free ones."""

from __future__ import annotations

from torch import Tensor

from metrics import TrainingFreeMetric, zero_where_equal
from registry import METRICS
from semfid.scoring.default_metric import load_default_metric
from semfid.scoring.scorer import check_pair


@METRICS.register("semfid", summary="the package's default metric, with its map", source="docs/default_metric.md")
class Semfid(TrainingFreeMetric):
    """The default metric of `semfid score`. It learned from other pairs, and learns nothing from those that it scores here.

    It was fitted on edits and restorations of photos of COCO train2017 and KonIQ-10k: on pairs of the same photos it is no
    independent judge.

    Raises:
        UserError: images smaller than 32 pixels.

    Example:
        >>> import torch
        >>> photo = torch.rand(1, 3, 64, 64)
        >>> Semfid()(photo, photo)
        tensor([0.])
    """

    symmetric = False
    gives_maps = True

    def __init__(self) -> None:
        super().__init__()
        self.scorer = load_default_metric()
        self.identity = f"{self.scorer.facts.run} {self.scorer.facts.weights_hash}"

    def forward(self, reference: Tensor, candidate: Tensor) -> Tensor:
        check_pair(reference, candidate)
        return zero_where_equal(self.scorer(reference, candidate), reference, candidate)  # (B,)

    def maps(self, reference: Tensor, candidate: Tensor) -> Tensor:
        check_pair(reference, candidate)
        maps = self.scorer.score_and_map(reference, candidate)[1]  # (B, 1, H, W)
        assert maps is not None  # the package's metric has a map
        return zero_where_equal(maps, reference, candidate)
