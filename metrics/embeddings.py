"""Cosines of foundation models' embeddings: 1 - cosine of the vectors that one model gives the two images.

That such cosines follow people's judgements of high-level fidelity better than classical and perceptual image quality measures
do is the finding of "Evaluating and Preserving High-level Fidelity in Super-Resolution", arXiv 2512.07037.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from backbones import build_backbone
from metrics import TrainingFreeMetric, zero_where_equal
from metrics.remembering import Remembering
from registry import BACKBONES, METRICS, TOWERS, UserError, named
from towers import build_tower

FIDELITY = "arXiv 2512.07037 (the best training-free kind of measure of this task that is published)"


class EmbeddingCosine(TrainingFreeMetric):
    """1 - cosine of the vectors of the two images, clipped to [0, 1]. A subclass implements `embed`.

    Each distinct image is embedded once, as long as it is among the latest thousands.
    """

    def __init__(self) -> None:
        super().__init__()
        self.vectors = Remembering(self.embed)

    def forward(self, reference: Tensor, candidate: Tensor) -> Tensor:
        cosine = F.cosine_similarity(self.vectors(reference), self.vectors(candidate), dim=1)  # (B,)
        return zero_where_equal(1.0 - cosine, reference, candidate)

    def embed(self, images: Tensor) -> Tensor:
        """One vector per image, (B, D) float32 of any length; images are (B, 3, H, W) in [0, 1]."""
        raise NotImplementedError(f"{type(self).__name__} must implement embed")


@METRICS.register("tower_cosine", summary="1 - cosine of two images in any image-text tower", source=FIDELITY)
class TowerCosine(EmbeddingCosine):
    """Of a registered tower, such as ``tower: {name: open_clip, model: ViT-L-14, pretrained: openai}``.

    Args:
        tower: name of a tower, with its keywords (`semfid list towers`).
    """

    def __init__(self, tower: dict[str, Any] | str) -> None:
        super().__init__()
        name, keywords = named(tower, "tower")
        self.tower = build_tower(name, keywords)

    @classmethod
    def check(cls, keywords: Mapping[str, Any]) -> None:
        TOWERS.check_named(keywords["tower"], "tower")

    def embed(self, images: Tensor) -> Tensor:
        size = self.tower.batch_size
        pieces = [self.tower.embed_pixels(piece) for piece in images.split(size)]
        return torch.cat(pieces).to(images.device)


@METRICS.register("backbone_cosine", summary="1 - cosine of two images' embeddings in any backbone", source=FIDELITY)
class BackboneCosine(EmbeddingCosine):
    """Of a registered backbone, such as ``backbone: {name: timm, model: convnext_base.clip_laion2b}``.

    Args:
        backbone: name of a backbone, with its keywords (`semfid list backbones`).
        image_size: images are resized to so many pixels a side before they enter; null: to the size that the backbone was made
            for where it takes one only, else not at all.
    """

    def __init__(self, backbone: dict[str, Any] | str, image_size: int | None = None) -> None:
        super().__init__()
        name, keywords = named(backbone, "backbone")
        if keywords.get("tuning", "frozen") != "frozen":
            raise UserError("backbone_cosine trains nothing; remove backbone.tuning")
        self.backbone = build_backbone(name, keywords)
        self.image_size = image_size if image_size is not None else self.backbone.image_size

    @classmethod
    def check(cls, keywords: Mapping[str, Any]) -> None:
        BACKBONES.check_named(keywords["backbone"], "backbone")

    def embed(self, images: Tensor) -> Tensor:
        if self.image_size is not None and tuple(images.shape[-2:]) != (self.image_size, self.image_size):
            size = (self.image_size, self.image_size)
            images = F.interpolate(images, size, mode="bicubic", antialias=True, align_corners=False).clamp(0.0, 1.0)
        return torch.cat([self.backbone.embed(piece).float() for piece in images.split(32)])


@METRICS.register("clip_cosine", summary="1 - cosine of two images in CLIP (ViT-B-16 of OpenAI)", source=FIDELITY)
def clip_cosine(model: str = "ViT-B-16", pretrained: str = "openai") -> TowerCosine:
    """`tower_cosine` of an open_clip tower; `model` and `pretrained` are open_clip's names."""
    return TowerCosine({"name": "open_clip", "model": model, "pretrained": pretrained})


@METRICS.register(
    "siglip_cosine",
    summary="1 - cosine of two images in SigLIP (ViT-B-16, WebLI)",
    source=f"arXiv 2303.15343; {FIDELITY}",
)
def siglip_cosine(model: str = "ViT-B-16-SigLIP", pretrained: str = "webli") -> TowerCosine:
    """`tower_cosine` of an open_clip tower; SigLIP 2 is ``model: ViT-B-16-SigLIP2``."""
    return TowerCosine({"name": "open_clip", "model": model, "pretrained": pretrained})


@METRICS.register(
    "dinov2_cosine", summary="1 - cosine of two images in DINOv2 (ViT-B-14)", source=f"arXiv 2304.07193; {FIDELITY}"
)
def dinov2_cosine(
    model: str = "vit_base_patch14_dinov2.lvd142m", pretrained: str = "hub", image_size: int = 224
) -> BackboneCosine:
    """`backbone_cosine` of timm's DINOv2, its class token; `image_size` is a multiple of 14."""
    return BackboneCosine({"name": "timm", "model": model, "pretrained": pretrained, "image_size": image_size})
