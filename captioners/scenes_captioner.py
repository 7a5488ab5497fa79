"""A small captioner of the embedded world: needs no download."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

import torch
from PIL import Image
from torch import Tensor, nn

from captioners.contract import Captioner
from hub import device_of
from registry import CAPTIONERS, UserError
from semfid.runtime.images import resize_image, to_planes
from small_networks import ASSETS, CellFeatures, NetworkFile, cell_features

WEIGHTS = ASSETS / "captioners" / "scenes_captioner.safetensors"
END = 0  # starts a sentence too
LONGEST = 48  # words and commas

_TOKEN = re.compile(r"[^\W_]+|,")


def tokens(sentence: str) -> list[str]:
    """Words and commas."""
    return _TOKEN.findall(sentence)


def joined(words: Sequence[str]) -> str:
    """The sentence of words and commas."""
    return " ".join(words).replace(" ,", ",")


class CaptionNet(nn.Module):
    """Cells of an image, read by a small transformer that writes one word after the other.

    Args:
        words: the vocabulary; word k has the number k + 1.
        cells: the image side.
        width, dim: channels of the cells, and of the decoder.
        grid: cells a side.
    """

    def __init__(self, words: Sequence[str], cells: CellFeatures, width: int, dim: int, grid: int) -> None:
        super().__init__()
        self.words = list(words)
        self.cells = cells
        self.bring = nn.Linear(width, dim)
        self.where = nn.Parameter(0.02 * torch.randn(grid * grid, dim))
        self.word = nn.Embedding(len(self.words) + 1, dim)
        self.place = nn.Parameter(0.02 * torch.randn(LONGEST, dim))
        layer = nn.TransformerDecoderLayer(
            dim, 4, 2 * dim, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.decoder = nn.TransformerDecoder(layer, num_layers=2, norm=nn.LayerNorm(dim))
        self.choose = nn.Linear(dim, len(self.words) + 1)

    def look(self, images: Tensor) -> Tensor:
        """(B, cells, dim) of (B, 3, S, S) in [0, 1]."""
        return self.bring(self.cells(images).flatten(2).transpose(1, 2)) + self.where

    def forward(self, seen: Tensor, written: Tensor) -> Tensor:
        """(B, T, words) logits of the word after each of `written`, (B, T), given what was seen."""
        length = written.shape[1]
        ahead = torch.full((length, length), float("-inf"), device=written.device).triu(1)
        return self.choose(self.decoder(self.word(written) + self.place[:length], seen, tgt_mask=ahead))

    @torch.inference_mode()
    def write(self, images: Tensor) -> list[str]:
        """The likeliest next word, again and again, until the sentence ends."""
        seen = self.look(images)
        written = torch.full((len(images), 1), END, device=images.device)
        going = torch.ones(len(images), dtype=torch.bool, device=images.device)
        while bool(going.any()) and written.shape[1] < LONGEST:
            following = self(seen, written)[:, -1].argmax(dim=1)  # (B,)
            following = torch.where(going, following, torch.full_like(following, END))
            written = torch.cat([written, following[:, None]], dim=1)
            going &= following != END
        return [joined([self.words[number - 1] for number in row if number != END]) for row in written.tolist()]


@CAPTIONERS.register(
    "scenes_captioner",
    summary="a small captioner trained on rendered scenes; comes with the repository, no download",
)
class ScenesCaptioner(Captioner):
    """Says in the words of the embedded world what is there, in which colour, and where; of other pictures it talks nonsense.

    The prompt is not asked.

    Args:
        weights: a file of ``assets/make_scenes_captioner.py``; the one that comes with the repository if left out.
        batch_size: images at a time.
        device: auto, cpu, cuda, cuda:1, ...
    """

    def __init__(self, weights: str | None = None, batch_size: int = 32, device: str = "cpu") -> None:
        if batch_size < 1:
            raise UserError(f"captioner: scenes_captioner needs batch_size >= 1, not {batch_size}")
        self._device = device_of("captioner: scenes_captioner", device)
        self._file = NetworkFile.find(weights or WEIGHTS, "scenes_captioner")
        self.identity = f"scenes_captioner-1-{self._file.digest}"
        self.batch_size = batch_size
        self._net: CaptionNet | None = None

    def release(self) -> None:
        self._net = None

    def _caption(self, images: Sequence[Image.Image], prompt: str) -> list[str]:
        if self._net is None:
            net = build_net(self._file.facts)
            self._file.load(net=net)
            self._net = net.to(self._device)
        size = int(self._file.facts["image_size"])
        planes = [torch.from_numpy(to_planes(resize_image(image, size, "squash"))) for image in images]
        return self._net.write(torch.stack(planes).to(self._device).float() / 255.0)


def build_net(facts: Mapping[str, str]) -> CaptionNet:
    """Untrained, as the metadata of a file describe it."""
    width, dim, grid = (int(facts[key]) for key in ("width", "dim", "grid"))
    return CaptionNet(json.loads(facts["words"]), cell_features(facts), width, dim, grid)
