"""Cosines of foundation models' embeddings: 1 - cosine of the vectors that one model gives the two images.

The best published training-free kind of measure of this task: that such cosines follow people's judgements of high-level fidelity
better than classical and perceptual image quality measures do is the finding of "Evaluating and Preserving High-level Fidelity in
Super-Resolution", arXiv 2512.07037.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from backbones import build_backbone
from metrics import TrainingFreeMetric, zero_where_equal
from metrics.memo import EmbeddingMemo, pictures
from models.dual_encoders import build_dual_encoder
from registry import METRICS, named
from semfid.cosine import cosine_difference
from semfid.errors import UserError
from semfid.io.images import pixel_hash
from semfid.io.vector_cache import EMBEDDINGS, VectorCache, cached_rows

PASS = 32  # images at a time through a backbone


class EmbeddingCosine(TrainingFreeMetric):
    """1 - cosine of the vectors of the two images, clipped to [0, 1]. A subclass implements `embed`.

    Each distinct image is embedded once: vectors are remembered by content, and kept on disk.

    Args:
        identity: of what makes the vectors; equal identities give equal vectors.
        dim: D of the vectors.
        cache: keep them in ``.cache/embeddings``, where a later run finds them; images are then taken as they are in 8 bits.
    """

    def __init__(self, identity: str, dim: int, cache: bool) -> None:
        super().__init__()
        self.identity, self.dim = identity, dim
        self.store = VectorCache(EMBEDDINGS) if cache else None
        self.vectors = EmbeddingMemo(self._vectors)

    def forward(self, reference: Tensor, candidate: Tensor) -> Tensor:
        difference = cosine_difference(self.vectors(reference), self.vectors(candidate)).float()
        return zero_where_equal(difference, reference, candidate)

    def embed(self, images: Tensor) -> Tensor:
        """One vector per image, (B, D) float32 of any length; images are (B, 3, H, W) in [0, 1]."""
        raise NotImplementedError(f"{type(self).__name__} must implement embed")

    def _vectors(self, images: Tensor) -> Tensor:
        if self.store is None or (torch.is_grad_enabled() and images.requires_grad):
            return self.embed(images)
        shown = pictures(images)
        exact = images.mul(255.0).round().clamp(0, 255).div(255.0)
        rows = cached_rows(
            self.store,
            self.identity,
            [bytes.fromhex(pixel_hash(picture)) for picture in shown],
            lambda places: self.embed(exact[places]).cpu().numpy(),
            self.dim,
            len(shown),
        )
        return torch.from_numpy(rows).to(images.device)


@METRICS.register("tower_cosine", summary="1 - cosine of two images in any dual encoder", source="arXiv 2512.07037")
class DualEncoderCosine(EmbeddingCosine):
    """Of a registered tower, such as ``tower: {name: open_clip, model: ViT-L-14, pretrained: openai}``.

    Args:
        tower: name of a tower, with its keywords (`semfid list dual_encoders`).
        cache: keep vectors in ``.cache/embeddings``.
    """

    def __init__(self, tower: dict[str, Any] | str, cache: bool = True) -> None:
        name, keywords = named(tower, "tower")
        built = build_dual_encoder(name, keywords)
        super().__init__(f"{built.identity}-images", built.dim, cache)  # where `semfid label` looks, too
        self.tower = built

    def embed(self, images: Tensor) -> Tensor:
        pieces = [self.tower.embed_pixels(piece) for piece in images.split(self.tower.batch_size)]
        return torch.cat(pieces).to(images.device)


@METRICS.register(
    "backbone_cosine", summary="1 - cosine of two images' embeddings in any backbone", source="arXiv 2512.07037"
)
class BackboneCosine(EmbeddingCosine):
    """Of a registered backbone, such as ``backbone: {name: timm, model: convnext_base.clip_laion2b}``.

    Args:
        backbone: name of a backbone, with its keywords (`semfid list backbones`).
        image_size: images are resized to so many pixels a side before they enter; null: to the size that the backbone was made
            for where it takes one only, else not at all.
        cache: keep vectors in ``.cache/embeddings``.
    """

    def __init__(self, backbone: dict[str, Any] | str, image_size: int | None = None, cache: bool = True) -> None:
        name, keywords = named(backbone, "backbone")
        if keywords.get("tuning", "frozen") != "frozen":
            raise UserError("backbone_cosine trains nothing; remove backbone.tuning")
        built = build_backbone(name, keywords)
        size = image_size if image_size is not None else built.image_size
        super().__init__(f"{built.identity}-{size or 'whole'}-embedding", built.embed_dim, cache)
        self.backbone, self.image_size = built, size

    def embed(self, images: Tensor) -> Tensor:
        if self.image_size is not None and tuple(images.shape[-2:]) != (self.image_size, self.image_size):
            size = (self.image_size, self.image_size)
            images = F.interpolate(images, size, mode="bicubic", antialias=True, align_corners=False).clamp(0.0, 1.0)
        return torch.cat([self.backbone.embed(piece).float() for piece in images.split(PASS)])


@METRICS.register(
    "clip_cosine", summary="1 - cosine of two images in CLIP (ViT-B-16 of OpenAI)", source="arXiv 2512.07037"
)
def clip_cosine(model: str = "ViT-B-16", pretrained: str = "openai", cache: bool = True) -> DualEncoderCosine:
    """`tower_cosine` of an open_clip tower; `model` and `pretrained` are open_clip's names."""
    return DualEncoderCosine({"name": "open_clip", "model": model, "pretrained": pretrained}, cache)


@METRICS.register(
    "siglip_cosine",
    summary="1 - cosine of two images in SigLIP (ViT-B-16, WebLI)",
    source="arXiv 2303.15343, 2512.07037",
)
def siglip_cosine(model: str = "ViT-B-16-SigLIP", pretrained: str = "webli", cache: bool = True) -> DualEncoderCosine:
    """`tower_cosine` of an open_clip tower; SigLIP 2 is ``model: ViT-B-16-SigLIP2``."""
    return DualEncoderCosine({"name": "open_clip", "model": model, "pretrained": pretrained}, cache)


@METRICS.register(
    "dinov2_cosine", summary="1 - cosine of two images in DINOv2 (ViT-B-14)", source="arXiv 2304.07193, 2512.07037"
)
def dinov2_cosine(
    model: str = "vit_base_patch14_dinov2.lvd142m", pretrained: str = "hub", image_size: int = 224, cache: bool = True
) -> BackboneCosine:
    """`backbone_cosine` of timm's DINOv2, its class token; `image_size` is a multiple of 14."""
    return BackboneCosine(
        {"name": "timm", "model": model, "pretrained": pretrained, "image_size": image_size}, None, cache
    )
