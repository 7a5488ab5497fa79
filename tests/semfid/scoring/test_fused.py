"""Normalisation and pooled differences in few passes against the plain formulas in float64, with their gradients."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.utils._python_dispatch import TorchDispatchMode

from semfid.scoring.fused import EPS, mean_squares, unit_vectors
from semfid.scoring.local_evidence import difference_grids, grids_of
from semfid.scoring.statistics import differences_for, pool, pooled_differences, squared_differences, unit_channels

LAYOUTS = [torch.contiguous_format, torch.channels_last]
POOLINGS = [("mean",), ("max",), ("mean", "max"), ("top:0.2", "mean"), ("gained:mean", "lost:max"), ("lost:top:0.3",)]


def taps(count: int, seed: int, layout: torch.memory_format = torch.contiguous_format) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = [(5, 9, 7), (16, 4, 4), (33, 2, 3)]
    made = [torch.randn(count, *shape, generator=generator).relu() for shape in shapes]
    made[0][:, :, 0, 0] = 0.0  # a position where nothing is active
    return [tap.contiguous(memory_format=layout) for tap in made]


def exact_unit(tap: Tensor) -> Tensor:
    wide = tap.double()
    return wide / (wide.square().sum(dim=1, keepdim=True) + EPS).sqrt()


@pytest.mark.parametrize("layout", LAYOUTS)
class TestUnitVectors:
    @pytest.mark.parametrize("scale", [1e-6, 1.0, 1e4])
    def test_values(self, layout: torch.memory_format, scale: float) -> None:
        for tap in taps(3, 0, layout):
            found = unit_channels(tap * scale)
            torch.testing.assert_close(found.double(), exact_unit(tap * scale), rtol=1e-5, atol=1e-6)
            assert found.is_contiguous(memory_format=layout)

    def test_gradients(self, layout: torch.memory_format) -> None:
        for tap in taps(2, 1, layout):
            own, wide = tap.clone().requires_grad_(), tap.double().requires_grad_()
            weight = torch.randn(tap.shape, generator=torch.Generator().manual_seed(2))
            (unit_channels(own) * weight).sum().backward()
            (exact_unit(wide) * weight).sum().backward()
            active = tap.square().sum(dim=1, keepdim=True) > 0  # elsewhere the slope is 1 / sqrt(EPS)
            torch.testing.assert_close(own.grad * active, (wide.grad * active).float(), rtol=1e-5, atol=1e-5)  # type: ignore[operator]
            assert own.grad is not None and bool(own.grad.isfinite().all())

    def test_of_gradients(self, layout: torch.memory_format) -> None:
        tap = (taps(2, 3, layout)[0].double()[:, :3, :2, :2] + 0.1).contiguous(memory_format=layout).requires_grad_()
        assert gradcheck(unit_vectors, (tap,)) and gradgradcheck(unit_vectors, (tap,))


def test_unit_vectors_of_no_images_and_of_any_strides() -> None:
    assert unit_channels(torch.zeros(0, 3, 2, 2)).shape == (0, 3, 2, 2)
    tap = taps(4, 0)[0].transpose(2, 3)[::2]
    torch.testing.assert_close(unit_channels(tap).double(), exact_unit(tap), rtol=1e-5, atol=1e-6)
    half = tap.bfloat16()
    assert unit_channels(half).dtype == torch.bfloat16


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("poolings", POOLINGS, ids=str)
@pytest.mark.parametrize("references", [1, 4])
def test_pooled_differences(poolings: tuple[str, ...], layout: torch.memory_format, references: int) -> None:
    x, y = taps(references, 4, layout), taps(4, 5, layout)
    wide = [[tap.double() for tap in side] for side in (x, y)]
    expected = pool(differences_for(poolings, *wide, "none"), poolings)
    torch.testing.assert_close(pooled_differences(x, y, poolings), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("poolings", POOLINGS[:3], ids=str)
@pytest.mark.parametrize("both", [False, True])
def test_gradients_of_pooled_differences(poolings: tuple[str, ...], layout: torch.memory_format, both: bool) -> None:
    found = []
    for kind in (torch.float32, torch.float64):
        x = [tap.to(kind).requires_grad_(both) for tap in taps(3, 6, layout)]
        y = [tap.to(kind).requires_grad_() for tap in taps(3, 7, layout)]
        if kind == torch.float32:
            pooled = pooled_differences(x, y, poolings)
        else:
            pooled = pool([(a - b) ** 2 for a, b in zip(x, y, strict=True)], poolings)
        (pooled * torch.arange(1.0, pooled.shape[1] + 1)).sum().backward()
        found.append([tap.grad for tap in (*x, *y) if tap.requires_grad])
    for own, exact in zip(*found, strict=True):
        torch.testing.assert_close(own, exact.float(), rtol=1e-5, atol=1e-5)


def test_gradients_of_gradients_of_mean_squares() -> None:
    x, y = (torch.randn(2, 3, 2, 2, dtype=torch.float64, requires_grad=True) for _ in range(2))
    assert gradcheck(mean_squares, (x, y)) and gradgradcheck(mean_squares, (x, y))


@pytest.mark.parametrize("poolings", POOLINGS, ids=str)
def test_an_image_does_not_depend_on_its_batch(poolings: tuple[str, ...]) -> None:
    x, y = taps(5, 8, torch.channels_last), taps(5, 9, torch.channels_last)
    whole = pooled_differences([unit_channels(tap) for tap in x], [unit_channels(tap) for tap in y], poolings)
    for image in range(5):
        own = [[unit_channels(tap[image : image + 1]) for tap in side] for side in (x, y)]
        assert torch.equal(pooled_differences(*own, poolings), whole[image : image + 1])


@pytest.mark.parametrize("references", [1, 3])
def test_grids(references: int) -> None:
    x, y = taps(references, 10), taps(3, 11)
    expected = difference_grids(squared_differences(x, y, "none"), (4, 8, 16), 8)
    for found, grid in zip(grids_of(x, y, (4, 8, 16), 8), expected, strict=True):
        torch.testing.assert_close(found, grid, rtol=1e-6, atol=0)
    y[0].requires_grad_()
    assert grids_of(x, y, (4, 8, 16), 8)[0].requires_grad


class Largest(TorchDispatchMode):
    """Notes how many numbers the largest new tensor holds; views of what was there are none."""

    def __init__(self, *given: Tensor) -> None:
        super().__init__()
        self.numbers, self.given = 0, {tensor.untyped_storage().data_ptr() for tensor in given}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        if isinstance(found, Tensor) and found.untyped_storage().data_ptr() not in self.given:
            self.numbers = max(self.numbers, found.numel())
        return found


@pytest.mark.parametrize("poolings", POOLINGS, ids=str)
def test_no_map_of_a_whole_batch_is_made(poolings: tuple[str, ...]) -> None:
    x, y = [torch.rand(8, 4, 16, 16)], [torch.rand(8, 4, 16, 16)]
    with Largest(*x, *y) as seen, torch.no_grad():
        pooled_differences(x, y, poolings)
    assert 0 < seen.numbers <= 4 * 16 * 16


def test_compiled() -> None:
    """What torch traces is the plain form; its graph and its gradients are those of the eager one."""

    def score(x: Tensor, y: Tensor) -> Tensor:
        return pooled_differences([unit_channels(x)], [unit_channels(y)], ("mean", "max")).sum(dim=1)

    compiled = torch.compile(score, backend="aot_eager", fullgraph=True)
    x, y = taps(3, 12)[1], taps(3, 13)[1]
    found = []
    for form in (score, compiled):
        candidate = y.clone().requires_grad_()
        value = form(x, candidate)
        value.sum().backward()
        found.append((value.detach(), candidate.grad))
    torch.testing.assert_close(found[0], found[1], rtol=1e-5, atol=1e-6)
