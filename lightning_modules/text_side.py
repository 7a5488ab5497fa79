"""The text side of contrastive pretraining: a tower that is learned along, or a frozen embedder with a projection."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.text_encoders import build_text_encoder
from models.text_encoders.hashed_words import terms
from registry import TEXT_ENCODERS, named
from semfid.errors import UserError, did_you_mean
from semfid.typing_checks import fits

LEARNED = "learned_tower"


@dataclass(frozen=True)
class TowerConfig:
    """Keywords of ``text: {name: learned_tower}``.

    Attributes:
        width: of the word vectors and the hidden layer.
        pairs: neighbouring words have vectors of their own too.
        least: a word (or pair) of fewer training captions has no vector.
    """

    width: int = 128
    pairs: bool = True
    least: int = 2


def check_text(value: Mapping[str, Any] | str) -> None:
    """Check ``model.text`` without building anything.

    Raises:
        UserError: an unknown name or keyword, with near misses.
    """
    name, keywords = named(value, "model.text")
    if name != LEARNED:
        names = TEXT_ENCODERS.names()
        if name not in names:
            raise UserError(
                f"model.text: no text side '{name}'{did_you_mean(name, [LEARNED, *names])} (there are: {LEARNED}, "
                f"{', '.join(names)})"
            )
        TEXT_ENCODERS.check(name, keywords)
        return
    known = TowerConfig.__dataclass_fields__
    for key, item in keywords.items():
        if key not in known:
            raise UserError(f"model.text: {LEARNED} has no keyword '{key}'{did_you_mean(key, known)}")
        if not fits(item, type(known[key].default)) or (not isinstance(item, bool) and item < 1):
            raise UserError(f"model.text: {LEARNED}: {key}={item!r} should be {type(known[key].default).__name__}")


def build_text_side(
    value: Mapping[str, Any] | str, dim: int, sentences: Iterable[str], more: Iterable[str]
) -> nn.Module:
    """A module from sentences to (B, dim) vectors of any length.

    Args:
        sentences: of the training images: the vocabulary of a learned tower.
        more: all other sentences that it will meet.
    """
    check_text(value)
    name, keywords = named(value, "model.text")
    trained = list(sentences)
    if name == LEARNED:
        return LearnedDualEncoder(TowerConfig(**keywords), dim, trained)
    return FrozenText(name, keywords, dim, sorted({*trained, *more}))


class LearnedDualEncoder(nn.Module):
    """The mean of a sentence's word (and word pair) vectors, through two layers; order beyond pairs is not seen."""

    def __init__(self, config: TowerConfig, dim: int, sentences: Sequence[str]) -> None:
        super().__init__()
        self.config = config
        counts = Counter(term for sentence in sorted({*sentences}) for term in {*terms(sentence, config.pairs)})
        known = sorted(term for term, count in counts.items() if count >= config.least)
        if not known:
            raise UserError("model.text: the training captions share no word; lower model.text.least")
        self.number = {term: index + 1 for index, term in enumerate(known)}  # 0: a sentence without a known word
        self.bag = nn.EmbeddingBag(len(known) + 1, config.width, mode="mean")
        nn.init.normal_(self.bag.weight, std=0.1)
        self.layers = nn.Sequential(
            nn.LayerNorm(config.width), nn.Linear(config.width, config.width), nn.GELU(), nn.Linear(config.width, dim)
        )

    def forward(self, sentences: Sequence[str]) -> Tensor:
        found = [[self.number[t] for t in terms(s, self.config.pairs) if t in self.number] or [0] for s in sentences]
        starts = torch.tensor([0, *(len(one) for one in found[:-1])]).cumsum(0)
        flat = torch.tensor([number for one in found for number in one])
        device = self.bag.weight.device
        return self.layers(self.bag(flat.to(device), starts.to(device)))  # (B, width) -> (B, dim)


class FrozenText(nn.Module):
    """Sentences embedded once by a frozen model, and a linear projection that trains."""

    table: Tensor

    def __init__(self, name: str, keywords: dict[str, Any], dim: int, sentences: Sequence[str]) -> None:
        super().__init__()
        embedder = build_text_encoder(name, keywords)
        self.identity = embedder.identity
        self.number = {sentence: index for index, sentence in enumerate(sentences)}
        self.register_buffer("table", torch.from_numpy(embedder.embed(sentences)), persistent=False)  # (S, E)
        self.projection = nn.Linear(embedder.dim, dim)

    def forward(self, sentences: Sequence[str]) -> Tensor:
        rows = torch.tensor([self.number[sentence] for sentence in sentences], device=self.table.device)
        return self.projection(F.embedding(rows, self.table))  # (B, E) -> (B, dim)
