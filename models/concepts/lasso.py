"""The non-negative lasso over a dictionary, for many embeddings at once, solved to the end.

    min over w >= 0 of |C'w - z|^2 + l1 sum(w)

Few concepts are active, so each embedding has a small working set: the programme on it is solved exactly, then the
correlations of all words with what is left are one matrix product for all embeddings, and words that want in join. Ends where
none does, which proves that the weights are those of the whole dictionary.
"""

from __future__ import annotations

import torch
from torch import Tensor

from models.concepts.nnls import nonnegative_quadratic
from semfid.errors import UserError

TOLERANCE = 2e-6  # of a correlation, in cosine: what float32 products are good for
JOIN = 12  # words that join an embedding's working set in one round, at least
ROUNDS = 200


def lasso(dictionary: Tensor, targets: Tensor, l1: float) -> Tensor:
    """Weights of the words for each embedding.

    The same as ``sklearn.linear_model.Lasso(alpha=l1 / (2 * d), positive=True, fit_intercept=False)``, run to the end.

    Args:
        dictionary: C, (K, d) float32, rows of length 1.
        targets: z, (B, d) float32, on the same device.
        l1: positive; in cosine: no word is active whose correlation stays below l1 / 2.

    Returns:
        (B, K) float32, sparse in fact.

    Raises:
        UserError: l1 that is not positive, numbers that are not finite.
    """
    check_problem(dictionary, targets)
    if not l1 > 0 or l1 == float("inf"):
        raise UserError(f"splice: l1={l1:g} must be a positive number, such as 0.25; a larger one keeps fewer concepts")
    threshold = l1 / 2.0
    weights = torch.zeros(len(targets), len(dictionary), dtype=torch.float64, device=targets.device)
    rows = torch.arange(len(targets), device=targets.device)
    correlations = targets @ dictionary.T  # (B, K)
    for _ in range(ROUNDS):
        wanted = _violations(correlations, threshold, weights[rows] > 0)
        going = (wanted > 0).any(dim=1)
        rows, wanted = rows[going], wanted[going]
        if not len(rows):
            return weights.float()
        weights[rows] = solved_on(dictionary, targets[rows], weights[rows], wanted, threshold)
        correlations = residual(dictionary, targets[rows], weights[rows]) @ dictionary.T
    raise UserError(f"splice: no solution after {ROUNDS} rounds; raise l1, or use solver=admm")


def residual(dictionary: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Z - C'w, (B, d), from the words that are active only."""
    active = (weights != 0).any(dim=0).nonzero().squeeze(1)
    return targets - weights[:, active].to(targets.dtype) @ dictionary[active]


def _violations(correlations: Tensor, threshold: float, active: Tensor) -> Tensor:
    """By how much each word's correlation exceeds the threshold, (b, K); 0 for words that stay out of the active set."""
    return torch.where((correlations > threshold + TOLERANCE) & ~active, correlations - threshold, 0.0)


def solved_on(dictionary: Tensor, targets: Tensor, weights: Tensor, wanted: Tensor, threshold: float) -> Tensor:
    """New weights, (b, K), on the active words and the foremost of those that want in."""
    active = weights > 0
    most_active = int(active.sum(dim=1).max())
    join = min(max(JOIN, most_active // 2), int((wanted > 0).sum(dim=1).max()))
    if not most_active + join:
        return weights
    # active words first: their mark is above any violation, which is a cosine and at most 2
    mark = torch.where(active, weights.to(wanted.dtype) + 4.0, wanted)  # (b, K)
    best, words = mark.topk(min(most_active + join, mark.shape[1]), dim=1)  # (b, m)
    chosen = dictionary[words].double()  # (b, m, d)
    gram = chosen @ chosen.transpose(1, 2)
    linear = torch.einsum("bmd,bd->bm", chosen, targets.double()) - threshold
    found = nonnegative_quadratic(gram, linear, best > 0, best > 0)
    return torch.zeros_like(weights).scatter_(1, words, found)


def check_problem(dictionary: Tensor, targets: Tensor) -> None:
    """Refuse what no solver takes.

    Raises:
        UserError: sizes that do not fit, an empty dictionary, numbers that are not finite.
    """
    if dictionary.dim() != 2 or targets.dim() != 2 or dictionary.shape[1] != targets.shape[1]:
        raise UserError(
            f"splice: dictionary {tuple(dictionary.shape)} and embeddings {tuple(targets.shape)} are of different "
            "towers; build the dictionary by the tower of the embeddings"
        )
    if not len(dictionary):
        raise UserError("splice: the vocabulary is empty; give one with words")
    if not bool(torch.isfinite(targets).all()):
        raise UserError("splice: embeddings hold values that are not finite; is the image, or the tower, damaged?")
