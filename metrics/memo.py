"""A memo of what was computed for an image, by its content: a photo that many pairs share is embedded once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import torch
from PIL import Image
from torch import Tensor

SIZE = 4096  # images


class EmbeddingMemo:
    """Rows of what a function gives for images, the latest by content.

    Args:
        compute: (B, 3, H, W) images to (B, ...) rows; a row depends on its own image only.
    """

    def __init__(self, compute: Callable[[Tensor], Tensor], most: int = SIZE) -> None:
        self.compute, self.most = compute, most
        self.computed = 0  # images that went through `compute`
        self._rows: dict[bytes, Tensor] = {}

    def forget(self) -> None:
        """Give back memory."""
        self._rows.clear()

    def __call__(self, images: Tensor) -> Tensor:
        """The rows of (B, 3, H, W) images; each distinct one that is not known goes through `compute`, once.

        With gradients on, everything is computed: a remembered row has none to give.
        """
        if torch.is_grad_enabled() and images.requires_grad:
            return self.compute(images)
        names = [image_name(image) for image in images]
        found = {name: self._rows.pop(name) for name in dict.fromkeys(names) if name in self._rows}
        fresh: dict[bytes, int] = {}
        for at, name in enumerate(names):
            if name not in found:
                fresh.setdefault(name, at)
        if fresh:
            with torch.no_grad():
                rows = self.compute(images[list(fresh.values())])
            self.computed += len(fresh)
            found |= {name: row.clone() for name, row in zip(fresh, rows, strict=True)}
        self._rows |= found  # the latest come last
        for name in list(self._rows)[: max(0, len(self._rows) - self.most)]:
            del self._rows[name]
        return torch.stack([found[name] for name in names])


def image_name(image: Tensor) -> bytes:
    """Digest of one (3, H, W) image's values."""
    pixels = image.detach().cpu().contiguous()
    digest = hashlib.blake2b(f"{tuple(pixels.shape)} {pixels.dtype}".encode(), digest_size=16)
    digest.update(pixels.numpy().tobytes())
    return digest.digest()


def pictures(images: Tensor) -> list[Image.Image]:
    """RGB pictures in 8 bits of (B, 3, H, W) images in [0, 1]."""
    pixels = images.detach().mul(255.0).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()  # (B, H, W, 3)
    return [Image.fromarray(picture) for picture in pixels]
