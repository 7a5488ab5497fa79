"""Two images by their concepts: a difference, and which concepts were kept, lost and gained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from models.concepts.decompose import Decomposer
from semfid.cosine import cosine_difference

Strategy = Literal["symmetric", "nonsymmetric", "nouns"]
Compare = Literal["weights", "recomposed"]


@dataclass(frozen=True)
class Concept:
    """A word with its weight in the reference and in the candidate."""

    word: str
    reference: float
    candidate: float


@dataclass(frozen=True)
class Comparison:
    """One pair.

    Attributes:
        kept, lost, gained: concepts by the larger of their weights, the largest first.
        weights: 1 - cosine of the concept weights.
        recomposed: 1 - cosine of the recomposed embeddings.
        cosine: 1 - cosine of the embeddings themselves, for comparison.
    """

    kept: tuple[Concept, ...]
    lost: tuple[Concept, ...]
    gained: tuple[Concept, ...]
    weights: float
    recomposed: float
    cosine: float


def pair_weights(
    decomposer: Decomposer, reference: Tensor, candidate: Tensor, strategy: Strategy
) -> tuple[Tensor, Tensor]:
    """Concept weights of both sides, (B, K) each, of (B, d) image embeddings.

    * ``symmetric``: the reference's concepts are the vocabulary of both; on these few words each side is solved for without
      a penalty. What a candidate adds cannot show.
    * ``nonsymmetric``, ``nouns``: each side by itself (a dictionary of nouns makes the latter).
    """
    if strategy != "symmetric":
        return decomposer.weights(reference), decomposer.weights(candidate)
    return on_shared_words(decomposer, decomposer.weights(reference) > 0, reference, candidate)


def on_shared_words(
    decomposer: Decomposer, support: Tensor, reference: Tensor, candidate: Tensor
) -> tuple[Tensor, Tensor]:
    """The second half of `symmetric`: weights of both sides on the words of `support`, (B, K) bool."""
    return decomposer.on_support(reference, support), decomposer.on_support(candidate, support)


def differences(decomposer: Decomposer, x: Tensor, y: Tensor, compare: Compare) -> Tensor:
    """1 - cosine of two sides' weights, (B, K) each, or of their recomposed embeddings: (B,) in [0, 1].

    Where no concept is active on either side they do not differ; where on one side only, weights differ by 1.
    """
    if compare == "recomposed":
        x, y = decomposer.recomposed(x), decomposer.recomposed(y)
    return cosine_difference(x, y).float()


def compared(decomposer: Decomposer, reference: Tensor, candidate: Tensor, strategy: Strategy) -> list[Comparison]:
    """Everything about B pairs of image embeddings, (B, d) each."""
    x, y = pair_weights(decomposer, reference, candidate, strategy)
    by_weights = differences(decomposer, x, y, "weights").tolist()
    by_recomposed = differences(decomposer, x, y, "recomposed").tolist()
    plain = cosine_difference(reference, candidate).float().tolist()
    found = []
    for row in range(len(x)):
        active = ((x[row] > 0) | (y[row] > 0)).nonzero().squeeze(1).tolist()
        concepts = [Concept(decomposer.words[at], float(x[row, at]), float(y[row, at])) for at in active]
        concepts.sort(key=lambda concept: (-max(concept.reference, concept.candidate), concept.word))
        found.append(
            Comparison(
                tuple(c for c in concepts if c.reference > 0 and c.candidate > 0),
                tuple(c for c in concepts if c.candidate == 0),
                tuple(c for c in concepts if c.reference == 0),
                by_weights[row],
                by_recomposed[row],
                plain[row],
            )
        )
    return found
