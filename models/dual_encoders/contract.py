"""The contract of a dual encoder, such as CLIP."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from semfid.io.images import to_planes
from semfid.scoring.arithmetic import exact_products


class DualEncoder:
    """Pictures and sentences into one space; the cosine of two unit vectors is their inner product.

    A subclass sets the attributes and implements `_embed_pixels` and `_embed_texts`. It is built without its weights, which
    are loaded when the first picture or sentence comes; `identity` is known before, from the revision or the files' content.

    A picture's vector does not depend on the pictures beside it, but for rounding.

    Attributes:
        identity: name and what determines the vectors; equal identities give equal vectors.
        dim: D of the shared space.
        image_size: pixels a side of what the image tower sees.
        batch_size: pictures or sentences at a time.
        device: where the weights lie, once loaded.
    """

    identity: str
    dim: int
    image_size: int
    batch_size: int = 32
    device: str = "cpu"

    def embed_images(self, images: Sequence[Image.Image]) -> NDArray[np.float32]:
        """(N, D) unit rows of RGB pictures of any sizes; each is squashed to the tower's square, so that no border is lost."""
        found = np.zeros((len(images), self.dim), dtype=np.float32)
        for start in range(0, len(images), self.batch_size):
            pixels = torch.cat(
                [self.prepare(image) for image in images[start : start + self.batch_size]]
            )  # (b, 3, S, S)
            with torch.no_grad():
                found[start : start + len(pixels)] = self.embed_pixels(pixels).float().cpu().numpy()
        return found

    def embed_pixels(self, images: Tensor) -> Tensor:
        """(B, D) unit rows of (B, 3, H, W) RGB in [0, 1], resized to the tower's square where they are of another size.

        Differentiable where the caller has gradients on.
        """
        with exact_products(self.device):
            return F.normalize(self._embed_pixels(self.resize(images).to(self.device)).float(), dim=-1)

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(N, D) unit rows of sentences; an empty sentence gives a row of zeros, which is no direction at all.

        Each distinct sentence is embedded once. Sentences longer than the tower reads are cut at its end; `cut` says which.
        """
        if isinstance(texts, str):
            raise TypeError("embed_texts takes a list of sentences, not one")
        distinct = sorted({text for text in texts if text.strip()})
        rows = np.zeros((len(distinct), self.dim), dtype=np.float32)
        for start in range(0, len(distinct), self.batch_size):
            batch = distinct[start : start + self.batch_size]
            with torch.no_grad(), exact_products(self.device):
                rows[start : start + len(batch)] = F.normalize(self._embed_texts(batch).float(), dim=-1).cpu().numpy()
        place = {text: index for index, text in enumerate(distinct)}
        found = np.zeros((len(texts), self.dim), dtype=np.float32)
        for index, text in enumerate(texts):
            if text in place:
                found[index] = rows[place[text]]
        return found

    def cut(self, texts: Sequence[str]) -> list[str]:
        """Those of the sentences that are longer than the text tower reads; none where it reads any length."""
        return []

    def prepare(self, image: Image.Image) -> Tensor:
        """An RGB picture as the tower sees it, (1, 3, S, S) in [0, 1]."""
        return self.resize(torch.from_numpy(to_planes(image)).float().div(255.0).unsqueeze(0))

    def resize(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, 3, S, S), bicubic with antialias, in [0, 1]."""
        size = (self.image_size, self.image_size)
        if tuple(images.shape[-2:]) == size:
            return images
        return F.interpolate(images, size, mode="bicubic", antialias=True, align_corners=False).clamp(0.0, 1.0)

    def release(self) -> None:
        """Give back memory; the next call loads again."""

    def _embed_pixels(self, images: Tensor) -> Tensor:
        """(B, D) of (B, 3, S, S) in [0, 1], any length; the tower's own mean and std are applied here."""
        raise NotImplementedError(f"{type(self).__name__} must implement _embed_pixels")

    def _embed_texts(self, texts: Sequence[str]) -> Tensor:
        """(B, D) of distinct sentences that are not empty, any length."""
        raise NotImplementedError(f"{type(self).__name__} must implement _embed_texts")
