"""The parts of the default metric, fitted on features that were computed once: see make_default_metric.py."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import nnls
from torch import Tensor

from semfid.runtime.local_evidence import EvidenceWeights, evidence, soft_maximum
from semfid.runtime.predictors import ExpertsMap, ExpertsPredictor, LocalMap, saturated, weighed
from semfid.runtime.statistics import compressed

GAMMA, RIDGE = 0.4, 0.03  # of the kernel, and of its fit; chosen on koniq_sr and coco128_sr by photos left out
GATE_RIDGE, SLOPE = 1.0, 20.0
HIDDEN, TEMPERATURE, EPOCHS, RATE, BATCH = (48, 24), 0.25, 8, 4e-3, 32
RESTORED_PENALTY = 10.0  # so that nearly all channels take part: a sparse map marks fewer of the rated places
SATURATION = 0.8
FLOOR = 0.3  # of a block's mean size, added to each column's

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Features:
    """What is known of all pairs.

    Attributes:
        statistic: (N, D) pooled and compressed.
        grids: per tap (N, K_l, h_l, w_l) float16 squared differences, see `local_evidence.difference_grids`.
        difference: (N,) labels in [0, 1].
        rated: (N,) whether the label is of raters; else it is an edit's own truth.
    """

    statistic: Floats
    grids: Sequence[NDArray[np.float16]]
    difference: Floats
    rated: NDArray[np.bool_]


def fit_experts(data: Features, rows: NDArray[np.int64], widths: Sequence[int]) -> ExpertsPredictor:
    """Kernel ridge regression on the rated rows; a ridge classifier of rated against edited rows as the gate.

    Both are exact. The kernel is anchored, k(a, b) - k(a, 0) - k(0, b) + 1: it spans functions that are 0 at identical images.

    Args:
        widths: columns of each block of the statistic (one pooling of one tap).
    """
    rated = rows[data.rated[rows]]
    scale = _scale(data.statistic[rated], widths)
    z = data.statistic[rated] / scale
    gram = _anchored(z, widths)
    weights = np.linalg.solve(gram + RIDGE * np.eye(len(z)), data.difference[rated])
    # the predictor leaves k(0, z_i) out for each support; the rest of the anchoring is one support at zero
    support = np.concatenate([z, np.zeros((1, z.shape[1]))])
    coefficients = np.concatenate([weights, [-weights.sum()]])
    gate, offset = _gate(data.statistic[rows] / scale, data.rated[rows].astype(float))
    return ExpertsPredictor(
        support=torch.from_numpy(support),
        coefficients=torch.from_numpy(coefficients),
        scale=torch.from_numpy(scale),
        widths=torch.tensor(widths),
        gamma=torch.full((len(widths),), GAMMA),
        gate=torch.from_numpy(gate),
        offset=torch.tensor(offset),
        slope=torch.tensor(SLOPE),
    )


def _scale(statistic: Floats, widths: Sequence[int]) -> Floats:
    """(D,) root mean squares, each with a share of its block's, times the root of the block's width: blocks weigh alike."""
    scales = []
    for block in np.split(statistic, np.cumsum(widths)[:-1], axis=1):
        rms = np.sqrt(np.square(block).mean(axis=0))
        scales.append((rms + FLOOR * rms.mean() + 1e-12) * np.sqrt(block.shape[1]))
    return np.concatenate(scales)


def _anchored(z: Floats, widths: Sequence[int]) -> Floats:
    """(N, N) mean over the blocks of Gaussian kernels, anchored at 0."""
    total = np.zeros((len(z), len(z)))
    for block in np.split(z, np.cumsum(widths)[:-1], axis=1):
        squares = np.square(block).sum(axis=1)
        distances = np.maximum(squares[:, None] + squares[None] - 2 * block @ block.T, 0.0)
        at_zero = np.exp(-GAMMA * squares)
        total += np.exp(-GAMMA * distances) - at_zero[:, None] - at_zero[None] + 1
    return total / len(widths)


def _gate(z: Floats, rated: Floats) -> tuple[Floats, float]:
    """Ridge regression of 1 (rated) and 0 (edited), both kinds weighing alike: (D,) weights and offset; above 0 is rated."""
    weights = np.where(rated > 0, (rated == 0).sum() / max(1.0, rated.sum()), 1.0)
    share = weights / weights.sum()
    centre, level = share @ z, share @ rated
    moved = z - centre
    solved = np.linalg.solve(moved @ moved.T + GATE_RIDGE * np.diag(1 / weights), rated - level)
    gate = moved.T @ solved
    return gate, float(level - centre @ gate - 0.5)


def fit_evidence(data: Features, rows: NDArray[np.int64], strides: Sequence[int], stride: int, seed: int) -> LocalMap:
    """Train the network of local evidence on the scores of edits: AdamW, one cycle; no map is seen."""
    generator = torch.Generator().manual_seed(seed)
    rows = rows[~data.rated[rows]]
    sizes = [_sizes(grid[rows[::3]]) for grid in data.grids]
    scale = torch.cat(sizes)  # (K,)
    shapes = {
        "first": torch.randn(HIDDEN[0], len(scale), generator=generator) * 0.5 * (2 / len(scale)) ** 0.5,
        "first_bias": torch.zeros(HIDDEN[0]),
        "second": torch.randn(HIDDEN[1], HIDDEN[0], generator=generator) * (1 / (3 * HIDDEN[0])) ** 0.5,
        "second_bias": (torch.rand(HIDDEN[1], generator=generator) * 2 - 1) * HIDDEN[0] ** -0.5,
        "last": torch.randn(HIDDEN[1], generator=generator) * 0.1 * HIDDEN[1] ** -0.5,
    }
    parameters = {name: torch.nn.Parameter(value) for name, value in shapes.items()}

    def weights() -> EvidenceWeights:
        return EvidenceWeights(**{**parameters, "first": parameters["first"] / scale})

    optimizer = torch.optim.AdamW(parameters.values(), lr=RATE, weight_decay=0.01)
    steps = EPOCHS * -(-len(rows) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps + 1, pct_start=0.15)
    for _ in range(EPOCHS):
        for batch in torch.from_numpy(rows)[torch.randperm(len(rows), generator=generator)].split(BATCH):
            raw = soft_maximum(evidence(_batch(data, batch), weights(), "sqrt"), TEMPERATURE)  # (B,)
            label = torch.from_numpy(data.difference[batch.numpy()]).float()
            loss = (torch.tanh(raw / 2) - label).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    found = {name: value.detach() for name, value in weights()._asdict().items()}
    return LocalMap(**found, strides=torch.tensor(strides), stride=torch.tensor(stride))


def fit_restored(data: Features, rows: NDArray[np.int64], network: LocalMap) -> ExpertsMap:
    """Local evidence, and beside it the map of restored images.

    The latter is a nonnegative ridge regression of the rated rows' labels on the means over positions of the compressed differences:
    the same weights at every position then say where. No place is seen.
    """
    rated = rows[data.rated[rows]]
    means = [compressed(grid, "sqrt").mean(dim=(2, 3)) for grid in _batch(data, torch.from_numpy(rated))]
    inputs = torch.cat(means, dim=1).double().numpy()  # (n, K)
    rms = np.sqrt(np.square(inputs).mean(axis=0))
    scale = rms + FLOOR * rms.mean()
    penalty = RESTORED_PENALTY * np.eye(len(scale))
    weights, _ = nnls(np.concatenate([inputs / scale, penalty]), np.concatenate([data.difference[rated], 0 * scale]))
    return ExpertsMap(**network.stored(), restored=torch.from_numpy(weights / scale))


def maps_of(data: Features, head: ExpertsMap, rows: NDArray[np.int64]) -> Tensor:
    """(n, 2, h, w) maps in [0, 1] of some rows: local evidence, restored images."""
    with torch.no_grad():
        parts = []
        for part in torch.from_numpy(rows).split(64):
            grids = _batch(data, part)
            restored = saturated(weighed(grids, head.get_buffer("restored"), "sqrt"), SATURATION)
            parts.append(torch.cat([head.local(grids, "sqrt"), restored], dim=1))
    return torch.cat(parts)


def _sizes(grid: NDArray[np.float16]) -> Tensor:
    """(K,) root mean square of the compressed differences of each channel, with a tenth of their mean added."""
    rms = torch.from_numpy(np.sqrt(grid.mean(axis=(0, 2, 3), dtype=np.float32)))
    return rms + 0.1 * rms.mean() + 1e-8


def _batch(data: Features, rows: Tensor) -> list[Tensor]:
    return [torch.from_numpy(grid[rows.numpy()]).float() for grid in data.grids]
