"""Every head against the formulas of the design, written out as loops over images, taps, positions and channels."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import lpips
import pytest
import torch
from torch import Tensor

from heads import build_head
from heads.output import apply_output
from heads.statistics import pool, squared_differences, unit_channels
from semfid.errors import UserError

BACKBONE = SimpleNamespace(channels=(3, 5, 4), strides=(2, 4, 8), block_channels=(5, 5, 4, 4), embed_dim=6)
EVEN = SimpleNamespace(channels=(5, 5, 5), strides=(8, 8, 8), block_channels=(), embed_dim=6)


def features(widths: tuple[int, ...], count: int, seed: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(count, w, 4 - i % 2, 3, generator=generator).relu().double() for i, w in enumerate(widths)]


def naive_output(raw: float, output: str) -> float:
    if output == "softplus":
        return math.log(1 + math.exp(raw)) - math.log(2)
    if output == "sigmoid":
        return 2 / (1 + math.exp(-raw)) - 1
    return min(1.0, max(0.0, raw)) if output == "clamp" else raw


def naive_unit(vector: list[float]) -> list[float]:
    length = math.sqrt(sum(value * value for value in vector) + 1e-10)
    return [value / length for value in vector]


def naive_linear(
    x: list[Tensor], y: list[Tensor], weights: list[list[float]], bias: float, unit: bool, output: str
) -> list[float]:
    """1x1 convolution first, then the mean over positions, then over the last len(weights) taps."""
    scores = []
    for image in range(len(x[0])):
        of_taps = []
        for a, b, weight in zip(x[-len(weights) :], y[-len(weights) :], weights, strict=True):
            total, height, width = 0.0, a.shape[2], a.shape[3]
            for row in range(height):
                for column in range(width):
                    u, v = a[image, :, row, column].tolist(), b[image, :, row, column].tolist()
                    if unit:
                        u, v = naive_unit(u), naive_unit(v)
                    total += sum(w * (p - q) ** 2 for w, p, q in zip(weight, u, v, strict=True))
            of_taps.append(total / (height * width))
        scores.append(naive_output(sum(of_taps) / len(of_taps) + bias, output))
    return scores


@pytest.mark.parametrize("name", ["lpips_linear", "lpips_linear_blocks", "lpips_linear_shared"])
@pytest.mark.parametrize("unit", [False, True])
@pytest.mark.parametrize("depth", [0, 1, 2])
@pytest.mark.parametrize("output", ["identity", "softplus", "sigmoid", "clamp"])
def test_linear_heads(name: str, unit: bool, depth: int, output: str) -> None:
    backbone = EVEN if name.endswith("shared") else BACKBONE
    widths = backbone.block_channels if name.endswith("blocks") else backbone.channels
    x, y = features(widths, 3, 1), features(widths, 3, 2)
    torch.manual_seed(depth)
    head = build_head(
        name, backbone, {"depth": depth, "normalize": "unit" if unit else "none", "bias": True, "output": output}
    ).double()
    with torch.no_grad():
        head.bias.fill_(0.07)  # type: ignore[union-attr, operator]
    flat = head.weight.tolist()  # type: ignore[union-attr, operator]
    used = widths[-(depth + 1) :]
    weights = (
        [flat] * len(used) if name.endswith("shared") else [list(t) for t in torch.tensor(flat).double().split(used)]
    )
    weights = [[float(value) for value in weight] for weight in weights]
    statistic = pool(squared_differences(x, y, "unit" if unit else "none")).double()
    expected = naive_linear(x, y, weights, 0.07, unit, output)
    torch.testing.assert_close(head(statistic), torch.tensor(expected).double(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["lpips_linear", "lpips_linear_shared"])
@pytest.mark.parametrize("depth", [0, 2])
def test_scale_train(name: str, depth: int) -> None:
    """mean_l mean_c ( w_lc mean_hw(d_lc) / (rms_lc + mean_c rms_lc) ): by hand from six training pairs."""
    backbone = EVEN if name.endswith("shared") else BACKBONE
    generator = torch.Generator().manual_seed(0)
    training = torch.rand(6, sum(backbone.channels), generator=generator) * torch.logspace(
        -4, 3, sum(backbone.channels)
    )
    tested = torch.rand(2, sum(backbone.channels), generator=generator)
    head = build_head(name, backbone, {"depth": depth, "scale": "train"})
    head.calibrate(training)
    weight = head.weight.tolist()  # type: ignore[union-attr, operator]
    used = backbone.channels[-(depth + 1) :]
    start = sum(backbone.channels) - sum(used)
    expected = []
    for row in tested.tolist():
        of_taps, position, index = [], start, 0
        for width in used:
            if name.endswith("shared"):
                index = 0
            rms = [
                math.sqrt(sum(pair[position + channel] ** 2 for pair in training.tolist()) / 6)
                for channel in range(width)
            ]
            total = 0.0
            for channel in range(width):
                total += weight[index] * row[position] / (rms[channel] + sum(rms) / width)
                position, index = position + 1, index + 1
            of_taps.append(total / width)
        expected.append(sum(of_taps) / len(of_taps))
    torch.testing.assert_close(head(tested), torch.tensor(expected), rtol=1e-5, atol=1e-6)


def test_scale_train_makes_units_of_stages_irrelevant() -> None:
    """A stage that is a million times larger gives the same head, score and first gradient."""
    factor = torch.cat(
        [torch.full((width,), unit) for width, unit in zip(BACKBONE.channels, (1e-3, 1.0, 1e6), strict=True)]
    )
    training = torch.rand(8, sum(BACKBONE.channels), generator=torch.Generator().manual_seed(1))
    scores, gradients = [], []
    for unit in (torch.ones_like(factor), factor):
        torch.manual_seed(0)
        head = build_head("lpips_linear", BACKBONE, {"depth": 2, "scale": "train"})
        head.calibrate(training * unit)
        score = head(training * unit)
        scores.append(score.detach())
        gradients.append(torch.autograd.grad(score.sum(), list(head.parameters()))[0])
    torch.testing.assert_close(scores[0], scores[1], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-5, atol=1e-6)
    assert 0 < scores[0].mean() < 1, "weights start at the size of a difference"


def test_scale_train_on_a_dead_channel() -> None:
    training = torch.rand(5, sum(BACKBONE.channels))
    training[:, -2] = 0.0
    head = build_head("lpips_linear", BACKBONE, {"depth": 2, "scale": "train"})
    head.calibrate(training)
    score = head(training)
    (gradient,) = torch.autograd.grad(score.sum(), list(head.parameters()))
    assert score.isfinite().all() and gradient.isfinite().all() and gradient[-2] == 0
    alive = training.clone()
    alive[:, -2] = training[:, -1]  # dead on the training pairs, as alive as its neighbour on others
    assert (head(alive) - score).abs().max() < 0.5, "its untrained weight does not take over"


def test_scale_train_on_a_dead_stage() -> None:
    training = torch.rand(5, sum(BACKBONE.channels))
    training[:, : BACKBONE.channels[0]] = 0.0
    head = build_head("lpips_linear", BACKBONE, {"depth": 2, "scale": "train"})
    head.calibrate(training)
    assert head(training).isfinite().all() and (head.scale > 0).all()  # type: ignore[union-attr, operator]


@pytest.mark.parametrize("name", ["pooled_mlp", "embedding_mlp"])
@pytest.mark.parametrize("anchored", [False, True])
@pytest.mark.parametrize("output", ["identity", "softplus", "sigmoid", "clamp"])
def test_mlps(name: str, anchored: bool, output: str) -> None:
    head = build_head(name, BACKBONE, {"hidden": [7, 4], "anchored": anchored, "output": output})
    width = BACKBONE.embed_dim if name == "embedding_mlp" else sum(BACKBONE.channels)
    statistic = torch.rand(3, 2, width, generator=torch.Generator().manual_seed(3))
    state = {key: value.tolist() for key, value in head.state_dict().items()}
    layers = sorted({int(key.split(".")[1]) for key in state})
    assert [len(state[f"mlp.{layer}.bias"]) for layer in layers] == [7, 4, 1]

    def perceptron(values: list[float]) -> float:
        for layer in layers:
            rows, bias = state[f"mlp.{layer}.weight"], state[f"mlp.{layer}.bias"]
            values = [
                sum(w * v for w, v in zip(row, values, strict=True)) + b for row, b in zip(rows, bias, strict=True)
            ]
            if layer != layers[-1]:
                values = [max(0.0, value) for value in values]
        return values[0]

    expected = []
    for reference, candidate in statistic.tolist():
        raw = perceptron(reference + candidate) - (perceptron(reference + reference) if anchored else 0.0)
        expected.append(naive_output(raw, output))
    torch.testing.assert_close(head(statistic), torch.tensor(expected), rtol=1e-5, atol=1e-6)


def test_mlp_widths_of_the_source_project() -> None:
    head = build_head("pooled_mlp", BACKBONE, {})
    shapes = [tuple(p.shape) for key, p in head.named_parameters() if key.endswith("weight")]
    assert shapes == [(2056, 24), (1028, 2056), (512, 1028), (1, 512)]


def test_cosine() -> None:
    head = build_head("cosine", BACKBONE, {})
    generator = torch.Generator().manual_seed(4)
    statistic = torch.randn(40, 2, 6, generator=generator)
    expected = []
    for a, b in statistic.tolist():
        dot = sum(p * q for p, q in zip(a, b, strict=True))
        cosine = dot / math.sqrt(sum(p * p for p in a) * sum(q * q for q in b))
        expected.append(min(1.0, max(0.0, 1 - cosine)))
    assert max(expected) == 1.0, "clipped cases are among them"
    torch.testing.assert_close(head(statistic), torch.tensor(expected), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(head(statistic * 1000), head(statistic), rtol=1e-5, atol=1e-6)
    assert not list(head.parameters())


class TestAgainstLpips:
    def test_unit_channels(self) -> None:
        x = torch.randn(2, 5, 4, 4, generator=torch.Generator().manual_seed(0))
        torch.testing.assert_close(unit_channels(x), lpips.normalize_tensor(x), rtol=1e-5, atol=1e-6)
        lengths = unit_channels(x).square().sum(1)
        torch.testing.assert_close(lengths, torch.ones_like(lengths))

    def test_zero_vectors_have_finite_gradients(self) -> None:
        """lpips' own normalisation has none there: x / (|x| + eps)."""
        x = torch.zeros(1, 3, 2, 2, requires_grad=True)
        (gradient,) = torch.autograd.grad(unit_channels(x).sum(), x)
        assert gradient.isfinite().all()
        (theirs,) = torch.autograd.grad(lpips.normalize_tensor(x).sum(), x)
        assert theirs.isnan().any(), "the trap is real"

    def test_the_whole_metric(self) -> None:
        """lpips' own pieces put together as in its forward: normalise, difference, linear layer, average, sum."""
        x = [tap.float() + 0.05 for tap in features(BACKBONE.channels, 3, 1)]
        y = [tap.float() + 0.05 for tap in features(BACKBONE.channels, 3, 2)]
        head = build_head("lpips_linear", BACKBONE, {"depth": 2, "normalize": "unit", "weights": "nonnegative"})
        layers = [lpips.NetLinLayer(width, use_dropout=False) for width in BACKBONE.channels]
        pieces = head.weight.detach().split(BACKBONE.channels)  # type: ignore[union-attr, operator]
        with torch.no_grad():
            for layer, piece in zip(layers, pieces, strict=True):
                layer.model[-1].weight.copy_(piece.view(1, -1, 1, 1))
            expected = torch.zeros(3)
            for a, b, layer in zip(x, y, layers, strict=True):
                difference = (lpips.normalize_tensor(a) - lpips.normalize_tensor(b)) ** 2
                expected += lpips.spatial_average(layer(difference), keepdim=False).squeeze(1)
            own = head(pool(squared_differences(x, y, "unit")))
        torch.testing.assert_close(
            own * 3, expected, rtol=1e-4, atol=1e-6
        )  # lpips sums over stages, this head averages


class TestStatistics:
    @pytest.mark.parametrize("normalize", ["none", "unit"])
    def test_pool_and_differences(self, normalize: Any) -> None:
        x, y = features((3, 5), 2, 1), features((3, 5), 2, 2)
        pooled = pool(squared_differences(x, y, normalize))
        assert pooled.shape == (2, 8) and pooled.dtype == torch.float32
        for image in range(2):
            position = 0
            for a, b in zip(x, y, strict=True):
                for channel in range(a.shape[1]):
                    values = []
                    for row in range(a.shape[2]):
                        for column in range(a.shape[3]):
                            u, v = a[image, :, row, column].tolist(), b[image, :, row, column].tolist()
                            if normalize == "unit":
                                u, v = naive_unit(u), naive_unit(v)
                            values.append((u[channel] - v[channel]) ** 2)
                    assert pooled[image, position].item() == pytest.approx(
                        sum(values) / len(values), rel=1e-5, abs=1e-7
                    )
                    position += 1

    def test_half_precision_features_are_averaged_in_float32(self) -> None:
        tap = torch.full((1, 1, 64, 64), 0.001, dtype=torch.bfloat16)
        assert pool([tap]).item() == pytest.approx(tap[0, 0, 0, 0].item(), rel=1e-6)

    def test_taps_that_do_not_match(self) -> None:
        with pytest.raises(ValueError, match="zip"):
            squared_differences(features((3, 5), 1, 1), features((3,), 1, 1), "none")


class TestOutput:
    @pytest.mark.parametrize("output", ["identity", "softplus", "sigmoid", "clamp"])
    def test_formulas(self, output: Any) -> None:
        raw = torch.linspace(-6, 6, 61)
        expected = [naive_output(value, output) for value in raw.tolist()]
        torch.testing.assert_close(apply_output(raw, output), torch.tensor(expected), rtol=1e-5, atol=1e-6)
        assert apply_output(torch.zeros(1), output).item() == 0.0
        assert (apply_output(raw, output).diff() >= 0).all(), "monotone: ranks stay"


class TestMistakes:
    @pytest.mark.parametrize(("name", "count"), [("lpips_linear", 3), ("lpips_linear_blocks", 4)])
    @pytest.mark.parametrize("depth", [-1, None, 99])
    def test_depth_out_of_range(self, name: str, count: int, depth: int | None) -> None:
        depth = count if depth is None else depth
        with pytest.raises(
            UserError,
            match=rf"depth={depth} uses the last {depth + 1} taps but this backbone has {count}; choose 0 to {count - 1}",
        ):
            build_head(name, BACKBONE, {"depth": depth})

    def test_shared_needs_one_width(self) -> None:
        with pytest.raises(UserError, match=r"needs taps of one width, not \(5, 4\); use lpips_linear"):
            build_head("lpips_linear_shared", BACKBONE, {"depth": 1})
        build_head("lpips_linear_shared", BACKBONE, {"depth": 0})
        build_head("lpips_linear_shared", SimpleNamespace(**{**vars(EVEN), "channels": (3, 5, 5)}), {"depth": 1})

    def test_blocks_need_blocks(self) -> None:
        with pytest.raises(UserError, match="needs a backbone with residual blocks; use lpips_linear"):
            build_head("lpips_linear_blocks", EVEN, {})

    @pytest.mark.parametrize("hidden", [[], [0], [8, -1]])
    def test_hidden_widths(self, hidden: list[int]) -> None:
        with pytest.raises(UserError, match="must list positive layer widths"):
            build_head("pooled_mlp", BACKBONE, {"hidden": hidden})

    def test_options_of_another_head(self) -> None:
        with pytest.raises(UserError, match="head 'cosine' has no keyword 'depth'"):
            build_head("cosine", BACKBONE, {"depth": 1})
        with pytest.raises(UserError, match=r"normalize='units' should be one of 'none', 'unit'; did you mean 'unit'"):
            build_head("lpips_linear", BACKBONE, {"normalize": "units"})
