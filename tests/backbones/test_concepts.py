"""The backbone of concepts: it embeds only, so it is held to those points of the contract that do not speak of feature maps."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from concept_support import colour_tower, register_colour_tower
from torch import Tensor

from backbones import Backbone, build_backbone
from heads import build_head
from heads.concept_linear import ConceptLinear
from semfid.errors import UserError


def build(**more: object) -> Backbone:
    keywords = {"tower": register_colour_tower(), "image_mean": "none", "size": 40, "l1": 0.1, "cache": False}
    return build_backbone("concepts", {**keywords, **more})


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return build()


@pytest.fixture
def images() -> Tensor:
    return torch.rand(4, 3, 16, 20, generator=torch.Generator().manual_seed(0))


class TestConcepts:
    def test_one_weight_per_word(self, backbone: Backbone, images: Tensor) -> None:
        weights = backbone.embed(images)
        assert weights.shape == (4, backbone.embed_dim) and backbone.embed_dim == len(backbone.words) == 40
        assert (weights >= 0).all() and weights.any(dim=1).all() and (weights == 0).sum() > 80

    def test_no_feature_maps(self, backbone: Backbone, images: Tensor) -> None:
        assert backbone.features(images) == [] and backbone.channels == ()
        maps, embedding = backbone.features_and_embedding(images)
        assert maps == [] and torch.equal(embedding, backbone.embed(images))
        with pytest.raises(UserError, match="has no residual blocks"):
            backbone.features(images, "blocks")

    @pytest.mark.parametrize("head", ["lpips_linear", "pooled_mlp", "unet"])
    def test_heads_on_maps_are_refused(self, backbone: Backbone, head: str) -> None:
        with pytest.raises(UserError, match=r"gives no feature maps|does not say the channels"):
            build_head(head, backbone, {})

    def test_an_image_alone_or_among_others(self, backbone: Backbone, images: Tensor) -> None:
        alone = torch.cat([backbone.embed(images[i : i + 1]) for i in range(4)])
        torch.testing.assert_close(alone, backbone.embed(images), rtol=0, atol=1e-5)

    def test_frozen_and_out_of_checkpoints(self, backbone: Backbone) -> None:
        assert backbone.tuning == "frozen" and not any(p.requires_grad for p in backbone.parameters())
        assert backbone.state_dict() == {}
        other = build()
        other.load_state_dict({})
        assert other.identity == backbone.identity

    def test_identity_is_of_tower_words_and_sparsity(self, backbone: Backbone) -> None:
        tower = {"name": register_colour_tower(), "as_name": "another"}
        others = [build(size=41), build(l1=0.2), build(l1=None, concepts=3), build(tower=tower)]
        assert len({backbone.identity, *(other.identity for other in others)}) == 5

    def test_copies_and_pickles(self, backbone: Backbone, images: Tensor) -> None:
        for other in (copy.deepcopy(backbone), pickle.loads(pickle.dumps(backbone))):
            assert torch.equal(other.embed(images), backbone.embed(images)) and other.words == backbone.words

    def test_no_gradient_passes(self, backbone: Backbone, images: Tensor) -> None:
        with pytest.raises(UserError, match="no gradient passes"):
            backbone.embed(images.requires_grad_())
        with torch.no_grad():
            assert backbone.embed(images).isfinite().all()

    def test_the_runs_generator_is_left_alone(self) -> None:
        state = torch.random.get_rng_state()
        build()
        assert torch.equal(torch.random.get_rng_state(), state)

    def test_another_tuning_is_refused(self) -> None:
        with pytest.raises(UserError, match="tuning='lora' should be"):
            build(tuning="lora")


class TestContributions:
    def test_they_sum_to_the_score(self, backbone: Backbone, images: Tensor) -> None:
        other = (images + 0.4 * torch.rand(4, 3, 1, 1)).clamp(0, 1)
        statistic = torch.stack([backbone.embed(images), backbone.embed(other)], dim=1)
        for output in ("identity", "sigmoid", "softplus", "clamp"):
            head = build_head("concept_linear", backbone, {"output": output})
            assert isinstance(head, ConceptLinear)
            head.calibrate(statistic)
            raw = head.contributions(statistic).sum(dim=1)
            expected = {"identity": raw, "sigmoid": torch.tanh(raw / 2), "clamp": raw.clamp(0, 1)}.get(output)
            if expected is None:
                expected = torch.log1p(raw.exp()) - torch.log(torch.tensor(2.0))
            torch.testing.assert_close(head(statistic), expected)
            assert (head.contributions(statistic) >= 0).all() and (head(statistic) > 0).all()

    def test_calibrated_scores_are_of_the_size_of_a_difference(self, backbone: Backbone) -> None:
        statistic = torch.rand(50, 2, backbone.embed_dim) * (torch.rand(50, 1, backbone.embed_dim) < 0.1)
        head = build_head("concept_linear", backbone, {"output": "identity"})
        head.calibrate(statistic)
        assert 0.2 < head(statistic).mean() < 0.8  # weights begin evenly in [0, 1]

    def test_pairs_without_any_difference_calibrate(self, backbone: Backbone) -> None:
        head = build_head("concept_linear", backbone, {})
        head.calibrate(torch.ones(5, 2, backbone.embed_dim))
        assert (head(torch.ones(5, 2, backbone.embed_dim)) == 0).all()


def test_the_tower_of_these_tests() -> None:
    tower = colour_tower()
    assert tower.embed_texts(["unheard", "red"]).any(axis=1).tolist() == [False, True]
