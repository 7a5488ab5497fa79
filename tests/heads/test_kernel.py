"""The kernel head against scikit-learn, and what is wrong with its keywords."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.kernel_ridge import KernelRidge
from sklearn.metrics.pairwise import rbf_kernel
from torch import Tensor

import heads.kernel as module
from datamodules import Part
from engine.training.exact import Squared
from engine.training.exact_fit import ExactSettings, fit_exactly
from heads import Head, LinearForm, build_head
from semfid.errors import UserError

BACKBONE = SimpleNamespace(channels=(4, 5, 3), strides=(2, 4, 8), block_channels=(), embed_dim=6)
OPTIONS: dict[str, Any] = {"depth": 1, "pooling": ["mean", "lost:max"], "gamma": 0.7, "output": "identity"}
WIDTHS = (5, 3, 5, 3)
COUNT = 40


def statistic(seed: int = 0) -> Tensor:
    """(40, 24): two poolings of the three stages, of which the first is not used."""
    return torch.rand(COUNT, 24, generator=torch.Generator().manual_seed(seed)).pow(4)


def naive(values: Tensor, train: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The anchored kernel between all rows and the training rows, and between the training rows."""
    v = np.sqrt(values.double().numpy()[:, [*range(4, 12), *range(16, 24)]] + 1e-10) - 1e-5
    z, start = [], 0
    for width in WIDTHS:
        block = v[:, start : start + width]
        rms = np.sqrt((block[train] ** 2).mean(axis=0))
        z.append(block / (rms + rms.mean()) / np.sqrt(width))
        start += width

    def between(rows: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.mean(
            [
                rbf_kernel(b[rows], b[train], 0.7)
                - rbf_kernel(b[rows], 0 * b[:1], 0.7)
                - rbf_kernel(0 * b[:1], b[train], 0.7)
                + 1
                for b in z
            ],
            axis=0,
        )

    return between(np.arange(COUNT)), between(train)


@pytest.mark.parametrize("penalty", [1e-3, None])
def test_a_fit_is_scikit_learns_kernel_ridge(penalty: float | None) -> None:
    values = statistic()
    labels = (values[:, 5].sqrt() * values[:, 20].sqrt()).clamp(0, 1)
    weight = torch.linspace(0.5, 2.0, COUNT)
    part = Part(0, np.arange(0, 24), np.arange(24, 30), np.arange(30, 40))
    train = np.arange(30)
    settings = ExactSettings(Squared(), LinearForm("identity", False, False), penalty)
    sources = [f"s{row // 2}" for row in range(COUNT)]
    (fit,) = fit_exactly(
        lambda: build_head("kernel", BACKBONE, OPTIONS), settings, values, labels, weight, sources, [part]
    )
    against_train, gram = naive(values, train)
    own = weight.double().numpy()[train] / weight.double().numpy()[train].sum()
    alpha = fit.choice.penalty * float(own @ np.diag(gram))
    reference = KernelRidge(alpha=alpha, kernel="precomputed").fit(
        gram, labels.double().numpy()[train], sample_weight=own
    )
    with torch.no_grad():
        found = fit.head(values).double().numpy()
    expected = reference.predict(against_train)
    assert np.std(expected) > 0.05
    np.testing.assert_allclose(found, expected, atol=2e-4)
    assert float(fit.head(torch.zeros(1, 24))) == 0.0
    again = build_head("kernel", BACKBONE, OPTIONS)
    again.load_state_dict(fit.head.state_dict())
    assert torch.equal(again(values), fit.head(values)), "as many supports as the file holds"


def calibrated() -> Head:
    head = build_head("kernel", BACKBONE, OPTIONS)
    head.calibrate(statistic())
    return head


def test_other_pairs_than_those_of_the_calibration_are_refused() -> None:
    with pytest.raises(UserError, match="solved for on the pairs that it was calibrated with"):
        calibrated().linear_inputs(statistic(1))


def test_too_many_pairs_are_refused_before_anything_is_solved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_PAIRS", 39)
    with pytest.raises(UserError, match=r"40 are too many \(at most 39\); use lpips_linear"):
        calibrated()


@pytest.mark.parametrize(
    ("keywords", "says"),
    [({"gamma": 0.0}, "gamma=0 must be above 0"), ({"depth": 3}, "uses the last 4 taps but this backbone has 3")],
)
def test_keywords(keywords: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        build_head("kernel", BACKBONE, {**OPTIONS, **keywords})
