"""`SemanticDifferenceLoss`: the default or a trained metric as a loss."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from semfid.scoring.load import load_scorer
from semfid.scoring.scorer import Description, Scorer, check_images, check_pair, compared, keep_out_of_checkpoints


class SemanticDifferenceLoss(nn.Module):
    """Semantic difference of candidates from their references, to be minimised over the candidates.

    Gradients flow to `candidate` alone: the reference is described without a graph, and the scorer's weights never train.
    They are finite at identical images. The scorer's weights stay float32, and out of checkpoints; under autocast its backbone
    takes part, its head does not.

    Args:
        scorer: an exported file (``scorer.pt2``), a run folder (in the clone), or a loaded scorer; None: the default metric.
        reduction: ``mean`` over the batch, ``sum``, or ``none``: (B,).
        check: look at shapes, ranges and finiteness at every call; off saves two passes over the pixels. Networks give
            values a little outside [0, 1]: clamp them first.

    Raises:
        UserError: nothing there, or not a scorer.
    """

    def __init__(
        self,
        scorer: str | Path | Scorer | None = None,
        reduction: Literal["mean", "sum", "none"] = "mean",
        check: bool = True,
    ) -> None:
        super().__init__()
        if reduction not in ("mean", "sum", "none"):
            raise ValueError(f"reduction is {reduction!r}; give 'mean', 'sum' or 'none'")
        self.reduction, self.check = reduction, check
        self.scorer = scorer if isinstance(scorer, Scorer) else load_scorer(scorer)
        self.scorer.requires_grad_(False)
        keep_out_of_checkpoints(self, "scorer")

    def describe(self, reference: Tensor) -> Description:
        """Features of references (B, 3, H, W), without a graph: for photos that come again, to be given to `forward`.

        Raises:
            UserError: as `forward`.
        """
        if self.check:
            check_images(reference, "reference")
        return self._described(reference)

    def _described(self, reference: Tensor) -> Description:
        with torch.no_grad():
            return self.scorer.describe(reference.float())

    def forward(self, reference: Tensor | Description, candidate: Tensor) -> Tensor:
        """The loss, a scalar or (B,).

        Args:
            reference: (B, 3, H, W) floating point RGB in [0, 1], or what `describe` made of it.
            candidate: (B, 3, H, W); gradients reach it.

        Raises:
            UserError: where `check` finds another shape, type or range, or pixels that are not finite.
        """
        if self.check and isinstance(reference, Tensor):
            check_pair(reference, candidate)
        elif self.check:
            check_images(candidate, "candidate")
        x = self._described(reference) if isinstance(reference, Tensor) else reference
        score = compared(self.scorer, x, self.scorer.describe(candidate.float()))  # (B,)
        if self.reduction == "none":
            return score
        return score.mean() if self.reduction == "mean" else score.sum()

    def train(self, mode: bool = True) -> SemanticDifferenceLoss:
        """The scorer stays in eval mode."""
        super().train(mode)
        self.scorer.eval()
        return self
