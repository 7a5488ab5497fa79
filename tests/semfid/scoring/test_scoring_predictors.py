"""Heads of the default metric against scikit-learn and loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics.pairwise import rbf_kernel

from semfid.errors import UserError
from semfid.scoring.local_evidence import SLOPE
from semfid.scoring.predictors import (
    MAP_HEADS,
    PREDICTORS,
    ExpertsMap,
    ExpertsPredictor,
    KernelPredictor,
    LinearMap,
    LinearPredictor,
    LocalMap,
    MapHead,
    rebuilt,
    saturated,
)
from semfid.scoring.statistics import compressed

WIDTHS = (3, 5, 4)


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def kernel_predictor(vectors: int = 7) -> KernelPredictor:
    return KernelPredictor(
        support=draw(vectors, 12, seed=1).abs(),
        coefficients=draw(vectors, seed=2),
        scale=draw(12, seed=3).abs() + 0.1,
        widths=torch.tensor(WIDTHS),
        gamma=torch.tensor([0.3, 1.0, 0.05]),
    )


def experts() -> ExpertsPredictor:
    gate = {"gate": draw(12, seed=4), "offset": torch.tensor(0.3), "slope": torch.tensor(2.0)}
    return ExpertsPredictor(**kernel_predictor().stored(), **gate)


def local_map(second: int = 3) -> LocalMap:
    return LocalMap(
        first=draw(6, 2 * 4 + 5, seed=4),
        first_bias=draw(6, seed=5),
        second=draw(second, 6, seed=6),
        second_bias=draw(second, seed=7),
        last=draw(second, seed=8),
        strides=torch.tensor([2, 4]),
        stride=torch.tensor(4),
    )


def experts_map() -> ExpertsMap:
    return ExpertsMap(**local_map().stored(), restored=draw(2 * 4 + 5, seed=9).abs() * 0.05, power=torch.tensor(3.0))


def test_linear() -> None:
    predictor = LinearPredictor(draw(12), draw(12, seed=1).abs() + 0.1)
    statistic = draw(4, 12, seed=2).abs()
    expected = [
        sum(w * v / s for w, v, s in zip(predictor.weight, row, predictor.scale, strict=True)) for row in statistic
    ]
    torch.testing.assert_close(predictor(statistic), torch.stack(expected), atol=1e-5, rtol=1e-5)


def test_kernel_against_scikit_learn() -> None:
    predictor = kernel_predictor()
    statistic = draw(9, 12, seed=9).abs() * 3
    z, support = (statistic / predictor.scale).numpy(), predictor.support.numpy()
    parts = []
    start = 0
    for width, gamma in zip(WIDTHS, predictor.gamma.tolist(), strict=True):
        columns = slice(start, start + width)
        own = rbf_kernel(z[:, columns].astype(np.float64), support[:, columns].astype(np.float64), gamma)
        at_zero = rbf_kernel(np.zeros((1, width)), support[:, columns].astype(np.float64), gamma)
        parts.append(own - at_zero)
        start += width
    expected = np.mean(parts, axis=0) @ predictor.coefficients.numpy()
    assert np.std(expected) > 0.05
    np.testing.assert_allclose(predictor(statistic).numpy(), expected, atol=1e-5)


def test_experts_mix_by_their_gate() -> None:
    predictor, kernel = experts(), kernel_predictor()
    statistic, peak = draw(9, 12, seed=9).abs() * 3, torch.linspace(0, 1, 9)
    z = (statistic / predictor.scale).double().numpy()
    middle = z @ predictor.gate.double().numpy()
    predictor.offset.fill_(-float(middle.mean()))
    share = 1 / (1 + np.exp(-2.0 * (middle - middle.mean())))
    assert share.min() < 0.2 and share.max() > 0.8
    expected = share * kernel(statistic).double().numpy() + (1 - share) * peak.double().numpy()
    found = predictor(torch.cat([statistic, peak[:, None]], dim=1))
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)
    assert float(predictor(torch.zeros(1, 13))) == 0.0


def test_kernel_far_from_everything_is_finite() -> None:
    predictor = kernel_predictor()
    predictor.support.mul_(200)
    for scale in (1.0, 1e3, 1e6):
        statistic = (draw(3, 12).abs() * scale).requires_grad_()
        predictor(statistic).sum().backward()
        assert statistic.grad is not None and bool(statistic.grad.isfinite().all())


@pytest.mark.parametrize("make", [kernel_predictor, lambda: LinearPredictor(draw(12), torch.ones(12))])
def test_zeros_give_exactly_0_with_a_finite_gradient(make: object) -> None:
    predictor = make()  # type: ignore[operator]
    statistic = torch.zeros(3, 12, requires_grad=True)
    raw = predictor(statistic)
    raw.sum().backward()
    assert (raw == 0).all() and statistic.grad is not None and bool(statistic.grad.isfinite().all())
    assert float(predictor(torch.full((1, 12), 1e-6))) != 0.0, "it is precise near 0"


@pytest.mark.parametrize("compress", ["sqrt", "log", "none"])
def test_linear_map_position_by_position(compress: str) -> None:
    fine, coarse = draw(2, 3, 6, 8).square(), draw(2, 4, 3, 4, seed=1).square()
    head = LinearMap(draw(7, seed=2), draw(7, seed=3).abs() + 0.5)
    weight = head.weight / head.scale
    own = [compressed(tap, compress) for tap in (fine, coarse)]  # type: ignore[arg-type]
    maps = [
        torch.stack([sum(tap[b, c] * w[c] for c in range(len(w))) for b in range(2)])[:, None]
        for tap, w in zip(own, weight.split([3, 4]), strict=True)
    ]
    raw = maps[0] + F.interpolate(maps[1], size=(6, 8), mode="bilinear", align_corners=False)
    expected = torch.tensor([saturate(float(value)) for value in raw.flatten()]).view_as(raw)
    torch.testing.assert_close(head(iter([fine, coarse]), compress, 0.8), expected, atol=1e-5, rtol=0)
    assert 0 < float((expected == 0).float().mean()) < 1


def test_linear_map_does_not_depend_on_the_rows_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    head, tap = LinearMap(draw(5), torch.ones(5)), draw(1, 5, 19, 7).square()
    whole = head([tap], "sqrt", 0.8)
    monkeypatch.setattr("semfid.scoring.predictors.ROWS", 4)
    torch.testing.assert_close(head([tap], "sqrt", 0.8), whole, atol=1e-6, rtol=0)


def test_local_map_position_by_position() -> None:
    head = local_map()
    fine, coarse = draw(1, 4, 6, 4).square(), draw(1, 5, 3, 2, seed=1).square()
    found = head([fine, coarse], "sqrt", 0.8)
    assert found.shape == (1, 1, 3, 2)
    held = head.state_dict()
    for row in range(3):
        for column in range(2):
            cell = fine[0, :, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2].flatten(1)
            inputs = compressed(torch.cat([cell.mean(1), cell.amax(1), coarse[0, :, row, column]]), "sqrt")
            hidden = F.leaky_relu(held["first"] @ inputs + held["first_bias"], SLOPE) - F.leaky_relu(
                held["first_bias"], SLOPE
            )
            hidden = F.leaky_relu(held["second"] @ hidden + held["second_bias"], SLOPE) - F.leaky_relu(
                held["second_bias"], SLOPE
            )
            expected = max(0.0, math.tanh(float(held["last"] @ hidden) / 2))
            assert float(found[0, 0, row, column]) == pytest.approx(expected, abs=1e-5)
    zeros = head([torch.zeros_like(fine), torch.zeros_like(coarse)], "sqrt", 0.8)
    assert (zeros == 0).all()


def test_experts_map_gives_both_maps() -> None:
    head = experts_map()
    fine, coarse = draw(2, 4, 6, 4).square(), draw(2, 5, 3, 2, seed=1).square()
    found = head([fine, coarse], "sqrt", 0.8)
    assert found.shape == (2, 2, 3, 2)
    torch.testing.assert_close(found[:, :1], local_map()([fine, coarse], "sqrt", 0.8) ** 3)
    cells = fine.unflatten(3, (2, 2)).unflatten(2, (3, 2)).permute(0, 1, 2, 4, 3, 5).flatten(4)  # (2, 4, 3, 2, 4)
    inputs = compressed(torch.cat([cells.mean(4), cells.amax(4), coarse], dim=1), "sqrt")  # (2, 13, 3, 2)
    raw = (inputs * head.restored[:, None, None]).sum(dim=1)
    assert 0 < float(raw.min()) < float(raw.max())
    np.testing.assert_allclose(found[:, 1].flatten(), [saturate(float(v)) for v in raw.flatten()], atol=1e-5)
    assert not head([torch.zeros_like(fine), torch.zeros_like(coarse)], "sqrt", 0.8).any()


def saturate(raw: float, start: float = 0.8) -> float:
    raw = max(raw, 0.0)
    return raw if raw <= start else start + (1 - start) * (1 - math.exp(-(raw - start) / (1 - start)))


def test_saturated() -> None:
    raw = torch.linspace(-2, 3, 501)
    found = saturated(raw, 0.8)
    np.testing.assert_allclose(found, [saturate(float(value)) for value in raw], atol=1e-6)
    beyond = found[raw > 0]
    assert bool((beyond.diff() > 0).all()) and float(found.max()) < 1.0 and not found[raw <= 0].any()
    near = torch.tensor([0.8 - 1e-4, 0.8 + 1e-4], requires_grad=True)
    slopes = torch.autograd.grad(saturated(near, 0.8).sum(), near)[0]
    torch.testing.assert_close(slopes, torch.ones(2), atol=1e-3, rtol=0)
    assert float(saturated(torch.tensor(1e6), 0.8)) == 1.0


@pytest.mark.parametrize(
    "make", [kernel_predictor, experts, local_map, experts_map, lambda: LinearMap(draw(3), torch.ones(3))]
)
def test_what_is_stored_makes_the_same_part(make: object) -> None:
    part = make()  # type: ignore[operator]
    stored = part.stored()
    if isinstance(part, KernelPredictor):
        assert stored["support"].dtype == torch.float16
    again = rebuilt(MAP_HEADS if isinstance(part, MapHead) else PREDICTORS, part.kind, stored)
    assert type(again) is type(part)
    for name, tensor in part.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name


def test_a_kind_of_a_newer_semfid_is_refused() -> None:
    with pytest.raises(UserError, match=r"kind 'forest', this semfid knows linear, kernel, experts; update semfid"):
        rebuilt(PREDICTORS, "forest", {})
