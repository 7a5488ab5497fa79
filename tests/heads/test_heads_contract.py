"""One contract for every registered head, over its whole option grid. A new plugin is tested by being there."""

from __future__ import annotations

import copy
import functools
import inspect
import itertools
import math
import typing
from types import SimpleNamespace
from typing import Any, Literal

import pytest
import torch
from torch import Tensor

from heads import Head, MapHead, build_head
from heads.decoders.base import DecoderHead
from heads.decoders.map_score import MapScore
from heads.decoders.pyramid import levels_of
from heads.grid_head import GridHead
from heads.statistics import compressed, parse_poolings, pool
from registry import HEADS
from semfid.errors import UserError
from semfid.scoring.local_evidence import difference_grids

BACKBONE = SimpleNamespace(  # 16 blocks, as a ResNet-50
    channels=(3, 5, 4, 6, 8),
    strides=(2, 4, 8, 16, 32),
    block_channels=(5,) * 3 + (4,) * 4 + (6,) * 6 + (8,) * 3,
    embed_dim=7,
)
WIDE = SimpleNamespace(channels=(8, 8, 12, 16, 24), strides=(2, 4, 8, 16, 32), block_channels=(), embed_dim=7)
EVEN = SimpleNamespace(channels=(6,) * 5, strides=(16,) * 5, block_channels=(6,) * 5, embed_dim=7)

# an integer keyword has no list of choices in its signature: these are tried where a head has a keyword of the name
INTEGERS = {"depth": [0, 3]}
# what happens to a statistic before it is weighed goes with every other option alike: each is tried with a few of them
INPUTS = {
    "pooling": ["max", "top:0.3", ["mean", "max"], "gained:max", ["lost:mean", "mean", "gained:top:0.3"]],
    "compress": ["sqrt", "log"],
}
FEW = (
    {},
    {"normalize": "unit", "scale": "train", "weights": "nonnegative", "output": "sigmoid"},
    {"bias": True, "depth": 0},
)
FIXED: dict[str, dict[str, Any]] = {"pooled_mlp": {"hidden": [16, 8]}, "embedding_mlp": {"hidden": [16, 8]}}
STATISTICS: dict[Any, Any] = {}  # what `pairs_for` has made
SIDE = 64  # of the images whose difference maps decoders give
# of one class with lpips_linear, which is tried with all combinations of the same options; these with all pairs of values
SAME_CLASS = ("lpips_linear_blocks", "lpips_linear_shared")
DECODERS = [name for name in HEADS.names() if issubclass(HEADS.get(name).factory, DecoderHead)]  # type: ignore[arg-type]
FIXED |= {name: {"width": 32} for name in DECODERS if "width" in HEADS.get(name).keywords}


def backbone_for(name: str) -> Any:
    return EVEN if name.endswith("_shared") else WIDE if name in DECODERS else BACKBONE


def option_grid(name: str) -> list[dict[str, Any]]:
    """Every combination of a head's Literal, bool and known integer keywords; of a decoder, which is large, each choice
    once."""
    axes: dict[str, list[Any]] = {}
    for key, parameter in HEADS.get(name).keywords.items():
        if key in FIXED.get(name, {}) or key in INPUTS:
            continue
        if typing.get_origin(parameter.annotation) is Literal:
            axes[key] = list(typing.get_args(parameter.annotation))
        elif parameter.annotation is bool:
            axes[key] = [False, True]
        elif key in INTEGERS:
            axes[key] = INTEGERS[key]
        else:
            assert parameter.default is not inspect.Parameter.empty, f"{name}: give '{key}' a value in FIXED"
    fixed = FIXED.get(name, {})
    if name in DECODERS:
        if name != "unet":  # what the options do stands in the class that they share
            axes = {"score": ["mean", "learned"], "anchored": [False], "scale": ["none"]}
        return [{**fixed, key: value} for key, values in axes.items() for value in values]
    grid = [{**fixed, **dict(zip(axes, values, strict=True))} for values in itertools.product(*axes.values())]
    return [*(grid[::5] if name in SAME_CLASS else grid), *_inputs_grid(name)]


def _inputs_grid(name: str) -> list[dict[str, Any]]:
    """Every pooling with every compression, beside a few of the other options: all of them, or one after the other."""
    known = HEADS.get(name).keywords
    axes = {key: [known[key].default, *values] for key, values in INPUTS.items() if key in known}
    combinations = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
    defaults = {"weights": known["weights"].default} if "weights" in known else {}
    few = [{**defaults, **{key: value for key, value in options.items() if key in known}} for options in FEW]
    return [
        {**options, **own}
        for number, own in enumerate(combinations[1:])
        for options in ([few[number % len(few)]] if name in SAME_CLASS else few)
    ]


@functools.cache
def feature_maps(widths: tuple[int, ...], count: int, seed: int) -> list[Tensor]:
    """Post-ReLU features of `count` images, with positions and channels that are all zero; made once, to be left as they are."""
    generator = torch.Generator().manual_seed(seed)
    maps = []
    for index, width in enumerate(widths):
        tap = torch.randn(count, width, 6 - index % 3, 6 - index % 3, generator=generator).relu()
        tap[:, :, 0, 0] = 0.0
        maps.append(tap)
    return maps


def pyramid(backbone: Any, count: int, seed: int) -> list[Tensor]:
    """What stands for an image and its stages: one channel at its size, then post-ReLU features at each stride."""
    generator = torch.Generator().manual_seed(seed)
    sizes = [(1, 1), *zip(backbone.channels, backbone.strides, strict=True)]
    return [torch.randn(count, c, SIDE // s, SIDE // s, generator=generator).relu() for c, s in sizes]


def statistic_of(head: Head, backbone: Any, x: list[Tensor], y: list[Tensor], embeddings: tuple[Tensor, Tensor]) -> Any:
    """What a lightning module feeds, by the words of the contract and nothing else."""
    if head.input_kind == "embeddings":
        return torch.stack(embeddings, dim=1)
    if head.input_kind == "pooled_features":
        return torch.stack([torch.cat([tap.mean((2, 3)) for tap in side], dim=1) for side in (x, y)], dim=1)
    if head.normalize == "unit":
        x, y = ([tap / (tap.square().sum(1, keepdim=True) + 1e-10).sqrt() for tap in side] for side in (x, y))
    return pooled(signed(x, y), head.poolings)


def signed(x: list[Tensor], y: list[Tensor]) -> list[Tensor]:
    """Squared differences, below 0 where y is the smaller."""
    return [torch.where(b < a, -1.0, 1.0) * (a - b).square() for a, b in zip(x, y, strict=True)]


def pooled(signed_differences: list[Tensor], poolings: tuple[str, ...]) -> Tensor:
    """Poolings side by side, each of all taps side by side, from sorted positions."""
    columns = []
    for name in poolings:
        side, pooling = name.split(":", 1) if name.startswith(("gained:", "lost:")) else ("", name)
        differences = [
            torch.where(tap < 0, 0.0, tap)
            if side == "gained"
            else torch.where(tap > 0, 0.0, -tap)
            if side
            else tap.abs()
            for tap in signed_differences
        ]
        share = {"mean": 1.0, "max": 0.0}.get(pooling)
        share = float(pooling.partition(":")[2]) if share is None else share
        for tap in differences:
            ordered = tap.flatten(2).sort(dim=2, descending=True).values
            columns.append(ordered[:, :, : max(1, math.ceil(share * ordered.shape[2] - 1e-9))].mean(dim=2))
    return torch.cat(columns, dim=1)


def pairs_for(head: Head, backbone: Any, count: int, seed: int = 0, same: bool = False, swap: bool = False) -> Any:
    """What `head` is fed; heads that read the same of the features share what is computed, and a test gets its own copy."""
    read = (head.input_kind, head.taps, head.normalize, getattr(head, "poolings", None))
    grid = (head.tap_strides, head.stride) if isinstance(head, GridHead) else isinstance(head, DecoderHead)
    key = (id(backbone), read, grid, count, seed, same, swap)
    if key not in STATISTICS:
        STATISTICS[key] = _pairs(head, backbone, count, seed, same, swap)
    return copy.deepcopy(STATISTICS[key])


def _pairs(head: Head, backbone: Any, count: int, seed: int, same: bool, swap: bool) -> Any:
    if isinstance(head, DecoderHead | GridHead):
        x = pyramid(backbone, count, 2 * seed)
        y = [tap.clone() for tap in x] if same else pyramid(backbone, count, 2 * seed + 1)
        if head.normalize == "unit":
            x, y = ([tap / (tap.square().sum(1, keepdim=True) + 1e-10).sqrt() for tap in side] for side in (x, y))
        differences = [(a - b).square() for a, b in zip(x, y, strict=True)]
        return (
            difference_grids(differences[1:], head.tap_strides, head.stride)
            if isinstance(head, GridHead)
            else differences
        )
    widths = backbone.block_channels if head.taps == "blocks" else backbone.channels
    x = feature_maps(widths, count, 2 * seed)
    y = [tap.clone() for tap in x] if same else feature_maps(widths, count, 2 * seed + 1)
    generator = torch.Generator().manual_seed(seed)
    ex = torch.randn(count, backbone.embed_dim, generator=generator)
    ey = ex.clone() if same else torch.randn(count, backbone.embed_dim, generator=generator)
    return statistic_of(head, backbone, *((y, x) if swap else (x, y)), (ey, ex) if swap else (ex, ey))


def take(statistic: Any, index: slice) -> Any:
    return [tap[index] for tap in statistic] if isinstance(statistic, list) else statistic[index]


@functools.cache
def built(name: str) -> list[tuple[dict[str, Any], Head, Any]]:
    """Every option set, calibrated and with weights that have left their initial values; tests alter copies alone."""
    backbone, heads = backbone_for(name), []
    for number, options in enumerate(option_grid(name)):
        torch.manual_seed(number)
        head = build_head(name, backbone, options)
        head.calibrate(pairs_for(head, backbone, 9, seed=50))
        with torch.no_grad():
            for parameter in head.parameters():
                # decoders are deep: so much would saturate their output
                parameter.add_((0.02 if name in DECODERS else 0.3) * torch.randn(parameter.shape))
        head.project()
        heads.append((options, head.eval(), backbone))
    return heads


@pytest.mark.parametrize("name", HEADS.names())
class TestHeadContract:
    def test_one_number_per_pair(self, name: str) -> None:
        for options, head, backbone in built(name):
            for count in (1, 5):
                score = head(pairs_for(head, backbone, count))
                assert score.shape == (count,) and score.dtype == torch.float32 and score.isfinite().all(), options

    def test_identical_images_score_exactly_zero(self, name: str) -> None:
        promised = 0
        for options, head, backbone in built(name):
            if head.zero_at_identity:
                promised += 1
                score = head(pairs_for(head, backbone, 4, same=True))
                assert (score == 0).all(), (options, score)
        assert promised, "no option set of this head keeps the promise that most depends on it"

    def test_zero_is_promised_by_default(self, name: str) -> None:
        assert build_head(name, backbone_for(name), {}).zero_at_identity

    def test_alone_or_among_others(self, name: str) -> None:
        for options, head, backbone in built(name):
            statistic = pairs_for(head, backbone, 6)
            together = head(statistic)
            alone = torch.cat([head(take(statistic, slice(i, i + 1))) for i in range(6)])
            torch.testing.assert_close(
                alone, together, rtol=1e-5, atol=1e-5, msg=lambda text, o=options: f"{o}: {text}"
            )

    def test_order_of_pairs(self, name: str) -> None:
        for options, head, backbone in built(name):
            statistic = pairs_for(head, backbone, 6)
            order = torch.tensor([3, 0, 5, 1, 4, 2])
            shuffled = [tap[order] for tap in statistic] if isinstance(statistic, list) else statistic[order]
            torch.testing.assert_close(head(shuffled), head(statistic)[order], rtol=1e-5, atol=1e-6, msg=str(options))

    def test_symmetry_where_it_says_so(self, name: str) -> None:
        differs, declared = False, True
        for options, head, backbone in built(name):
            there, back = head(pairs_for(head, backbone, 5)), head(pairs_for(head, backbone, 5, swap=True))
            if head.symmetric:
                torch.testing.assert_close(there, back, rtol=1e-6, atol=1e-6, msg=str(options))
            declared = declared and head.symmetric
            differs = differs or not torch.allclose(there, back)
        assert differs != declared, "declared asymmetric, yet it is symmetric: say so"

    def test_gradients_are_finite_at_identical_images(self, name: str) -> None:
        for options, head, backbone in built(name):
            statistic = pairs_for(head, backbone, 3, same=True)
            leaves = statistic if isinstance(statistic, list) else [statistic]
            for leaf in leaves:
                leaf.requires_grad_()
            score = head(statistic).sum()
            for gradient in torch.autograd.grad(score, [*leaves, *head.parameters()], allow_unused=True):
                assert gradient is None or gradient.isfinite().all(), options

    def test_it_reacts_to_its_input(self, name: str) -> None:
        for options, head, backbone in built(name):
            if getattr(head, "output", None) == "clamp":
                continue
            assert head(pairs_for(head, backbone, 4)).unique().numel() == 4, options

    def test_projection_makes_weights_nonnegative_and_nothing_else(self, name: str) -> None:
        for options, whole, _ in built(name):
            head = copy.deepcopy(whole)
            with torch.no_grad():
                for parameter in head.parameters():
                    parameter.copy_(torch.randn(parameter.shape))
            before = {key: value.clone() for key, value in head.named_parameters()}
            head.project()
            for key, value in head.named_parameters():
                expected = before[key].clamp(min=0) if key in head.nonnegative else before[key]
                assert torch.equal(value, expected), (options, key)
            assert bool(head.nonnegative) == (
                options.get("weights") == "nonnegative" or options.get("score") == "learned"
            ), options

    def test_initial_weights_obey_the_projection(self, name: str) -> None:
        for options in option_grid(name):
            head = build_head(name, backbone_for(name), options)
            before = copy.deepcopy(head.state_dict())
            head.project()
            assert all(torch.equal(before[key], value) for key, value in head.state_dict().items()), options

    def test_nonnegative_weights_give_nonnegative_differences(self, name: str) -> None:
        for options, head, backbone in built(name):
            if head.nonnegative and head.zero_at_identity and name not in DECODERS:
                assert (head(pairs_for(head, backbone, 20)) >= 0).all(), options

    def test_state_round_trip(self, name: str) -> None:
        for options, head, backbone in built(name):
            torch.manual_seed(999)
            other = build_head(name, backbone, options)  # not calibrated: the state must bring that too
            other.load_state_dict(head.state_dict())
            statistic = pairs_for(head, backbone, 4)
            assert torch.equal(other.eval()(statistic), head(statistic)), options

    def test_same_seed_same_head(self, name: str) -> None:
        backbone = backbone_for(name)
        for options in option_grid(name):
            states = []
            for _ in range(2):
                torch.manual_seed(7)
                states.append(build_head(name, backbone, options).state_dict())
            assert all(torch.equal(states[0][key], states[1][key]) for key in states[0]), options

    def test_calibration_is_declared(self, name: str) -> None:
        """A head that says it needs none must not change when it is offered; one that does must, and only buffers."""
        backbone = backbone_for(name)
        for options in option_grid(name):
            head = build_head(name, backbone, options)
            before, parameters = copy.deepcopy(head.state_dict()), dict(head.named_parameters())
            head.calibrate(pairs_for(head, backbone, 9, seed=50))
            moved = {key for key, value in head.state_dict().items() if not torch.equal(before[key], value)}
            assert bool(moved) == head.needs_calibration, options
            assert not moved & set(parameters), options

    def test_calibration_is_repeatable_and_ignores_order(self, name: str) -> None:
        backbone = backbone_for(name)
        for options in option_grid(name):
            torch.manual_seed(3)
            head = build_head(name, backbone, options)
            if not head.needs_calibration:
                continue
            statistic = pairs_for(head, backbone, 9, seed=50)
            head.calibrate(statistic)
            first = copy.deepcopy(head.state_dict())
            answers = head(statistic) if head.solved else None
            head.calibrate([tap.flip(0) for tap in statistic] if isinstance(statistic, list) else statistic.flip(0))
            if answers is not None:  # it holds the pairs themselves
                torch.testing.assert_close(head(statistic), answers, rtol=1e-4, atol=1e-6)
                continue
            for key, value in head.state_dict().items():
                torch.testing.assert_close(value, first[key], rtol=1e-6, atol=0.0)

    def test_vmap_over_stacked_heads(self, name: str) -> None:
        """The cached engine trains the heads of all folds at once."""
        from torch.func import functional_call, stack_module_state, vmap

        backbone = backbone_for(name)
        for options in option_grid(name)[:: max(1, len(option_grid(name)) // 12)]:
            heads = []
            for seed in range(3):
                torch.manual_seed(seed)
                heads.append(build_head(name, backbone, options))
                heads[-1].calibrate(pairs_for(heads[-1], backbone, 9, seed=50 + seed))
            statistic = pairs_for(heads[0], backbone, 4)
            if isinstance(statistic, list) or not list(heads[0].parameters()):
                continue
            parameters, buffers = stack_module_state(heads)  # type: ignore[arg-type]
            stacked = vmap(lambda p, b, h=heads[0], s=statistic: functional_call(h, (p, b), (s,)))(parameters, buffers)
            expected = torch.stack([head(statistic) for head in heads])
            torch.testing.assert_close(stacked, expected, rtol=1e-5, atol=1e-6, msg=str(options))

    def test_maps_against_the_raw_score(self, name: str) -> None:
        """Equal in the mean for mean pooling; with nonnegative weights and one pooling, bounded by it for every other."""
        for options, head, backbone in built(name):
            if not isinstance(head, MapHead) or options.get("output", "identity") != "identity":
                continue
            widths = backbone.block_channels if head.taps == "blocks" else backbone.channels
            x, y = feature_maps(widths, 3, 1), feature_maps(widths, 3, 2)
            if head.normalize == "unit":
                x, y = ([tap / (tap.square().sum(1, keepdim=True) + 1e-10).sqrt() for tap in side] for side in (x, y))
            differences = signed(x, y)
            maps = head.difference_maps([tap.abs() for tap in differences] if head.symmetric else differences)
            used = differences[len(differences) - len(maps) :]
            assert [tuple(m.shape) for m in maps] == [(3, 1, *tap.shape[2:]) for tap in used], options
            bias = getattr(head, "bias", None)
            score = head(pooled(differences, head.poolings)) - (0 if bias is None else bias)
            mean = torch.stack([m.mean((1, 2, 3)) for m in maps]).mean(0)
            if head.poolings == ("mean",) and options.get("compress", "none") == "none":
                torch.testing.assert_close(mean, score, rtol=1e-4, atol=1e-6, msg=str(options))
            elif len(head.poolings) == 1 and head.nonnegative:
                peak = torch.stack([m.amax((1, 2, 3)) for m in maps]).mean(0)
                bound = peak if head.poolings == ("max",) else mean
                assert (bound <= score + 1e-5).all() and (bound < score - 1e-4).any(), options


@pytest.mark.parametrize("name", DECODERS)
class TestDecoderContract:
    """What a head that gives maps at the size of the images promises beyond that."""

    def test_the_map_is_of_the_images_size(self, name: str) -> None:
        for options, head, backbone in built(name):
            maps = head.difference_map(pairs_for(head, backbone, 3))
            assert maps.shape == (3, 1, SIDE, SIDE) and maps.isfinite().all(), options
            if options.get("output", "sigmoid") == "sigmoid":
                assert maps.abs().max() <= 1, options

    def test_identical_images_give_a_map_of_zeros(self, name: str) -> None:
        for options, whole, backbone in built(name):
            head = copy.deepcopy(whole)  # statistics of BatchNorm move
            if head.zero_at_identity:
                for mode in (False, True):  # in training the zeros are one more item of the batch
                    head.train(mode)
                    torch.manual_seed(0)
                    maps = head.difference_map(pairs_for(head, backbone, 3, same=True))
                    if not mode or not any(isinstance(m, torch.nn.Dropout2d) and m.p > 0 for m in head.modules()):
                        assert maps.abs().max() <= (0 if not mode else 1e-5), (options, mode)

    def test_a_change_shows_where_it_is(self, name: str) -> None:
        """One corner differs: after a few steps towards its mask, the map is larger there than in the far corner."""
        torch.manual_seed(0)
        backbone = backbone_for(name)
        head = build_head(name, backbone, FIXED.get(name, {}))
        statistic = pairs_for(head, backbone, 4)
        for tap in statistic:
            side = tap.shape[-1] // 2
            tap[..., side:, :] = 0
            tap[..., :, max(1, side) :] = 0
        target = torch.zeros(4, 1, SIDE, SIDE)
        target[..., : SIDE // 2, : SIDE // 2] = 1
        head.calibrate(statistic)
        optimizer = torch.optim.Adam(head.parameters(), lr=1e-2)
        for _ in range(12):
            optimizer.zero_grad()
            (head.difference_map(statistic) - target).square().mean().backward()
            optimizer.step()
        maps = head.difference_map(statistic)
        assert maps[..., :16, :16].mean() > maps[..., -16:, -16:].mean() + 0.1

    @pytest.mark.parametrize("strides", [(16,) * 12, (4, 8, 16, 32), (2, 4), (14, 14)])
    def test_any_backbone(self, name: str, strides: tuple[int, ...]) -> None:
        backbone = SimpleNamespace(channels=(6,) * len(strides), strides=strides, block_channels=(), embed_dim=7)
        side = 4 * max(strides)
        statistic = [torch.rand(2, 1, side, side), *(torch.rand(2, 6, side // s, side // s) for s in strides)]
        head = build_head(name, backbone, FIXED.get(name, {})).eval()
        assert head.difference_map(statistic).shape == (2, 1, side, side)

    def test_wrong_values_are_named(self, name: str) -> None:
        key = "width" if "width" in HEADS.get(name).keywords else "max_width"
        with pytest.raises(UserError, match=key):
            build_head(name, backbone_for(name), {key: 0})
        with pytest.raises(UserError, match="top"):
            build_head(name, backbone_for(name), {"top": 0.0})


class TestScoreOfMap:
    def test_against_a_sort(self) -> None:
        maps = torch.rand(3, 1, 17, 23, generator=torch.Generator().manual_seed(0))
        ordered = maps.flatten(1).sort(dim=1, descending=True).values
        torch.testing.assert_close(MapScore("mean", 0.05)(maps), ordered.mean(dim=1))
        torch.testing.assert_close(MapScore("topk", 0.1)(maps), ordered[:, :40].mean(dim=1))  # ceil(39.1)
        learned = MapScore("learned", 0.05)
        expected = sum(ordered[:, :n].mean(dim=1) for n in (4, 20, 98, 391)) / 4
        torch.testing.assert_close(learned(maps), expected)

    def test_one_pixel(self) -> None:
        for kind in ("mean", "topk", "learned"):
            assert MapScore(kind, 1.0)(torch.full((2, 1, 1, 1), 0.25)).tolist() == [0.25, 0.25]


class TestPoolings:
    def test_words(self) -> None:
        assert parse_poolings("mean") == ("mean",)
        assert parse_poolings(["mean", "max", "top:.050"]) == ("mean", "max", "top:0.05")

    @pytest.mark.parametrize(
        "wrong", ["median", "top", "top:0", "top:1", "top:5", "top:x", "top:nan", [], ["max", "max"]]
    )
    def test_wrong_words_are_named_in_one_line(self, wrong: Any) -> None:
        with pytest.raises(UserError, match=r"pooling=.*top:0\.05") as caught:
            build_head("lpips_linear", BACKBONE, {"pooling": wrong})
        assert "\n" not in str(caught.value)

    def test_top_counts_as_a_sort_does(self) -> None:
        tap = torch.rand(2, 3, 5, 7, generator=torch.Generator().manual_seed(0))
        found = pool([tap], ("mean", "max", "top:0.1", "top:0.0001"))
        torch.testing.assert_close(found, pooled([tap], ("mean", "max", "top:0.1", "top:0.0001")))  # 4 and 1 of 35

    def test_an_exported_program_counts_alike_at_every_size(self) -> None:
        class Pool(torch.nn.Module):
            def forward(self, x: Tensor) -> Tensor:
                return pool([x], ("mean", "top:0.1", "top:0.25"))

        auto = torch.export.Dim.AUTO
        program = torch.export.export(Pool(), (torch.rand(2, 3, 8, 6),), dynamic_shapes=({0: auto, 2: auto, 3: auto},))
        for shape in [(2, 3, 8, 6), (1, 3, 5, 7), (4, 3, 9, 9)]:
            tap = torch.rand(shape)
            torch.testing.assert_close(program.module()(tap), Pool()(tap))

    def test_taps_may_be_made_on_demand(self) -> None:
        taps = feature_maps((3, 4), 2, 0)
        assert torch.equal(pool(iter(taps), ("max", "mean")), pool(taps, ("max", "mean")))

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    def test_half_precision_gives_float32(self, dtype: torch.dtype) -> None:
        found = pool([torch.rand(2, 3, 4, 4).to(dtype)], ("mean", "max", "top:0.5"))
        assert found.dtype == torch.float32 and found.shape == (2, 9)


class TestCompression:
    def test_zero_stays_zero_and_one_nearly_one(self) -> None:
        values = torch.tensor([0.0, 1.0])
        for how in ("none", "sqrt", "log"):
            zero, one = compressed(values, how).tolist()
            assert zero == 0 and one == pytest.approx(1, abs=1e-4), how

    def test_against_the_formula_in_float64(self) -> None:
        values = torch.logspace(-12, 3, 60)
        exact = values.double()
        root = (exact + 1e-10).sqrt() - 1e-5
        torch.testing.assert_close(compressed(values, "sqrt").double(), root, rtol=1e-4, atol=0)
        log = (1 + exact * 1e4).log() / math.log(1 + 1e4)
        torch.testing.assert_close(compressed(values, "log").double(), log, rtol=1e-5, atol=1e-9)

    @pytest.mark.parametrize("how", ["none", "sqrt", "log"])
    def test_gradient_reaches_images_that_are_nearly_and_exactly_equal(self, how: Any) -> None:
        x = torch.tensor([0.0, 1e-6, 1.0], requires_grad=True)
        (gradient,) = torch.autograd.grad(compressed(x.square(), how).sum(), x)
        assert gradient.isfinite().all() and gradient[0] == 0 and gradient[2] > 0


class TestLevels:
    def test_stages_of_their_own_stride(self) -> None:
        assert levels_of((2, 4, 8, 16, 32)) == [0, 1, 2, 3, 4]
        assert levels_of((4, 8, 16, 32)) == [0, 0, 1, 2, 3]

    def test_a_transformer_s_are_spread(self) -> None:
        chosen = levels_of((16,) * 12)
        assert chosen == sorted(chosen) and len(set(chosen)) == 5 and chosen[-1] == 11


def test_the_grid_is_a_grid() -> None:
    """6 axes of lpips_linear: depth 2, normalize 2, weights 2, bias 2, output 4, scale 2; and 6 poolings with 3 compressions."""
    assert len(option_grid("lpips_linear")) == 2 * 2 * 2 * 2 * 4 * 2 + (6 * 3 - 1) * len(FEW)


@pytest.mark.parametrize("name", SAME_CLASS)
def test_a_part_of_the_grid_has_every_pair_of_values(name: str) -> None:
    def met(grid: list[dict[str, Any]], keys: set[str]) -> set[str]:
        return {
            str([(key, options[key]) for key in pair])
            for options in grid
            for pair in itertools.combinations(sorted(keys & set(options)), 2)
        }

    assert set(HEADS.get(name).keywords) == set(HEADS.get("lpips_linear").keywords)
    part, whole = option_grid(name), option_grid("lpips_linear")
    others = set(HEADS.get(name).keywords) - set(INPUTS)
    assert met(part, others) == met(whole, others) and met(part, set(INPUTS)) == met(whole, set(INPUTS))
