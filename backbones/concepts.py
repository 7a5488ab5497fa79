"""Sparse concepts as an embedding: one number per word, most of them 0."""

from __future__ import annotations

import hashlib
from typing import Any, Literal

import torch
from torch import Tensor, nn

from backbones.contract import Backbone
from models.concepts.build import ConceptOptions
from models.dual_encoders import build_dual_encoder
from registry import BACKBONES, named
from semfid.errors import UserError


class _Directions(nn.Module):
    """What is fixed: the words' vectors (K, d) and the image mean (d,)."""

    vectors: Tensor
    mean: Tensor

    def __init__(self, vectors: Tensor, mean: Tensor) -> None:
        super().__init__()
        self.register_buffer("vectors", vectors)
        self.register_buffer("mean", mean)


@BACKBONES.register(
    "concepts",
    summary="SpLiCE: a dual encoder's embedding as weights of words; for heads on embeddings (concept_linear)",
    source="SpLiCE, arXiv 2402.10376",
    shared=ConceptOptions,
)
class ConceptsBackbone(Backbone):
    """The concept weights of each image. It has no feature maps, and no gradient reaches the image.

    Args:
        tower: name of a tower, with its keywords (`semfid list dual_encoders`).
        nouns: only nouns.
        tuning: frozen; nothing else can be.
        options: see `ConceptOptions`. A head has a weight per word: a few thousand words are plenty.

    Attributes:
        words: K words, in the order of the embedding.
    """

    why_not = "a sparse decomposition takes as many steps as it needs"

    def __init__(
        self,
        tower: dict[str, Any] | str,
        nouns: bool = False,
        tuning: Literal["frozen"] = "frozen",
        *,
        options: ConceptOptions,
    ) -> None:
        name, keywords = named(tower, "model.backbone.tower")
        built = build_dual_encoder(name, keywords)
        settings = options.settings(nouns)
        decomposer = settings.decomposer(built, options.store, device="cpu")  # it goes where the module goes
        net = _Directions(decomposer.vectors, decomposer.mean)
        super().__init__(
            net,
            name="concepts",
            channels=(),
            strides=(),
            embed_dim=len(decomposer.words),
            mean=(0.0, 0.0, 0.0),
            std=(1.0, 1.0, 1.0),
            tuning=tuning,
        )
        words = hashlib.blake2b("\n".join(decomposer.words).encode(), digest_size=8).hexdigest()
        self.identity = f"{self.identity}-{built.identity}-{words}-{settings.sparsity}"
        self.words = decomposer.words
        self._tower, self._decomposer = built, decomposer

    def _stages(self, images: Tensor) -> list[Tensor]:
        return []

    def _embed(self, images: Tensor) -> Tensor:
        if torch.is_grad_enabled() and images.requires_grad:
            raise UserError(
                "backbone concepts: no gradient passes a sparse decomposition; it cannot be a loss for images"
            )
        with torch.no_grad(), torch.autocast(images.device.type, enabled=False):
            embeddings = self._tower.embed_pixels(images.float()).to(images.device)  # (B, d)
            self._decomposer.vectors, self._decomposer.mean = self.net.vectors, self.net.mean
            return self._decomposer.weights(embeddings)  # (B, K)
