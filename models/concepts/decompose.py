"""Embeddings as a few words with weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from models.concepts.admm import admm
from models.concepts.dictionary import Dictionary
from models.concepts.lars import lars_by_count, lars_by_l1
from models.concepts.lasso import lasso
from models.concepts.modality_gap import ImageMean
from models.concepts.nnls import nonnegative_quadratic
from semfid.errors import UserError

Solver = Literal["lasso", "lars", "admm"]
BATCH = 256  # embeddings solved for together
L1 = 0.25


@dataclass(frozen=True)
class Sparsity:
    """How many concepts: by a penalty or by their number.

    Attributes:
        l1: penalty on the sum of the weights; 0.15 to 0.35 is usual for CLIP. None: `L1`, unless `concepts` is given.
        concepts: number of concepts, exactly, in place of l1; by the path (`models.concepts.lars`).
        solver: how an l1 is solved for; all come to the same weights.
    """

    l1: float | None = None
    concepts: int | None = None
    solver: Solver = "lasso"

    def __post_init__(self) -> None:
        if self.l1 is not None and self.concepts is not None:
            raise UserError("splice: give l1 or concepts, not both")
        if self.l1 is not None and not 0 < self.l1 < float("inf"):
            raise UserError(f"splice: l1={self.l1:g} must be a positive number, such as {L1}")
        if self.concepts is not None and self.concepts < 1:
            raise UserError(f"splice: concepts={self.concepts} must be 1 or more")
        if self.concepts is not None and self.solver == "admm":
            raise UserError("splice: solver=admm takes an l1; a number of concepts is found by solver=lars")

    def __str__(self) -> str:
        if self.concepts is not None:
            return f"{self.concepts} concepts"
        return f"l1={L1 if self.l1 is None else self.l1:g}"


class Decomposer:
    """Decomposes one tower's image embeddings over one dictionary.

    Args:
        dictionary, mean: of one tower.
        device: where it is solved.

    Raises:
        UserError: dictionary and mean of different towers.
    """

    def __init__(self, dictionary: Dictionary, mean: ImageMean, sparsity: Sparsity, device: str = "cpu") -> None:
        if mean.tower and mean.tower != dictionary.tower:
            raise UserError(
                f"splice: the dictionary '{dictionary.vocabulary}' is of the tower {dictionary.tower}, the image mean "
                f"{mean.source} of {mean.tower}; build both by one tower"
            )
        if mean.vector.shape != dictionary.vectors.shape[1:]:
            raise UserError(
                f"splice: the image mean {mean.source} has {mean.vector.size} numbers, the dictionary "
                f"{dictionary.vectors.shape[1]} dimensions: they are of different towers"
            )
        self.dictionary, self.words, self.sparsity = dictionary, dictionary.words, sparsity
        self.vectors = torch.from_numpy(dictionary.vectors).to(device)  # (K, d)
        self.mean = torch.from_numpy(mean.vector).to(device)  # (d,)

    def centred(self, embeddings: Tensor | NDArray[np.float32]) -> Tensor:
        """z, (B, d): unit length, mean taken away, unit length again; an embedding without a direction stays 0."""
        rows = torch.as_tensor(embeddings).to(self.vectors.device, torch.float32)
        unit = F.normalize(rows, dim=1, eps=1e-9)
        return torch.where(rows.any(dim=1, keepdim=True), F.normalize(unit - self.mean, dim=1, eps=1e-9), 0.0)

    def weights(self, embeddings: Tensor | NDArray[np.float32]) -> Tensor:
        """(B, K) weights, not negative, of (B, d) image embeddings of any length; all 0 where no concept is active.

        Raises:
            UserError: embeddings that are not finite, a number of concepts that the vocabulary does not have.
        """
        found = [self._solve(piece) for piece in self.centred(embeddings).split(BATCH)]
        return torch.cat(found) if found else self.vectors.new_zeros(0, len(self.words))

    def _solve(self, targets: Tensor) -> Tensor:
        if self.sparsity.concepts is not None:
            return lars_by_count(self.vectors, targets, self.sparsity.concepts).weights
        l1 = L1 if self.sparsity.l1 is None else float(self.sparsity.l1)
        if self.sparsity.solver == "lars":
            return lars_by_l1(self.vectors, targets, l1).weights
        return admm(self.vectors, targets, l1) if self.sparsity.solver == "admm" else lasso(self.vectors, targets, l1)

    def on_support(self, embeddings: Tensor | NDArray[np.float32], support: Tensor) -> Tensor:
        """(B, K) weights on given words only, without a penalty (non-negative least squares).

        Args:
            support: (B, K) bool.
        """
        targets, found = self.centred(embeddings), []
        for piece, allowed in zip(targets.split(BATCH), support.split(BATCH), strict=True):
            most = max(1, int(allowed.sum(dim=1).max()))
            there, words = allowed.to(torch.int8).topk(most, dim=1)  # (b, m)
            chosen = self.vectors[words].double() * there.unsqueeze(2)  # (b, m, d)
            linear = torch.einsum("bmd,bd->bm", chosen, piece.double())
            weights = nonnegative_quadratic(chosen @ chosen.transpose(1, 2), linear, there > 0)
            found.append(torch.zeros_like(allowed, dtype=torch.float64).scatter_(1, words, weights).float())
        return torch.cat(found) if found else self.vectors.new_zeros(0, len(self.words))

    def recomposed(self, weights: Tensor) -> Tensor:
        """normalize(normalize(wC) + mean), (B, d): the image embedding that the concepts recompose."""
        return F.normalize(F.normalize(weights @ self.vectors, dim=1, eps=1e-9) + self.mean, dim=1, eps=1e-9)
