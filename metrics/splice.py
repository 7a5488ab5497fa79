"""SpLiCE as a metric: how far the concepts of two images are apart."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor

from metrics import TrainingFreeMetric, zero_where_equal
from metrics.embeddings import DualEncoderCosine
from metrics.memo import EmbeddingMemo
from models.concepts.build import ConceptOptions
from models.concepts.compare import Compare, Strategy, differences, on_shared_words
from models.concepts.decompose import Decomposer
from models.concepts.vocabulary import read_vocabulary
from registry import METRICS


@METRICS.register(
    "splice",
    summary="how far the sparse concepts of two images are apart, in any dual encoder",
    source="SpLiCE, arXiv 2402.10376; strategies: source project",
    shared=ConceptOptions,
)
class Splice(TrainingFreeMetric):
    """1 - cosine of the concept weights of two images, or of the embeddings recomposed from them.

    Each distinct image is decomposed once, as long as it is among the latest thousands. Where no concept is active in either
    image they do not differ, where in one only they differ by 1; a warning says how many images have none.

    Args:
        tower: name of a tower, with its keywords (`semfid list dual_encoders`).
        strategy: ``nonsymmetric`` (each image on all words), ``nouns`` (on nouns), or ``symmetric`` (both on the reference's
            concepts: what a candidate adds cannot show).
        compare: weights, or recomposed embeddings.
        options: see `ConceptOptions`.
    """

    coarse = True

    def __init__(
        self,
        tower: dict[str, Any] | str,
        strategy: Strategy = "nonsymmetric",
        compare: Compare = "weights",
        *,
        options: ConceptOptions,
    ) -> None:
        super().__init__()
        self.settings = options.settings(nouns=strategy == "nouns")
        read_vocabulary(options.vocabulary, options.size)  # a mistake in it shows before anything is embedded
        self.strategy, self.compare = strategy, compare
        self.symmetric = strategy != "symmetric"  # type: ignore[misc]
        self.store = options.store
        self.cosine = DualEncoderCosine(tower, options.cache)
        self.weights = EmbeddingMemo(self._packed)
        self.images, self.without = 0, 0
        self._decomposer: Decomposer | None = None

    @property
    def decomposer(self) -> Decomposer:
        """Built when the first image comes."""
        if self._decomposer is None:
            self._decomposer = self.settings.decomposer(self.cosine.tower, self.store)
        return self._decomposer

    def forward(self, reference: Tensor, candidate: Tensor) -> Tensor:
        x = self._unpacked(self.weights(reference))  # (B, K)
        if self.strategy == "symmetric":
            vectors = self.cosine.vectors(reference), self.cosine.vectors(candidate)
            x, y = on_shared_words(self.decomposer, x > 0, *vectors)
        else:
            y = self._unpacked(self.weights(candidate))
        found = differences(self.decomposer, x, y, self.compare).to(reference.device)
        return zero_where_equal(found, reference, candidate)

    def _packed(self, images: Tensor) -> Tensor:
        """The active words of each image and their weights, (B, 2, m): a row over all words would fill the memory."""
        with torch.no_grad():
            weights = self.decomposer.weights(self.cosine.vectors(images))  # (B, K)
        without = int((weights == 0).all(dim=1).sum())
        self.images, self.without = self.images + len(images), self.without + without
        if without and self.without == without:  # the first of them
            warnings.warn(
                f"splice: {without} of {len(images)} images have no concept at {self.settings.sparsity}; a lower l1 keeps more",
                stacklevel=2,
            )
        most = min(weights.shape[1], self.decomposer.vectors.shape[1] + 1)  # a solution has no more than d
        values, words = weights.topk(most, dim=1)
        return torch.stack([values, words.float()], dim=1)

    def _unpacked(self, packed: Tensor) -> Tensor:
        values, words = packed.unbind(dim=1)
        full = torch.zeros(len(packed), len(self.decomposer.words), device=packed.device)
        return full.scatter_add_(1, words.long(), values)
