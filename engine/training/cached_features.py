"""Training heads on cached features: all folds of a variant at once.

With a frozen backbone, a head's training is a small regression. The folds of a variant share one order of the table
(`datamodules.samplers.epoch_order`), so the batches that they take at the same step are almost the same rows: one window
of the order is read, and every fold's head runs over it with weight 0 on what is not in its batch. Each fold takes
exactly the steps that it would take alone under a Lightning Trainer (a test compares the two).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.func import functional_call, stack_module_state, vmap

from datamodules import Part
from heads import Head
from heads.inputs import input_of
from lightning_modules.losses.pairs import PairLoss
from lightning_modules.optimizers import build_optimizer, build_schedule
from lightning_modules.pair_module import score_figures
from semfid.errors import UserError

SMALL_HEAD = 1_000_000  # parameters
PASS_NUMBERS = 1 << 24  # numbers of features that a pass without gradients takes


@dataclass(frozen=True)
class FitSettings:
    """What a training needs to know beside its data.

    Attributes:
        optimizer: see `lightning_modules.optimizers`.
        epochs: upper bound.
        batch_size: pairs per step.
        seed: of the order.
        monitor: ``val_mse``, ``val_srcc`` or ``last``.
        patience: epochs without improvement before a fold stops, or None.
    """

    optimizer: Mapping[str, Any]
    epochs: int
    batch_size: int
    seed: int
    monitor: str
    patience: int | None


@dataclass
class FoldResult:
    """The trained head of one part.

    Attributes:
        part: which.
        head: with the selected epoch's weights, in eval mode.
        epoch: the selected epoch, from 0.
        history: per epoch ``{"train_loss": ..., "val_mse": ..., "val_srcc": ...}``.
    """

    part: Part
    head: Head
    epoch: int
    history: list[dict[str, float]]


def fit_heads(
    make_head: Callable[[], Head],
    loss: PairLoss,
    features: Tensor,
    difference: Tensor,
    weight: Tensor,
    parts: Sequence[Part],
    settings: FitSettings,
    initialise: Callable[[Head, Part], None] | None = None,
) -> list[FoldResult]:
    """Train one head per part.

    Args:
        make_head: builds a head with its initial weights; called once per part, under the same seed.
        initialise: gives a part's head other weights to start from.
        features: (N, ...) what the head is fed, for all pairs of the table.
        difference: (N,) labels in [0, 1].
        weight: (N,) weights of the pairs in the loss.

    Raises:
        UserError: a loss that is not finite.
    """
    groups: dict[int, list[Part]] = {}
    for part in parts:  # folds with equally many steps an epoch go together
        groups.setdefault(-(-len(part.train) // settings.batch_size), []).append(part)
    results: dict[int, FoldResult] = {}
    for group in groups.values():
        heads = []
        for part in group:
            torch.manual_seed(settings.seed)
            heads.append(make_head())
            if initialise is not None:
                initialise(heads[-1], part)
            if heads[-1].needs_calibration:  # on the pairs that a training through images calibrates on
                heads[-1].calibrate(features[torch.from_numpy(part.train[: heads[-1].calibration_pairs])])
        if not list(heads[0].parameters()):
            trained = [FoldResult(part, head.eval(), 0, []) for part, head in zip(group, heads, strict=True)]
        else:
            with _threads_for(heads[0]):
                trained = _fit_group(heads, loss, _Table(features, difference, weight), group, settings)
        results.update({result.part.index: result for result in trained})
    return [results[part.index] for part in parts]


@contextlib.contextmanager
def _threads_for(head: Head) -> Iterator[None]:
    """One thread for small heads: their steps are too short to share, and threads that wait for each other cost more than
    they bring (3 ms for a square root on a busy machine).
    """
    before = torch.get_num_threads()
    small = sum(parameter.numel() for parameter in head.parameters()) < SMALL_HEAD
    if small and not input_of(head).by_position:  # whose weights are few but used at every position
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class _StackedHeads:
    """Heads of F folds as one: parameters and buffers are (F, ...), and a pass runs all of them."""

    def __init__(self, heads: Sequence[Head]) -> None:
        self.parameters, self.buffers = stack_module_state(list(heads))  # name -> (F, ...)
        self.template, self.nonnegative = heads[0].train(), heads[0].nonnegative
        self._same = vmap(self._forward, in_dims=(0, 0, None), randomness="different")  # (U, ...) -> (F, U)
        self._own = vmap(self._forward, in_dims=(0, 0, 0), randomness="different")  # (F, U, ...) -> (F, U)

    def _forward(self, parameters: dict[str, Tensor], buffers: dict[str, Tensor], features: Tensor) -> Tensor:
        return functional_call(self.template, (parameters, buffers), (features,))  # type: ignore[no-any-return]

    def train(self, features: Tensor) -> Tensor:
        """(F, U) predictions of the same pairs, (U, ...), with gradients."""
        return self._same(self.parameters, self.buffers, features)  # type: ignore[no-any-return]

    def predict(self, features: Tensor, rows: Tensor) -> Tensor:
        """(F, V) predictions of each fold's own rows, (F, V)."""
        self.template.eval()
        with torch.no_grad():
            pieces = rows.split(rows_at_once(features, len(rows)), dim=1)
            return torch.cat([self._own(self.parameters, self.buffers, features[piece]) for piece in pieces], dim=1)

    def project(self) -> None:
        for name in self.nonnegative:
            self.parameters[name].data.clamp_(min=0.0)


class _Steps:
    """The optimiser's steps of folds that share one order of the table.

    Args:
        parts: with equally many steps an epoch.
    """

    def __init__(self, heads: _StackedHeads, loss: PairLoss, parts: Sequence[Part], settings: FitSettings) -> None:
        self.heads, self.parts, self.settings = heads, parts, settings
        self.losses = vmap(loss, in_dims=(0, None, 0))  # (F, U) -> (F,)
        self.steps = -(-len(parts[0].train) // settings.batch_size)
        self.optimizer = build_optimizer(settings.optimizer, list(heads.parameters.values()))
        self.schedule = build_schedule(settings.optimizer, self.optimizer, self.steps * settings.epochs)

    def epoch(self, number: int, features: Tensor, difference: Tensor, weight: Tensor) -> Tensor:
        """(F,) sum over the steps of each fold's mean loss.

        Raises:
            UserError: a loss that is not finite.
        """
        self.heads.template.train()
        order = np.random.default_rng([self.settings.seed, number]).permutation(len(features))
        batch_of = _batch_numbers(
            order, self.parts, self.settings.batch_size
        )  # (F, N), -1: not in this part's training
        starts, ends = _windows(batch_of, self.steps)
        order_rows, batches = torch.from_numpy(order), torch.from_numpy(batch_of)
        total = torch.zeros(len(self.parts))
        for step in range(self.steps):
            rows = order_rows[starts[step] : ends[step]]
            member = batches[:, starts[step] : ends[step]] == step  # (F, U)
            per_fold = self.losses(self.heads.train(features[rows]), difference[rows], member * weight[rows])  # (F,)
            total += self._step(per_fold / member.sum(dim=1))
        if not torch.isfinite(total).all():
            raise UserError(
                f"the loss is not finite in epoch {number}; lower model.optimizer.lr or set model.head.normalize: unit"
            )
        return total

    def _step(self, per_fold: Tensor) -> Tensor:
        self.optimizer.zero_grad(set_to_none=True)
        per_fold.sum().backward()  # folds share no weights: each gets the gradient of its own loss
        self.optimizer.step()
        if self.schedule is not None:
            self.schedule.step()
        self.heads.project()
        return per_fold.detach()


class _Table(NamedTuple):
    """What the head is fed, (N, ...), with the labels and the weights of the pairs, (N,)."""

    features: Tensor
    difference: Tensor
    weight: Tensor


def _fit_group(
    heads: Sequence[Head], loss: PairLoss, table: _Table, parts: Sequence[Part], settings: FitSettings
) -> list[FoldResult]:
    stacked = _StackedHeads(heads)
    steps = _Steps(stacked, loss, parts, settings)
    # parts of nearly equal size: the validation rows of all, padded to the longest
    val_rows, val_counts = _padded([part.val for part in parts])
    validates = bool(val_counts.max() > 0)
    tracker = _Tracker(parts, settings, selects=validates)
    labels = table.difference[val_rows]
    for epoch in range(settings.epochs):
        train_loss = steps.epoch(epoch, *table)
        scores = stacked.predict(table.features, val_rows) if validates else None
        for fold, count in enumerate(val_counts.tolist()):
            metrics = {"train_loss": float(train_loss[fold]) / steps.steps}
            if scores is not None:
                found = score_figures(scores[fold, :count], labels[fold, :count])
                metrics |= {f"val_{name}": value for name, value in found.items()}
            tracker.record(fold, epoch, metrics, stacked.parameters, stacked.buffers)
        if tracker.all_stopped():
            break
    for fold, head in enumerate(heads):
        head.load_state_dict(tracker.best[fold])
        head.eval()
    return [
        FoldResult(part, head, tracker.best_epoch[fold], tracker.history[fold])
        for fold, (part, head) in enumerate(zip(parts, heads, strict=True))
    ]


class _Tracker:
    """Per fold: history, the selected epoch's weights, and whether patience has run out."""

    def __init__(self, parts: Sequence[Part], settings: FitSettings, selects: bool) -> None:
        self.monitor = settings.monitor if selects else "last"
        self.patience = settings.patience if selects else None
        self.best: list[dict[str, Tensor]] = [{} for _ in parts]
        self.best_epoch = [-1] * len(parts)
        self.history: list[list[dict[str, float]]] = [[] for _ in parts]
        self._best_value = [float("inf")] * len(parts)
        self._stopped = [False] * len(parts)

    def record(
        self,
        fold: int,
        epoch: int,
        metrics: dict[str, float],
        parameters: Mapping[str, Tensor],
        buffers: Mapping[str, Tensor],
    ) -> None:
        if self._stopped[fold]:
            return
        self.history[fold].append(metrics)
        value = 0.0 if self.monitor == "last" else metrics[self.monitor] * (-1.0 if self.monitor == "val_srcc" else 1.0)
        if self.monitor == "last" or value < self._best_value[fold]:
            self._best_value[fold], self.best_epoch[fold] = value, epoch
            self.best[fold] = {
                name: tensor[fold].detach().clone() for name, tensor in (*parameters.items(), *buffers.items())
            }
        elif self.patience is not None and epoch - self.best_epoch[fold] >= self.patience:
            self._stopped[fold] = True

    def all_stopped(self) -> bool:
        return all(self._stopped)


def _padded(rows: Sequence[NDArray[np.int64]]) -> tuple[Tensor, NDArray[np.int64]]:
    counts = np.array([len(part) for part in rows])
    table = np.zeros((len(rows), int(counts.max(initial=0))), dtype=np.int64)
    for index, part in enumerate(rows):
        table[index, : len(part)] = part
    return torch.from_numpy(table), counts


def _batch_numbers(order: NDArray[np.int64], parts: Sequence[Part], batch_size: int) -> NDArray[np.int64]:
    """At each place of the order, the number of the batch that the pair is in, per part; -1 outside its training."""
    member = np.zeros((len(parts), len(order)), dtype=bool)
    for index, part in enumerate(parts):
        member[index, part.train] = True
    member = member[:, order]
    return np.where(member, (np.cumsum(member, axis=1) - 1) // batch_size, -1)


def _windows(batch_of: NDArray[np.int64], steps: int) -> tuple[list[int], list[int]]:
    """First place and end of the part of the order that holds the batches of a step, over all parts."""
    starts, ends = np.full(steps, batch_of.shape[1]), np.zeros(steps, dtype=np.int64)
    for row in batch_of:
        places = np.flatnonzero(row >= 0)
        numbers = row[places]  # rising
        first = np.searchsorted(numbers, np.arange(steps), side="left")
        last = np.searchsorted(numbers, np.arange(steps), side="right") - 1
        starts, ends = np.minimum(starts, places[first]), np.maximum(ends, places[last] + 1)
    return starts.tolist(), ends.tolist()


def rows_at_once(features: Tensor, heads: int = 1) -> int:
    """How many rows of (N, ...) may pass `heads` heads together: grids are large."""
    return max(1, PASS_NUMBERS // (heads * max(1, features[0].numel())))


class Fitted(Protocol):
    """A part and its head."""

    @property
    def part(self) -> Part: ...

    @property
    def head(self) -> Head: ...


def predict_heads(results: Sequence[Fitted], features: Tensor, batch_size: int | None = None) -> list[Tensor]:
    """Each part's predictions of its test rows, float64; `batch_size` rows at a time, or as many as memory allows."""
    predictions = []
    batch_size = rows_at_once(features) if batch_size is None else batch_size
    with torch.no_grad():
        for result in results:
            rows = torch.from_numpy(result.part.test)
            pieces = [result.head(features[chunk]) for chunk in rows.split(batch_size)]
            predictions.append(torch.cat(pieces).double())
    return predictions
