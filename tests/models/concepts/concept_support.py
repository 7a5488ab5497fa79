"""A tower that needs no model, and problems for the solvers."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from models.dual_encoders import DualEncoder
from registry import DUAL_ENCODERS

WORDS = ("red", "green", "blue", "bright", "dark")


class ColourTower(DualEncoder):
    """Colour words point along colours; other words along directions of their own hash; ``unheard`` points nowhere."""

    dim, image_size = 16, 8

    def __init__(self, name: str = "colours") -> None:
        self.identity = name
        self.texts: list[str] = []
        self.pictures = 0

    def _embed_pixels(self, images: Tensor) -> Tensor:
        self.pictures += len(images)
        means = images.mean(dim=(2, 3))  # (B, 3)
        found = torch.zeros(len(images), self.dim)
        found[:, :3] = means
        found[:, 3] = means.mean(dim=1)
        found[:, 4] = 1.0 - means.mean(dim=1)
        found[:, 5] = 1.0  # the cone that all images lie in
        return found

    def _embed_texts(self, texts: Sequence[str]) -> Tensor:
        self.texts += texts
        rows = torch.stack([torch.from_numpy(self._word(text.casefold())) for text in texts])
        rows[:, 6] += 1.0  # the cone of texts
        return torch.where(torch.tensor([[text == "unheard"] for text in texts]), 0.0, rows)

    def _word(self, word: str) -> NDArray[np.float32]:
        if word in WORDS:
            return np.eye(self.dim, dtype=np.float32)[WORDS.index(word)] * 2
        seed = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=4).digest(), "little")
        return np.random.default_rng(seed).standard_normal(self.dim).astype(np.float32) * 0.5


def register_colour_tower() -> str:
    """The name by which the registry builds it."""
    if not any(entry.name == "colour_tower" for entry in DUAL_ENCODERS.registered()):
        DUAL_ENCODERS.register("colour_tower", summary="for tests")(colour_tower)
    return "colour_tower"


def colour_tower(as_name: str = "colours") -> ColourTower:
    return ColourTower(as_name)


def plain(red: int, green: int, blue: int) -> Image.Image:
    return Image.new("RGB", (12, 10), (red, green, blue))


def problem(words: int, dim: int, count: int, seed: int = 0, alike: float = 0.0) -> tuple[Tensor, Tensor]:
    """A dictionary (words, dim) and embeddings (count, dim) of a few words each and noise; `alike` draws words together."""
    draw = torch.Generator().manual_seed(seed)
    dictionary = torch.randn(words, dim, generator=draw) + alike * torch.randn(1, dim, generator=draw)
    dictionary += alike * torch.randn(words, 6, generator=draw) @ torch.randn(6, dim, generator=draw)
    dictionary = F.normalize(dictionary - dictionary.mean(dim=0), dim=1)
    chosen = torch.rand(count, words, generator=draw) * (torch.rand(count, words, generator=draw) < 8 / words)
    noise = 0.2 * torch.randn(count, dim, generator=draw) / dim**0.5
    return dictionary, F.normalize(F.normalize(chosen @ dictionary, dim=1) + noise, dim=1)
