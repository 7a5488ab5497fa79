"""Sparse concepts as an embedding: one number per word, most of them 0."""

from __future__ import annotations

import hashlib
from typing import Any, Literal

import torch
from torch import Tensor, nn

from backbones.contract import Backbone
from models.concepts import ConceptSettings, Solver, Sparsity
from models.dual_encoders import build_dual_encoder
from registry import BACKBONES, named
from semfid.errors import UserError
from semfid.io.vector_cache import EMBEDDINGS


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
)
class ConceptsBackbone(Backbone):
    """The concept weights of each image. It has no feature maps, and no gradient reaches the image.

    Args:
        tower: name of a tower, with its keywords (`semfid list dual_encoders`).
        image_mean, vocabulary, size, l1, concepts, solver: as of the metric ``splice``. A head has a weight per word: a few
            thousand words are plenty.
        nouns: only nouns.
        tuning: frozen; nothing else can be.
        cache: keep words' vectors in ``.cache/embeddings``.

    Attributes:
        words: K words, in the order of the embedding.
    """

    why_not = "a sparse decomposition takes as many steps as it needs"

    def __init__(
        self,
        tower: dict[str, Any] | str,
        image_mean: str,
        vocabulary: str = "english",
        size: int | None = None,
        nouns: bool = False,
        l1: float | None = None,
        concepts: int | None = None,
        solver: Solver = "lasso",
        tuning: Literal["frozen"] = "frozen",
        cache: bool = True,
    ) -> None:
        name, keywords = named(tower, "model.backbone.tower")
        built = build_dual_encoder(name, keywords)
        sparsity = Sparsity(l1, concepts, solver)
        settings = ConceptSettings(vocabulary, image_mean, sparsity, size, nouns)
        decomposer = settings.decomposer(
            built, EMBEDDINGS if cache else None, device="cpu"
        )  # it goes where the module goes
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
        self.identity = f"{self.identity}-{built.identity}-{words}-{sparsity}"
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
