"""One contract for every registered backbone. A new plugin is tested by being there.

A plugin is built with its default keywords and ``pretrained: none`` where it takes that; one that needs a keyword,
or is large, gets an entry in TINY.
"""

from __future__ import annotations

import copy
import functools
import json
import pickle
from collections.abc import Iterator
from typing import Any, NamedTuple

import open_clip
import pytest
import torch
from torch import Tensor, nn

from backbones import Backbone, build_backbone
from registry import BACKBONES
from semfid.errors import UserError

_TEXT = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}
_TOWERS: dict[str, dict[str, Any]] = {
    "semfid-tiny-rn": {"image_size": 64, "layers": [1, 2, 1, 1], "width": 8, "patch_size": None},
    "semfid-tiny-vit": {"image_size": 64, "layers": 3, "width": 64, "head_width": 32, "patch_size": 16},
    "semfid-tiny-timm": {
        "timm_model_name": "test_resnet",
        "timm_model_pretrained": False,
        "timm_pool": "",
        "timm_proj": "linear",
        "image_size": 64,
    },
}

TINY: dict[str, list[dict[str, Any]]] = {
    "timm": [{"model": "test_resnet"}, {"model": "test_vit"}, {"model": "test_convnext"}],
    "open_clip": [{"model": name} for name in _TOWERS],
}
EMBEDS_ONLY = {
    "concepts"
}  # no feature maps: tests/backbones/test_concepts.py holds them to what is left of the contract


class Case(NamedTuple):
    name: str
    keywords: tuple[tuple[str, Any], ...]

    def build(self, **more: Any) -> Backbone:
        takes = BACKBONES.get(self.name).keywords
        default = {"pretrained": "none"} if "pretrained" in takes else {}
        return build_backbone(self.name, {**default, **dict(self.keywords), **more})

    def needs(self, *keywords: str) -> None:
        for keyword in keywords:
            if keyword not in BACKBONES.get(self.name).keywords:
                pytest.skip(f"{self.name} has no keyword {keyword}")


CASES = [
    Case(name, tuple(keywords.items()))
    for name in BACKBONES.names()
    if name not in EMBEDS_ONLY
    for keywords in TINY.get(name, [{}])
]


@functools.cache
def shared(case: Case) -> Backbone:
    """A frozen backbone that tests only look at."""
    return case.build()


@functools.cache
def shared_lora(case: Case) -> Backbone:
    """One with untrained adapters; what trains is a copy (`test_copies_and_pickles` holds copies to it)."""
    return case.build(tuning="lora", lora_rank=2)


@functools.cache
def trained_lora(case: Case) -> tuple[Scorer, dict[str, Tensor]]:
    """A scorer after a few steps of its adapters, to look at, and the backbone's weights before them."""
    scorer = Scorer(copy.deepcopy(shared_lora(case)))
    before = snapshot(scorer.backbone.net)
    scorer.steps(images_for(case), 3)
    return scorer, before


@functools.cache
def image_size(case: Case) -> int:
    """The smallest size that the backbone takes; it must say so itself where it is particular."""
    for size in (64, 96, 160, 224):
        try:
            shared(case).features(torch.zeros(1, 3, size, size))
        except UserError:
            continue
        return size
    pytest.fail(f"{case} takes none of the usual image sizes")


def images_for(case: Case, count: int = 2, seed: int = 0) -> Tensor:
    size = image_size(case)
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


def snapshot(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


def bit_identical(before: dict[str, Tensor], after: dict[str, Tensor]) -> bool:
    return before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)


class Scorer(nn.Module):
    """The smallest thing that trains on a backbone: what a lightning module looks like to it."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(sum(backbone.channels), 1)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(torch.cat([stage.mean((2, 3)) for stage in self.backbone.features(images)], dim=1))

    def steps(self, images: Tensor, count: int = 2) -> None:
        self.train()
        trained = [p for p in self.parameters() if p.requires_grad]
        optimizer = torch.optim.SGD(trained, lr=0.05, momentum=0.9, weight_decay=0.1)
        for _ in range(count):
            optimizer.zero_grad()
            self(images).square().sum().backward()
            # random networks give features of any size: a step must not end in NaN, which equals nothing
            torch.nn.utils.clip_grad_norm_(trained, 1.0, error_if_nonfinite=True)
            optimizer.step()


@pytest.fixture(autouse=True, scope="module")
def tiny_towers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("towers")
    for name, vision in _TOWERS.items():
        config = {"embed_dim": 32, "vision_cfg": vision, "text_cfg": _TEXT}
        (folder / f"{name}.json").write_text(json.dumps(config))
    open_clip.add_model_config(folder)
    yield
    for made in (shared, shared_lora, trained_lora, image_size):
        made.cache_clear()


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join([case.name, *(str(v) for _, v in case.keywords)]))
class TestBackboneContract:
    def test_declared_shapes_are_real(self, case: Case) -> None:
        backbone, images = shared(case), images_for(case, 3)
        stages = backbone.features(images)
        assert tuple(stage.shape[1] for stage in stages) == backbone.channels
        sides = [-(-image_size(case) // stride) for stride in backbone.strides]
        assert [tuple(stage.shape) for stage in stages] == [
            (3, channels, side, side) for channels, side in zip(backbone.channels, sides, strict=True)
        ]
        assert list(backbone.strides) == sorted(backbone.strides), "shallow to deep"
        assert backbone.embed(images).shape == (3, backbone.embed_dim)
        assert all(stage.dtype == torch.float32 and stage.isfinite().all() for stage in stages)

    def test_blocks_are_as_declared_or_refused(self, case: Case) -> None:
        backbone, images = shared(case), images_for(case)
        if not backbone.block_channels:
            with pytest.raises(UserError, match="has no residual blocks to tap"):
                backbone.features(images, "blocks")
            return
        blocks = backbone.features(images, "blocks")
        assert tuple(block.shape[1] for block in blocks) == backbone.block_channels
        assert all(block.dim() == 4 and block.shape[2] == block.shape[3] for block in blocks)

    def test_forward_and_shared_pass_agree(self, case: Case) -> None:
        backbone, images = shared(case), images_for(case)
        stages, embedding = backbone.features_and_embedding(images)
        for one, two, three in zip(stages, backbone.features(images), backbone(images), strict=True):
            assert torch.equal(one, two) and torch.equal(one, three)
        assert torch.equal(embedding, backbone.embed(images))
        if backbone.block_channels:
            blocks, embedding = backbone.features_and_embedding(images, "blocks")
            assert all(torch.equal(a, b) for a, b in zip(blocks, backbone.features(images, "blocks"), strict=True))
            assert torch.equal(embedding, backbone.embed(images))

    def test_an_image_alone_or_among_others(self, case: Case) -> None:
        backbone, images = shared(case), images_for(case, 4)
        together, together_embedding = backbone.features_and_embedding(images)
        for index in (0, 3):
            alone, embedding = backbone.features_and_embedding(images[index : index + 1])
            for one, many in zip([*alone, embedding], [*together, together_embedding], strict=True):
                torch.testing.assert_close(one[0], many[index], rtol=1e-4, atol=1e-5)

    def test_memory_layout_does_not_matter(self, case: Case) -> None:
        images = images_for(case)
        other = images.to(memory_format=torch.channels_last)
        for one, two in zip(shared(case).features(images), shared(case).features(other), strict=True):
            torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-6)

    def test_images_are_left_alone(self, case: Case) -> None:
        images = images_for(case)
        kept = images.clone()
        shared(case).features_and_embedding(images)
        assert torch.equal(images, kept)

    def test_features_depend_on_the_image(self, case: Case) -> None:
        a, b = shared(case).features(images_for(case, 1, 1)), shared(case).features(images_for(case, 1, 2))
        assert all(not torch.equal(x, y) for x, y in zip(a, b, strict=True))

    def test_frozen_is_the_default_and_stays(self, case: Case) -> None:
        backbone = copy.deepcopy(shared(case))
        assert backbone.tuning == "frozen"
        scorer, images = Scorer(backbone), images_for(case)
        before, features = snapshot(backbone.net), [stage.clone() for stage in backbone.features(images)]
        head = scorer.head.weight.detach().clone()
        scorer.steps(images)
        for mode in (True, False, True):
            scorer.train(mode)
            assert not any(module.training for module in backbone.net.modules())
        assert not torch.equal(scorer.head.weight, head), "the head trains"
        assert bit_identical(before, snapshot(backbone.net)), "BatchNorm statistics included"
        assert all(torch.equal(a, b) for a, b in zip(features, backbone.features(images), strict=True))

    def test_frozen_tracks_no_gradient_of_its_own(self, case: Case) -> None:
        backbone = shared(case)
        assert not any(parameter.requires_grad for parameter in backbone.parameters())
        stages, embedding = backbone.features_and_embedding(images_for(case, 1))
        assert not any(tensor.requires_grad for tensor in [*stages, embedding])

    def test_gradients_reach_the_image(self, case: Case) -> None:
        images = images_for(case, 1).requires_grad_()
        stages, embedding = shared(case).features_and_embedding(images)
        for tensor in [*stages, embedding]:
            (gradient,) = torch.autograd.grad(tensor.square().sum(), images, retain_graph=True)
            assert gradient.isfinite().all() and gradient.abs().max() > 0

    @pytest.mark.parametrize("colour", [0.0, 1.0, None])
    def test_gradients_are_finite_at_identical_images(self, case: Case, colour: float | None) -> None:
        from heads.statistics import pool, squared_differences

        image = images_for(case, 1) if colour is None else torch.full_like(images_for(case, 1), colour)
        x, y = image.clone().requires_grad_(), image.clone().requires_grad_()
        for normalize in ("none", "unit"):
            score = pool(squared_differences(shared(case).features(x), shared(case).features(y), normalize)).sum()
            assert score.item() == 0.0
            for gradient in torch.autograd.grad(score, [x, y]):
                assert gradient.isfinite().all() and gradient.abs().max() < 1e-3

    def test_frozen_weights_stay_out_of_checkpoints(self, case: Case) -> None:
        scorer = Scorer(copy.deepcopy(shared(case)))
        assert set(scorer.state_dict()) == {"head.weight", "head.bias"}
        assert scorer.backbone.state_dict() == {}
        saved = {name: value + 1 for name, value in scorer.state_dict().items()}
        other = Scorer(copy.deepcopy(shared(case)))
        before = snapshot(other.backbone.net)
        other.load_state_dict(saved)  # strict
        assert torch.equal(other.head.weight, saved["head.weight"])
        assert bit_identical(before, snapshot(other.backbone.net)), "the backbone is its own, whatever the file holds"
        assert set(saved) == {"head.weight", "head.bias"}, "the caller's dict is left as it was"
        for wrong in (
            {"hat.weight": saved["head.weight"], "head.bias": saved["head.bias"]},
            {**saved, "backbone.more": saved["head.bias"]},
        ):
            with pytest.raises(RuntimeError, match=r"(Missing|Unexpected) key"):
                other.load_state_dict(wrong)

    def test_identity_is_of_the_weights(self, case: Case) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(123)
            state = torch.random.get_rng_state()
            other = case.build()
            assert torch.equal(torch.random.get_rng_state(), state), "building draws nothing from the run's generator"
        assert other.identity == shared(case).identity, "the run's seed does not reach the backbone"
        images = images_for(case, 1)
        for a, b in zip(other.features(images), shared(case).features(images), strict=True):
            assert torch.equal(a, b), "equal identities give equal features"

    def test_identity_tells_weights_apart(self, case: Case) -> None:
        case.needs("init_seed")
        assert case.build(init_seed=1).identity != shared(case).identity

    def test_copies_and_pickles(self, case: Case) -> None:
        images = images_for(case, 1)
        for other in (copy.deepcopy(shared(case)), pickle.loads(pickle.dumps(shared(case)))):
            assert other.identity == shared(case).identity and other.state_dict() == {}
            assert all(
                torch.equal(a, b) for a, b in zip(other.features(images), shared(case).features(images), strict=True)
            )
            other.load_state_dict({})
            other.train()
            assert not any(module.training for module in other.net.modules())

    def test_lora_starts_from_the_frozen_backbone(self, case: Case) -> None:
        case.needs("tuning", "lora_rank")
        lora = copy.deepcopy(shared_lora(case)).eval()
        images = images_for(case)
        assert lora.identity == shared(case).identity
        for a, b in zip(lora.features_and_embedding(images)[0], shared(case).features(images), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(lora.embed(images), shared(case).embed(images), rtol=1e-5, atol=1e-6)

    def test_lora_trains_adapters_only(self, case: Case) -> None:
        case.needs("tuning", "lora_rank")
        scorer, before = trained_lora(case)
        images = images_for(case)
        trained = {name for name, parameter in scorer.backbone.net.named_parameters() if parameter.requires_grad}
        assert trained and all("lora_" in name for name in trained)
        after = snapshot(scorer.backbone.net)
        moved = {name for name in before if not torch.equal(before[name], after[name])}
        assert moved and moved <= trained, "BatchNorm statistics included"
        assert any(
            not torch.equal(a, b)
            for a, b in zip(scorer.backbone.features(images), shared(case).features(images), strict=True)
        )

    def test_lora_checkpoints_hold_adapters_only(self, case: Case) -> None:
        case.needs("tuning", "lora_rank")
        (scorer, _), images = trained_lora(case), images_for(case)
        saved = snapshot(scorer)
        trained = {f"backbone.net.{name}" for name, p in scorer.backbone.net.named_parameters() if p.requires_grad}
        assert set(saved) == trained | {"head.weight", "head.bias"}
        other = Scorer(copy.deepcopy(shared_lora(case)))
        other.load_state_dict(saved)
        assert torch.equal(other.eval()(images), scorer.eval()(images))
        incomplete = {name: value for name, value in saved.items() if name != sorted(trained)[0]}
        with pytest.raises(RuntimeError, match="Missing key"):
            other.load_state_dict(incomplete)

    def test_full_trains_all_and_saves_all(self, case: Case) -> None:
        case.needs("tuning")
        scorer, images = Scorer(case.build(tuning="full")), images_for(case)
        other = copy.deepcopy(scorer)
        assert not {"mean", "std"} & set(scorer.backbone.state_dict())
        assert all(parameter.requires_grad for parameter in scorer.backbone.parameters())
        before = snapshot(scorer.backbone.net)
        scorer.steps(images)
        after = snapshot(scorer.backbone.net)
        statistics = {name for name in before if name.endswith(("running_mean", "running_var", "num_batches_tracked"))}
        assert all(torch.equal(before[name], after[name]) for name in statistics), "batch_norm: frozen is the default"
        moved = {name for name in before if not torch.equal(before[name], after[name])}
        assert len(moved) > len(dict(scorer.backbone.net.named_parameters())) / 2
        other.load_state_dict(snapshot(scorer))
        assert torch.equal(other.eval()(images), scorer.eval()(images))

    def test_batch_norm_trains_where_it_is_asked_to(self, case: Case) -> None:
        case.needs("tuning", "batch_norm")
        scorer = Scorer(case.build(tuning="full", batch_norm="train"))
        norms = [m for m in scorer.backbone.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        if not norms:
            pytest.skip("no BatchNorm")
        before = [norm.running_mean.clone() for norm in norms if norm.running_mean is not None]
        scorer.steps(images_for(case), 1)
        scorer.eval()
        after = [norm.running_mean for norm in norms if norm.running_mean is not None]
        assert any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))
        assert not any(norm.training for norm in norms)

    def test_mean_and_std_are_per_channel(self, case: Case) -> None:
        backbone = shared(case)
        assert backbone.mean.shape == backbone.std.shape == (1, 3, 1, 1)
        assert (backbone.std > 0).all()


def test_lora_rank_must_be_positive() -> None:
    with pytest.raises(UserError, match="lora_rank is 0; it must be at least 1"):
        Case("timm", (("model", "test_resnet"),)).build(tuning="lora", lora_rank=0)


def test_every_registered_backbone_is_held_to_it() -> None:
    assert {case.name for case in CASES} | EMBEDS_ONLY == set(BACKBONES.names())
