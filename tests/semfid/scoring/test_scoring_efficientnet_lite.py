"""EfficientNet-Lite0 in plain torch against timm's, whole and in tiles."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from default_metric_support import timm_network, timm_taps

import semfid.scoring.efficientnet_lite as lite
from semfid.scoring.efficientnet_lite import CHANNELS, RUNS, STRIDES, TAPS, EfficientNetLite0, Run

SMALL = tuple(Run(run.count, run.reach, tile) for run, tile in zip(RUNS, (64, 16, 8, 8, 4), strict=True))
WHOLE = tuple(Run(run.count, run.reach, 1 << 20) for run in RUNS)


@pytest.fixture(scope="module")
def network() -> Any:
    return timm_network()


@pytest.fixture(scope="module")
def own(network: Any) -> EfficientNetLite0:
    return EfficientNetLite0(network.state_dict(), TAPS)


def images(count: int, height: int, width: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("size", [(64, 64), (32, 32), (33, 47), (101, 66), (160, 224)])
def test_features_are_those_of_timm(network: Any, own: EfficientNetLite0, size: tuple[int, int]) -> None:
    x = images(2, *size)
    expected = timm_taps(network, x)
    assert set(expected) == set(TAPS)
    for name, found in zip(TAPS, own(x), strict=True):
        assert found.shape == (2, CHANNELS[name], *(-(-side // STRIDES[name]) for side in size))
        scale = float(expected[name].abs().max())
        assert scale > 1e-3
        torch.testing.assert_close(found / scale, expected[name] / scale, atol=1e-5, rtol=0)


def test_layers_behind_the_last_tap_are_not_built(network: Any) -> None:
    few = EfficientNetLite0(network.state_dict(), ("blocks.0", "blocks.3"))
    x = images(1, 70, 50)
    expected = timm_taps(network, x)
    for name, found in zip(("blocks.0", "blocks.3"), few(x), strict=True):
        torch.testing.assert_close(found, expected[name], atol=1e-4, rtol=1e-4)
    stem = EfficientNetLite0(network.state_dict(), ("stem",))
    torch.testing.assert_close(stem(x)[0], expected["stem"], atol=1e-5, rtol=1e-5)
    sizes = [sum(p.numel() for p in made.parameters()) for made in (stem, few)]
    assert sizes[0] == 32 * 27 + 32 and sizes[1] < 400_000


@pytest.mark.parametrize("size", [(200, 311), (161, 128), (96, 530), (33, 400)])
def test_tiles_give_the_values_of_the_whole_image(
    own: EfficientNetLite0, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    x = images(1, *size)
    monkeypatch.setattr(lite, "RUNS", WHOLE)
    with torch.no_grad():
        whole = own(x)
        monkeypatch.setattr(lite, "RUNS", SMALL)
        tiled = own(x)
    for a, b in zip(whole, tiled, strict=True):
        torch.testing.assert_close(b, a, atol=1e-5 * float(a.abs().max()), rtol=0)


@pytest.mark.parametrize("number", range(5))
def test_every_reach_is_as_long_as_it_must_be(
    own: EfficientNetLite0, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One step less, and some position of some remainder of the image's size no longer sees all that it depends on."""
    step = (8, 2, 1, 2, 1)[number]
    shorter = list(SMALL)
    shorter[number] = Run(SMALL[number].count, SMALL[number].reach - step, SMALL[number].tile)
    apart = 0.0
    with torch.no_grad():
        for more in ((0, 0), (1, 3)):
            x = images(1, 256 + more[0], 256 + more[1])
            monkeypatch.setattr(lite, "RUNS", WHOLE)
            whole = own(x)
            monkeypatch.setattr(lite, "RUNS", tuple(shorter))
            apart = max([apart, *(float((a - b).abs().max()) for a, b in zip(whole, own(x), strict=True))])
    assert apart > 1e-4


def test_no_layer_sees_a_large_image_at_once(own: EfficientNetLite0) -> None:
    """What bounds the memory: the largest input of a convolution, at a size where one image has 1.4 MP."""
    seen: list[int] = []
    hooks = [
        module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].numel()))
        for module in own.modules()
        if isinstance(module, lite.Conv)
    ]
    try:
        with torch.no_grad():
            own(images(1, 1000, 1400))
    finally:
        for hook in hooks:
            hook.remove()
    largest_tile = ((512 + 2 * 40 + 8) // 2) ** 2 * 96
    assert 0 < max(seen) <= largest_tile < 1000 * 1400 // 4 * 96 / 3


def test_gradients_pass_through_tiles(own: EfficientNetLite0, monkeypatch: pytest.MonkeyPatch) -> None:
    gradients = []
    for runs in (WHOLE, SMALL):
        monkeypatch.setattr(lite, "RUNS", runs)
        x = images(1, 130, 150).requires_grad_()
        sum(tap.square().mean() for tap in own(x)).backward()  # type: ignore[union-attr]
        assert x.grad is not None
        gradients.append(x.grad)
    assert float(gradients[0].abs().max()) > 1e-6
    torch.testing.assert_close(gradients[1], gradients[0], atol=1e-4 * float(gradients[0].abs().max()), rtol=0)
