"""A small dual encoder for the synthetic scenes; needs no download."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.bundled import ASSETS, CellFeatures, NetworkFile, cell_features
from models.dual_encoders.contract import DualEncoder
from models.hub import check_positive, device_of
from registry import DUAL_ENCODERS

WEIGHTS = ASSETS / "towers" / "scenes_tower.safetensors"
VOCABULARY = ASSETS / "towers" / "scenes_vocabulary.txt"

_TOKEN = re.compile(r"[^\W_]+|[.,;:]")
_SILENT = frozenset(["a", "an", "the", "and", "of"])  # carry no meaning, and part the words around them


def terms(text: str) -> list[str]:
    """Lower-case words that carry meaning, and pairs of neighbours among them: ``a red car`` gives red, car, red car."""
    found: list[str] = []
    before = ""
    for token in _TOKEN.findall(text.casefold()):
        if token in _SILENT or not token[0].isalnum():
            before = ""
            continue
        found += [token, f"{before} {token}"] if before else [token]
        before = token
    return found


class ImageSide(nn.Module):
    """The strongest and the mean response of every channel over all cells, projected: (B, 3, S, S) in [0, 1] to (B, D)."""

    def __init__(self, cells: CellFeatures, width: int, dim: int) -> None:
        super().__init__()
        self.cells = cells
        self.project = nn.Linear(2 * width, dim)

    def forward(self, images: Tensor) -> Tensor:
        found = self.cells(images)  # (B, width, h, w)
        return self.project(torch.cat([found.amax(dim=(2, 3)), found.mean(dim=(2, 3))], dim=1))


class TextSide(nn.Module):
    """The sum of the vectors of a sentence's known terms; all zeros where none is known."""

    def __init__(self, known: Sequence[str], dim: int) -> None:
        super().__init__()
        self.number = {term: index for index, term in enumerate(known)}
        self.bag = nn.EmbeddingBag(len(known), dim, mode="sum")
        nn.init.normal_(self.bag.weight, std=dim**-0.5)

    def forward(self, texts: Sequence[str]) -> Tensor:
        found = [[self.number[term] for term in terms(text) if term in self.number] for text in texts]
        device = self.bag.weight.device
        starts = torch.tensor([0, *(len(one) for one in found[:-1])], device=device).cumsum(0)
        flat = torch.tensor([number for one in found for number in one], dtype=torch.int64, device=device)
        return self.bag(flat, starts)


@DUAL_ENCODERS.register(
    "scenes_tower",
    summary="a small tower trained on rendered scenes and their captions; comes with the repository, no download",
    source="trained as CLIP, arXiv 2103.00020, and for single words as SigLIP, arXiv 2303.15343",
)
class ScenesDualEncoder(DualEncoder):
    """Embeds the objects, colours, numbers and places of the synthetic scenes, and nothing else.

    A sentence is a bag of words and word pairs: any words can be asked for, single ones too. Unknown words are passed over; a
    sentence of unknown words only has a row of zeros, which is no direction, and a warning says so.

    Args:
        weights: a file of ``tools/make_scenes_tower.py``; the one that comes with the repository if left out.
        batch_size: pictures or sentences at a time.
        device: auto, cpu, cuda, cuda:1, ...
    """

    def __init__(self, weights: str | None = None, batch_size: int = 64, device: str = "cpu") -> None:
        check_positive("dual encoder: scenes_tower", batch_size=batch_size)
        self.device = device_of("dual encoder: scenes_tower", device)
        self._file = NetworkFile.find(weights or WEIGHTS, "scenes_tower")
        facts = self._file.facts
        self.identity = f"scenes_tower-1-{self._file.digest}"
        self.dim, self.image_size, self.batch_size = int(facts["dim"]), int(facts["image_size"]), batch_size
        self._known = frozenset(json.loads(facts["terms"]))
        self._sides: tuple[ImageSide, TextSide] | None = None

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        lost = [] if isinstance(texts, str) else self.unknown(texts)
        if lost:
            warnings.warn(
                f"scenes_tower knows no word of {len(lost)} of {len(texts)} texts, such as '{lost[0]}': they have no "
                f"direction; it knows the words of {VOCABULARY}",
                stacklevel=2,
            )
        return super().embed_texts(texts)

    def unknown(self, texts: Sequence[str]) -> list[str]:
        """Those of the texts that are not empty and hold no known word."""
        return [text for text in texts if text.strip() and not any(term in self._known for term in terms(text))]

    def release(self) -> None:
        self._sides = None

    def _embed_pixels(self, images: Tensor) -> Tensor:
        return self._loaded()[0](images)

    def _embed_texts(self, texts: Sequence[str]) -> Tensor:
        return self._loaded()[1](texts)

    def _loaded(self) -> tuple[ImageSide, TextSide]:
        if self._sides is None:
            image, text = build_sides(self._file.facts)
            self._file.load(image=image, text=text)
            self._sides = image.to(self.device), text.to(self.device)
        return self._sides


def build_sides(facts: Mapping[str, str]) -> tuple[ImageSide, TextSide]:
    """Untrained, as the metadata of a file describe them."""
    width, dim = int(facts["width"]), int(facts["dim"])
    return ImageSide(cell_features(facts), width, dim), TextSide(json.loads(facts["terms"]), dim)
