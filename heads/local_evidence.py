"""Local evidence: a small network at every position, a soft maximum over positions (multiple-instance learning).

A pair is a bag of positions; it is changed where at least one position is. So a network that is trained on nothing but one
label per pair learns where: score and map are made of the same numbers.

    e(p) = net( c(d(p)) ) - net(0)            evidence at position p, from the squared differences d of all stages
    map(p) = output( e(p) )
    score = output( T log mean_p exp( e(p) / T ) )
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from heads.contract import BackboneShape, Compress, Normalize, Scale
from heads.grid_head import GridHead
from heads.output import Output, apply_output
from heads.statistics import compressed
from registry import HEADS
from semfid.errors import UserError
from semfid.scoring.local_evidence import EvidenceWeights, evidence, soft_maximum


@HEADS.register(
    "local_evidence",
    summary="small network over the differences at every position, soft maximum: a score and its map",
    source="multiple-instance learning with a log-sum-exp, Pinheiro and Collobert 2015, arXiv 1411.6228",
)
class LocalEvidence(GridHead):
    """Squared differences of all stages on one grid, two hidden layers at every position, soft maximum over positions.

    Args:
        width: of the first hidden layer; the second has half as many.
        stride: of the grid in pixels. Stages that are finer are pooled to it by means and maxima.
        temperature: T above; small, the score is that of the most changed position, large, their mean.
        compress: c above, see `heads.statistics.compressed`.
        scale: ``train`` divides each channel by its root mean square over training pairs and positions plus a tenth of the
            stage's mean of these.
        output: ``sigmoid`` keeps scores and maps below 1; see `heads.output`.
    """

    scale: Tensor

    def __init__(
        self,
        backbone: BackboneShape,
        width: int = 48,
        stride: int = 8,
        temperature: float = 0.25,
        normalize: Normalize = "none",
        compress: Compress = "sqrt",
        scale: Scale = "train",
        output: Output = "sigmoid",
    ) -> None:
        super().__init__(backbone.channels, backbone.strides, stride)
        if width < 2:
            raise UserError(f"head: width={width} must be at least 2")
        if temperature <= 0:
            raise UserError(f"head: temperature={temperature:g} must be above 0; 0.25 is a good start")
        self.temperature, self.normalize, self.compress, self.output = temperature, normalize, compress, output
        inputs, narrow = sum(self.widths), width // 2
        self.first = nn.Parameter(torch.randn(width, inputs) * (0.5 / inputs) ** 0.5)
        self.first_bias = nn.Parameter(torch.empty(width).uniform_(-0.1, 0.1))
        self.second = nn.Parameter(torch.randn(narrow, width) * (2 / width) ** 0.5)
        self.second_bias = nn.Parameter(torch.empty(narrow).uniform_(-0.1, 0.1))
        self.last = nn.Parameter(torch.randn(narrow) * 0.1 * narrow**-0.5)
        self.needs_calibration = scale == "train"
        self.register_buffer("scale", torch.ones(inputs))

    def calibrate(self, features: Tensor | Sequence[Tensor]) -> None:
        if self.needs_calibration:
            sizes = [_sizes(compressed(grid, self.compress)) for grid in self.listed(features)]
            self.scale.copy_(torch.cat(sizes))

    def evidence(self, grids: Sequence[Tensor]) -> Tensor:
        weights = EvidenceWeights(self.first / self.scale, self.first_bias, self.second, self.second_bias, self.last)
        return evidence(grids, weights, self.compress)

    def score_of(self, evidence: Tensor) -> Tensor:
        return self.finish(soft_maximum(evidence, self.temperature))

    def finish(self, evidence: Tensor) -> Tensor:
        return apply_output(evidence, self.output)


def _sizes(grid: Tensor) -> Tensor:
    """(K,) root mean squares over items and positions of (n, K, h, w), plus a tenth of their mean; 1 where nothing moves.

    The tenth keeps a channel that these items hardly move from exploding on others.
    """
    rms = torch.stack([item.double().square().mean(dim=(1, 2)) for item in grid]).mean(dim=0).sqrt()
    return rms + rms.mean() / 10 if rms.any() else torch.ones_like(rms)
