"""The whole path of the non-negative lasso, for many embeddings side by side: by number of concepts, or down to an l1.

Least angle regression with the lasso's exits (Efron et al. 2004), weights kept non-negative: as l1 falls from where nothing is
active, weights change along straight lines between *knots*, where a word joins or leaves. Each step costs two matrix products
for all embeddings together.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from models.concepts.lasso import check_problem
from semfid.errors import UserError

FLAT = 1e-9  # a word whose correlation falls with the threshold, as fast as the active ones', never joins
DEAD = 1e-9  # correlations below are none


@dataclass(frozen=True)
class PathPoint:
    """Where on the path each embedding was taken.

    Attributes:
        weights: (B, K) float32.
        l1: (B,) float64, the l1 whose lasso has these weights; 0 where the path ended before.
    """

    weights: Tensor
    l1: Tensor


def lars_by_count(dictionary: Tensor, targets: Tensor, concepts: int) -> PathPoint:
    """The first knot of the path with `concepts` active words.

    An embedding whose path has no such knot (nothing in the vocabulary goes along with what is left) gets the path's end, with
    fewer.

    Args:
        dictionary: (K, d) float32, rows of length 1.
        targets: (B, d) float32.
        concepts: 1 to min(K, d) - 1.

    Raises:
        UserError: another number, numbers that are not finite, a path that does not end.
    """
    check_problem(dictionary, targets)
    most = min(len(dictionary), dictionary.shape[1] - 1)
    if not 1 <= concepts <= most:
        raise UserError(
            f"splice: concepts={concepts} must be 1 to {most}, by the vocabulary and the tower's dimensions"
        )
    return _walk(dictionary, targets, concepts, 0.0)


def lars_by_l1(dictionary: Tensor, targets: Tensor, l1: float) -> PathPoint:
    """The point of the path at `l1`: the same weights as `models.concepts.lasso.lasso`.

    Raises:
        UserError: l1 that is not positive, numbers that are not finite, a path that does not end.
    """
    check_problem(dictionary, targets)
    if not l1 > 0 or l1 == float("inf"):
        raise UserError(f"splice: l1={l1:g} must be a positive number, such as 0.25; a larger one keeps fewer concepts")
    return _walk(dictionary, targets, None, l1 / 2.0)


class _State:
    """Embeddings still on their way: active words in the columns of `words`, where `taken`."""

    def __init__(self, dictionary: Tensor, targets: Tensor, rows: Tensor, first: Tensor, threshold: Tensor) -> None:
        self.dictionary, self.targets, self.rows, self.threshold = dictionary, targets, rows, threshold
        self.words = first.unsqueeze(1)  # (b, m)
        self.taken = torch.ones_like(self.words, dtype=torch.bool)
        self.left = torch.full_like(first, -1)  # the word that left at the last knot

    def keep(self, which: Tensor) -> None:
        self.targets, self.rows, self.threshold = self.targets[which], self.rows[which], self.threshold[which]
        self.words, self.taken, self.left = self.words[which], self.taken[which], self.left[which]

    def line(self) -> tuple[Tensor, Tensor, Tensor]:
        """Weights are start - threshold * slope, (b, m) each; and the active words' vectors, (b, m, d)."""
        chosen = self.dictionary[self.words] * self.taken.unsqueeze(2)
        gram = chosen @ chosen.transpose(1, 2) + torch.diag_embed((~self.taken).to(chosen.dtype))
        factor, _ = torch.linalg.cholesky_ex(gram)
        sides = torch.stack(
            [torch.einsum("bmd,bd->bm", chosen, self.targets), self.taken.to(chosen.dtype)], dim=2
        )  # (b, m, 2)
        start, slope = torch.cholesky_solve(sides, factor).unbind(dim=2)
        return start, slope, chosen

    def joins(self, start: Tensor, slope: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """The highest threshold at which a word joins, (b,), and the word."""
        fixed = (self.targets - torch.einsum("bm,bmd->bd", start, chosen)) @ self.dictionary.T  # (b, K)
        falling = 1.0 - torch.einsum("bm,bmd->bd", slope, chosen) @ self.dictionary.T
        at = torch.where(falling > FLAT, fixed / falling.clamp(min=FLAT), -1.0)
        some = self.words.gather(1, self.taken.to(torch.int8).argmax(dim=1, keepdim=True))  # an active word
        at.scatter_(1, torch.where(self.taken, self.words, some), -1.0)
        returned = self.left >= 0
        at[returned, self.left[returned]] = -1.0
        best, word = at.max(dim=1)
        return torch.minimum(best, self.threshold), word

    def leaves(self, start: Tensor, slope: Tensor) -> tuple[Tensor, Tensor]:
        """The highest threshold at which a weight falls to 0, (b,), and its column."""
        falls = self.taken & (slope < -DEAD)
        at = torch.where(falls, start / slope.clamp(max=-DEAD), -1.0)
        best, column = at.max(dim=1)
        return torch.minimum(best, self.threshold), column

    def drop(self, rows: Tensor, columns: Tensor) -> None:
        self.left[rows] = self.words[rows, columns]
        self.taken[rows, columns] = False

    def join(self, rows: Tensor, words: Tensor) -> None:
        self.left[rows] = -1
        if bool(self.taken[rows].all(dim=1).any()):
            self.words = torch.cat([self.words, self.words[:, :1]], dim=1)
            self.taken = torch.cat([self.taken, torch.zeros_like(self.taken[:, :1])], dim=1)
        column = (~self.taken[rows]).to(torch.int8).argmax(dim=1)  # the first free one
        self.words[rows, column] = words
        self.taken[rows, column] = True


def _walk(dictionary: Tensor, targets: Tensor, concepts: int | None, floor: float) -> PathPoint:
    exact, wide = dictionary.double(), targets.double()
    weights = torch.zeros(len(targets), len(dictionary), dtype=torch.float64, device=targets.device)
    taken_at = torch.zeros(len(targets), dtype=torch.float64, device=targets.device)
    highest, first = (wide @ exact.T).max(dim=1)
    rows = (highest > max(floor, DEAD)).nonzero().squeeze(1)
    state = _State(exact, wide[rows], rows, first[rows], highest[rows])
    for _ in range(20 * min(dictionary.shape)):
        if not len(state.rows):
            return PathPoint(weights.float(), 2.0 * taken_at)
        start, slope, chosen = state.line()
        join_at, word = state.joins(start, slope, chosen)
        leave_at, column = state.leaves(start, slope)
        knot = torch.maximum(torch.maximum(join_at, leave_at), torch.full_like(join_at, floor))
        leaving = (leave_at >= join_at) & (leave_at > floor)
        values = torch.where(state.taken, start - knot.unsqueeze(1) * slope, 0.0).clamp(min=0.0)
        values[leaving, column[leaving]] = 0.0
        done = (knot <= floor + DEAD) if concepts is None else (values > 0).sum(dim=1) == concepts
        done |= knot <= DEAD
        finished = done.nonzero().squeeze(1)
        if len(finished):
            ended = state.rows[finished]
            found = torch.zeros(len(finished), len(dictionary), dtype=torch.float64, device=targets.device)
            # columns that are free repeat a word, with weight 0: add, do not put
            weights[ended] = found.scatter_add_(1, state.words[finished], values[finished])
            taken_at[ended] = torch.where(knot[finished] <= DEAD, 0.0, knot[finished])
        state.threshold = knot
        lost, gained = (leaving & ~done).nonzero().squeeze(1), (~leaving & ~done).nonzero().squeeze(1)
        if len(lost):
            state.drop(lost, column[lost])
        if len(gained):
            state.join(gained, word[gained])
        state.keep(~done)
    raise UserError("splice: the path of an embedding does not end; use solver=lasso with an l1")
