"""Meaning by way of language: captions of the images against each other, or against an image."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor

from metrics import TrainingFreeMetric, zero_where_equal
from metrics.embeddings import TowerCosine, cosine_difference
from metrics.remembering import Remembering, pictures
from models.captioners import CaptionCache, build_captioner, caption_images
from models.captioners.cache import CAPTIONS
from models.dual_encoders.cache import embed_texts as embed_in_tower
from models.text_encoders import build_text_embedder
from models.text_encoders.cache import embed_texts
from registry import METRICS, named
from semfid.errors import UserError
from semfid.io.vector_cache import EMBEDDINGS, VectorCache


class _Captioned(TrainingFreeMetric):
    """What both have: a captioner whose captions are remembered, and kept on disk by picture, captioner and prompt."""

    coarse = True  # two pictures may have one caption

    def __init__(self, captioner: dict[str, Any] | str, prompt: str, cache: bool) -> None:
        super().__init__()
        if not prompt.strip():
            raise UserError("prompt is empty; leave it out for the default")
        self.captioner, self.prompt = build_captioner(*named(captioner, "captioner")), prompt
        self.captions = CaptionCache(CAPTIONS) if cache else None
        self.store = VectorCache(EMBEDDINGS) if cache else None

    def caption(self, images: Tensor) -> list[str]:
        """Captions of (B, 3, H, W) images, as they are in 8 bits."""
        found = caption_images(self.captioner, pictures(images), self.prompt, self.captions)
        empty = sum(not caption.strip() for caption in found)
        if empty:
            warnings.warn(
                f"{self.captioner.identity}: {empty} images have an empty caption; it differs wholly from any other",
                stacklevel=2,
            )
        return found


@METRICS.register("c2c", summary="1 - cosine of the two images' captions in a text embedder", source="source project")
class CaptionToCaption(_Captioned):
    """Caption2Caption: both images captioned, both captions embedded. An empty caption differs wholly (1) from any other.

    Args:
        captioner: name of a captioner, with its keywords (`semfid list captioners`).
        embedder: name of a text embedder, with its keywords.
        prompt: what the captioner is asked.
        cache: keep captions and vectors in ``.cache/``, where a later run finds them.
    """

    def __init__(
        self,
        captioner: dict[str, Any] | str = "qwen2_vl",
        embedder: dict[str, Any] | str = "minilm",
        prompt: str = "Describe this image.",
        cache: bool = True,
    ) -> None:
        super().__init__(captioner, prompt, cache)
        self.embedder = build_text_embedder(*named(embedder, "embedder"))
        self.identity = f"{self.captioner.identity}, {self.embedder.identity}"
        self.vectors = Remembering(self._vectors)

    def forward(self, reference: Tensor, candidate: Tensor) -> Tensor:
        return zero_where_equal(
            cosine_difference(self.vectors(reference), self.vectors(candidate)), reference, candidate
        )

    def _vectors(self, images: Tensor) -> Tensor:
        return torch.from_numpy(embed_texts(self.embedder, self.caption(images), self.store)).to(images.device)


@METRICS.register(
    "c2i", summary="1 - cosine of the reference's caption and the candidate in a tower", source="source project"
)
class CaptionToImage(_Captioned):
    """Caption2Image: the reference's caption against the candidate, in an image-text tower.

    A caption never says all of its own picture, so that even a perfect copy differs from it; a candidate that is equal to its
    reference counts as 0 all the same.

    Args:
        captioner: name of a captioner, with its keywords (`semfid list captioners`).
        tower: name of an image-text tower, with its keywords (`semfid list towers`).
        prompt: what the captioner is asked.
        cache: keep captions and vectors in ``.cache/``, where a later run finds them.
    """

    symmetric = False
    coarse = False

    def __init__(
        self,
        captioner: dict[str, Any] | str = "qwen2_vl",
        tower: dict[str, Any] | str = "open_clip",
        prompt: str = "Describe this image.",
        cache: bool = True,
    ) -> None:
        super().__init__(captioner, prompt, cache)
        self.images = TowerCosine(tower, cache)
        self.identity = f"{self.captioner.identity}, {self.images.tower.identity}"
        self.sentences = Remembering(self._sentences)

    def forward(self, reference: Tensor, candidate: Tensor) -> Tensor:
        difference = cosine_difference(self.sentences(reference), self.images.vectors(candidate))
        return zero_where_equal(difference, reference, candidate)

    def _sentences(self, images: Tensor) -> Tensor:
        tower, captions = self.images.tower, self.caption(images)
        cut = len(tower.cut(captions))
        if cut:
            warnings.warn(
                f"{tower.identity}: {cut} captions are longer than it reads; their ends are lost", stacklevel=2
            )
        return torch.from_numpy(embed_in_tower(tower, captions, self.store)).to(images.device)


@METRICS.register(
    "i2i", summary="1 - cosine of the two images in a tower: tower_cosine with CLIP", source="source project"
)
def image_to_image(tower: dict[str, Any] | str = "open_clip", cache: bool = True) -> TowerCosine:
    """`tower_cosine` under the name that it has beside `c2c` and `c2i`."""
    return TowerCosine(tower, cache)
