"""Multilayer perceptrons over the two images' vectors, side by side.

An MLP of a concatenation neither is symmetric nor scores identical images 0 by itself. `anchored` (the default)
subtracts the score of the reference against itself, so that identical images score exactly 0; off, it is the source
project's head.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from heads.contract import BackboneShape, Head
from heads.output import Output, apply_output
from registry import HEADS
from semfid.errors import UserError


@dataclass(frozen=True)
class MlpOptions:
    """Keywords of every MLP head.

    Attributes:
        hidden: widths of the hidden layers; None: the head's own.
        anchored: subtract the score of the reference against itself.
        output: see `heads.output`.
    """

    hidden: list[int] | None = None
    anchored: bool = True
    output: Output = "identity"


class _PairMlp(Head):
    symmetric = False

    def __init__(self, width: int, hidden: Sequence[int], options: MlpOptions) -> None:
        super().__init__()
        hidden = hidden if options.hidden is None else options.hidden
        if not hidden or any(units < 1 for units in hidden):
            raise UserError(f"head: hidden={list(hidden)} must list positive layer widths, such as [512, 128]")
        sizes = [2 * width, *hidden]
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(sizes):
            layers += [nn.Linear(before, after), nn.ReLU()]
        self.mlp = nn.Sequential(*layers, nn.Linear(sizes[-1], 1))
        self.anchored, self.output = options.anchored, options.output
        self.zero_at_identity = options.anchored

    def forward(self, features: Tensor) -> Tensor:
        raw = self.mlp(features.flatten(1)).squeeze(1)  # (B, 2, D) -> (B,)
        if self.anchored:
            reference = features[:, :1]
            raw = raw - self.mlp(torch.cat([reference, reference], dim=1).flatten(1)).squeeze(1)
        return apply_output(raw, self.output)


@HEADS.register(
    "pooled_mlp",
    summary="MLP over both images' pooled stage features",
    source="source project's ablation",
    shared=MlpOptions,
)
class PooledMlp(_PairMlp):
    """Spatial means of all stages of both images, concatenated, through an MLP with ReLU."""

    input_kind = "pooled_features"

    def __init__(self, backbone: BackboneShape, *, options: MlpOptions) -> None:
        if not backbone.channels:
            raise UserError("head: this backbone gives no feature maps; use a head on embeddings (embedding_mlp)")
        super().__init__(sum(backbone.channels), [2056, 1028, 512], options)


@HEADS.register(
    "embedding_mlp",
    summary="MLP over both images' embeddings",
    source="source project's ablation",
    shared=MlpOptions,
)
class EmbeddingMlp(_PairMlp):
    """Both images' embeddings, concatenated, through an MLP with ReLU."""

    input_kind = "embeddings"

    def __init__(self, backbone: BackboneShape, *, options: MlpOptions) -> None:
        super().__init__(backbone.embed_dim, [512, 128], options)
