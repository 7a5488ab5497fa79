"""A learned score that can be told in words: squared differences of concept weights, one learned weight per word."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from heads.contract import BackboneShape, Compress, Head, LinearForm, Scale
from heads.output import Output, apply_output
from heads.statistics import channel_rms, compressed
from registry import HEADS


@HEADS.register(
    "concept_linear",
    summary="one weight per dimension of the embeddings' squared difference; on `concepts`, one per word",
    source="SpLiCE, arXiv 2402.10376, in the way of LPIPS",
)
class ConceptLinear(Head):
    """score = output( sum_k w_k c( (x_k - y_k)^2 ) / s_k ), w_k >= 0; the terms are the words' contributions.

    Concepts are of the whole image: there are no positions, so nothing to pool.

    Args:
        weights: ``nonnegative``: more difference in a word never lowers the score; or ``free``.
        scale: ``train`` sets s_k to the size of the word's squared difference over training pairs plus the words' mean of
            these, times what brings the sum to 1 on the mean pair; rare words then learn as fast as common ones.
        output: see `heads.output`.
        compress: c, see `heads.statistics.compressed`.
    """

    input_kind = "embeddings"

    scale: Tensor

    def __init__(
        self,
        backbone: BackboneShape,
        weights: Literal["nonnegative", "free"] = "nonnegative",
        scale: Scale = "train",
        output: Output = "sigmoid",
        compress: Compress = "none",
    ) -> None:
        super().__init__()
        self.compress = compress
        self.weight = nn.Parameter(torch.rand(backbone.embed_dim))
        self.register_buffer("scale", torch.ones(backbone.embed_dim))
        self.needs_calibration, self.output = scale == "train", output
        self.nonnegative = ("weight",) if weights == "nonnegative" else ()

    def calibrate(self, features: Tensor) -> None:
        if not self.needs_calibration:
            return
        squared = self._inputs(features).double()  # (n, K)
        sizes = channel_rms(squared)
        if sizes.any():
            self.scale.copy_(sizes * (squared / sizes).sum(dim=1).mean())

    @classmethod
    def linear_form(cls, keywords: Mapping[str, Any]) -> LinearForm | None:
        return LinearForm(keywords["output"], keywords["weights"] == "nonnegative", False)

    def linear_inputs(self, features: Tensor) -> Tensor:
        return self._inputs(features) / self.scale  # (n, K)

    def linear_sizes(self, inputs: Tensor) -> Tensor:
        sizes = channel_rms(inputs.double() * self.scale.double()) / self.scale.double()
        return torch.where(sizes > 0, sizes, 1.0)

    def set_linear(self, weights: Tensor, bias: float) -> None:
        self.weight.data.copy_(weights)

    def contributions(self, features: Tensor) -> Tensor:
        """(B, K); their sum is the score before the output function."""
        return self._inputs(features) * (self.weight / self.scale)

    def forward(self, features: Tensor) -> Tensor:
        return apply_output(self._inputs(features) @ (self.weight / self.scale), self.output)  # (B,)

    def _inputs(self, features: Tensor) -> Tensor:
        return compressed((features[:, 0] - features[:, 1]).square(), self.compress)  # (B, K)
