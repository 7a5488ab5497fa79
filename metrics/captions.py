"""Differences in meaning by way of language: captions of the images against each other, or against an image."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metrics import TrainingFreeMetric, zero_where_equal
from metrics.embeddings import DualEncoderCosine
from metrics.memo import EmbeddingMemo, pictures
from models.captioners import CaptionCache, build_captioner, caption_images
from models.captioners.cache import CAPTIONS
from models.dual_encoders import DualEncoder
from models.dual_encoders.cache import embed_texts as embed_in_tower
from models.text_encoders import TextEncoder, build_text_encoder
from models.text_encoders.cache import embed_texts
from registry import METRICS, named
from semfid.cosine import cosine_difference
from semfid.errors import UserError
from semfid.io.vector_cache import EMBEDDINGS, VectorCache
from semfid.progress import Advance

PROMPT = "Describe this image."
Described = Literal["caption", "image"]
SIDES: Mapping[str, tuple[Described, Described]] = {
    "c2c": ("caption", "caption"),
    "c2i": ("caption", "image"),
    "i2i": ("image", "image"),
}  # what the reference and the candidate are embedded by


def embed_captions(
    encoder: TextEncoder | DualEncoder,
    captions: Sequence[str],
    store: VectorCache | None,
    advance: Advance | None = None,
) -> tuple[NDArray[np.float32], list[str]]:
    """Vectors (N, D) of captions, and those of them whose ends a tower does not read."""
    if isinstance(encoder, DualEncoder):
        return embed_in_tower(encoder, captions, store, advance), encoder.cut(captions)
    return embed_texts(encoder, captions, store, advance), []


class _Captioned(TrainingFreeMetric):
    """A captioner, whose captions are kept by image, captioner and prompt, and what embeds them.

    A subclass sets `sides`, and implements `vectors` where one of them is the image.
    """

    sides: tuple[Described, Described]

    def __init__(
        self, captioner: dict[str, Any] | str, encoder: TextEncoder | DualEncoder, prompt: str, cache: bool
    ) -> None:
        super().__init__()
        if not prompt.strip():
            raise UserError("prompt is empty; leave it out for the default")
        self.captioner, self.encoder = build_captioner(*named(captioner, "captioner")), encoder
        self.prompt, self.identity = prompt, f"{self.captioner.identity}, {encoder.identity}"
        self.captions = CaptionCache(CAPTIONS) if cache else None
        self.store = VectorCache(EMBEDDINGS) if cache else None
        self.sentences = EmbeddingMemo(self._embed)

    def forward(self, reference: Tensor, candidate: Tensor) -> Tensor:
        x, y = (self.vectors(by, images) for by, images in zip(self.sides, (reference, candidate), strict=True))
        return zero_where_equal(cosine_difference(x, y).float(), reference, candidate)

    def vectors(self, by: Described, images: Tensor) -> Tensor:
        """(B, D) of (B, 3, H, W) images."""
        return self.sentences(images)

    def _embed(self, images: Tensor) -> Tensor:
        """Vectors of the captions of (B, 3, H, W) images as they are in 8 bits, (B, D)."""
        captions = caption_images(self.captioner, pictures(images), self.prompt, self.captions)
        empty = sum(not caption.strip() for caption in captions)
        if empty:
            _warn(f"{self.captioner.identity}: {empty} images have an empty caption; it differs wholly from any other")
        rows, cut = embed_captions(self.encoder, captions, self.store)
        if cut:
            _warn(f"{self.encoder.identity}: {len(cut)} captions are longer than it reads; their ends are lost")
        return torch.from_numpy(rows).to(images.device)


def _warn(text: str) -> None:
    warnings.warn(text, stacklevel=4)


@METRICS.register("c2c", summary="1 - cosine of the two images' captions in a text encoder", source="source project")
class CaptionToCaption(_Captioned):
    """Caption2Caption: both images captioned, both captions embedded. An empty caption differs wholly (1) from any other.

    Args:
        captioner: name of a captioner, with its keywords (`semfid list captioners`).
        embedder: name of a text encoder, with its keywords.
        prompt: what the captioner is asked.
        cache: keep captions and vectors in ``.cache/``, where a later run finds them.
    """

    coarse = True  # two images may have one caption
    sides = SIDES["c2c"]

    def __init__(
        self,
        captioner: dict[str, Any] | str = "qwen2_vl",
        embedder: dict[str, Any] | str = "minilm",
        prompt: str = PROMPT,
        cache: bool = True,
    ) -> None:
        super().__init__(captioner, build_text_encoder(*named(embedder, "embedder")), prompt, cache)


@METRICS.register(
    "c2i", summary="1 - cosine of the reference's caption and the candidate in a tower", source="source project"
)
class CaptionToImage(_Captioned):
    """Caption2Image: the reference's caption against the candidate, in a dual encoder.

    A caption never says all of its own image, so that even a perfect copy differs from it; a candidate that is equal to its
    reference counts as 0 all the same.

    Args:
        captioner: name of a captioner, with its keywords (`semfid list captioners`).
        tower: name of a dual encoder, with its keywords (`semfid list dual_encoders`).
        prompt: what the captioner is asked.
        cache: keep captions and vectors in ``.cache/``, where a later run finds them.
    """

    symmetric = False
    sides = SIDES["c2i"]

    def __init__(
        self,
        captioner: dict[str, Any] | str = "qwen2_vl",
        tower: dict[str, Any] | str = "open_clip",
        prompt: str = PROMPT,
        cache: bool = True,
    ) -> None:
        images = DualEncoderCosine(tower, cache)
        super().__init__(captioner, images.tower, prompt, cache)
        self.images = images

    def vectors(self, by: Described, images: Tensor) -> Tensor:
        return self.images.vectors(images) if by == "image" else self.sentences(images)


@METRICS.register(
    "i2i", summary="1 - cosine of the two images in a tower: tower_cosine with CLIP", source="source project"
)
def image_to_image(tower: dict[str, Any] | str = "open_clip", cache: bool = True) -> DualEncoderCosine:
    """`tower_cosine` under the name that it has beside `c2c` and `c2i`."""
    return DualEncoderCosine(tower, cache)
