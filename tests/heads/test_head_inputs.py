"""Every kind of what heads are fed keeps its contract, one pass or two, pair by pair or with a shared reference."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

import heads.inputs
import semfid.errors
from backbones import Backbone, build_backbone
from heads import Head, build_head
from heads.inputs import KINDS, Compared, combined, first_pairs, input_of, joined_pairs
from semfid.errors import UserError

HEAD_OF: dict[str, tuple[str, dict[str, Any]]] = {
    "pooled_squared_differences": ("lpips_linear", {"pooling": ["mean", "gained:max"], "normalize": "unit"}),
    "pooled_features": ("pooled_mlp", {"hidden": [6]}),
    "embeddings": ("embedding_mlp", {"hidden": [6]}),
    "difference_grids": ("local_evidence", {"width": 6}),
    "squared_difference_maps": ("unet_pixel", {"max_width": 8, "normalize": "unit"}),
}
OF_BOTH_IMAGES = ("pooled_features", "embeddings")


@pytest.fixture(autouse=True)
def without_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return build_backbone("timm", {"model": "test_resnet", "pretrained": "none"}).eval()


def head_of(kind: str, backbone: Backbone) -> Head:
    torch.manual_seed(0)
    name, keywords = HEAD_OF[kind]
    return build_head(name, backbone, keywords).eval()


def images(count: int, seed: int, size: tuple[int, int] = (64, 96)) -> Tensor:
    return torch.rand(count, 3, *size, generator=torch.Generator().manual_seed(seed))


def listed(compared: Compared) -> list[Tensor]:
    return [compared] if isinstance(compared, Tensor) else compared


def close(found: Sequence[Tensor], expected: Sequence[Tensor]) -> None:
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


def test_every_kind_is_tried_here() -> None:
    assert set(HEAD_OF) == {kind for kind, own in KINDS.items() if own.__module__ == heads.inputs.__name__}


@pytest.mark.parametrize("kind", HEAD_OF)
class TestEveryKind:
    def test_an_image_and_itself(self, kind: str, backbone: Backbone) -> None:
        head = head_of(kind, backbone)
        own = input_of(head)
        assert own.kind == kind and own == input_of(head)
        x, y = own.describe(backbone, images(3, 0)), own.describe(backbone, images(3, 1))
        assert all(len(tensor) == 3 for tensor in x)
        for tensor in listed(own.compare(x, x)):
            assert (tensor[:, 0] == tensor[:, 1]).all() if kind in OF_BOTH_IMAGES else (tensor == 0).all()
        for tensor in listed(own.compare(x, y)):
            assert (tensor[:, 0] != tensor[:, 1]).any() if kind in OF_BOTH_IMAGES else tensor.any()
        assert (head(own.compare(x, x)) == 0).all()
        assert (head(own.compare(x, y)) != 0).any()

    def test_both_images_in_one_pass(self, kind: str, backbone: Backbone) -> None:
        own = input_of(head_of(kind, backbone))
        reference, candidate = images(4, 0), images(4, 1)
        reference[2:] = reference[:2]
        alone = own.describe(backbone, reference), own.describe(backbone, candidate)
        for first in (None, torch.tensor([0, 1, 0, 1])):
            passed: list[int] = []
            hook = backbone.net.register_forward_pre_hook(lambda _, inputs, seen=passed: seen.append(len(inputs[0])))
            x, y = own.describe_pairs(backbone, reference, candidate, first)
            hook.remove()
            assert passed in ([], [8 if first is None else 6])  # where its network is called as a whole
            close(x, alone[0])
            close(y, alone[1])

    def test_batches_are_joined(self, kind: str, backbone: Backbone) -> None:
        own = input_of(head_of(kind, backbone))
        x, y = own.describe(backbone, images(4, 0)), own.describe(backbone, images(4, 1))
        pieces = [
            own.compare(tuple(t[rows] for t in x), tuple(t[rows] for t in y)) for rows in (slice(0, 3), slice(3, 4))
        ]
        close(listed(joined_pairs(pieces)), listed(own.compare(x, y)))
        close(listed(first_pairs(joined_pairs(pieces), 3)), listed(pieces[0]))

    def test_maps_are_of_what_the_score_is_of(self, kind: str, backbone: Backbone) -> None:
        head = head_of(kind, backbone)
        own = input_of(head)
        x, y = own.describe(backbone, images(2, 0, (50, 66))), own.describe(backbone, images(2, 1, (50, 66)))
        if not head.gives_maps:
            with pytest.raises(UserError, match=f"a head on {kind} gives no maps"):
                own.positions(x, y)
            return
        positions = own.positions(x, y)
        close(listed(own.pooled(positions)), listed(own.compare(x, y)))
        score, maps = head.score_and_map(positions)
        torch.testing.assert_close(score, head(own.compare(x, y)))
        assert torch.equal(maps, head.difference_map(positions))
        if kind == "squared_difference_maps":
            assert maps.shape == (2, 1, 50, 66)  # though the backbone saw 64 x 96

    def test_what_is_cached_is_what_the_head_takes(self, kind: str, backbone: Backbone) -> None:
        head = head_of(kind, backbone)
        own = input_of(head)
        if not own.cacheable:
            return
        x, y = (own.describe(backbone, images(3, seed, (64, 64))) for seed in (0, 1))
        if own.per_image:
            kept = [torch.stack([x[0], y[0]], dim=1)]
        else:
            kept = [torch.cat([part for whole in combined(own.parts()) for part in whole.cached(x, y)], dim=1)]
            assert combined(own.parts()) == [own] or kind == "pooled_squared_differences"
        tolerance = 2e-3 if kind == "difference_grids" else 1e-6  # which are kept in float16
        torch.testing.assert_close(head(own.joined(kept)), head(own.compare(x, y)), atol=tolerance, rtol=tolerance)

    def test_parts_have_names_of_their_own(self, kind: str, backbone: Backbone) -> None:
        parts = input_of(head_of(kind, backbone)).parts()
        assert len({str(part) for part in parts}) == len(parts)
        assert all(part.parts() == (part,) for part in parts)


def test_names_in_the_cache_stay() -> None:
    """Or every cache on disk would be computed again."""
    named = {
        heads.inputs.PooledDifferences("stages", "none"): "pooled_squared_differences-stages-none",
        heads.inputs.PooledDifferences("blocks", "unit", ("max",)): "pooled_squared_differences-blocks-unit-max",
        heads.inputs.PooledFeatures("stages"): "pooled_features-stages-none",
        heads.inputs.Embeddings(): "embeddings-stages-none",
        heads.inputs.DifferenceGrids("stages", "none", 8, (2, 4)): "difference_grids-stages-none-grids:8",
    }
    assert {own: str(own) for own in named} == named


def test_an_unknown_kind_is_named_with_the_known_ones() -> None:
    class Odd(Head):
        input_kind = "embedings"

    with pytest.raises(UserError, match=r"Odd\.input_kind is 'embedings'; did you mean 'embeddings'.*choose one of"):
        input_of(Odd())


def test_the_old_name_of_the_attribute_is_taken_with_a_warning(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(semfid.errors, "_WARNED", set())
    with caplog.at_level(logging.WARNING, logger="semfid"):

        class Old(Head):
            consumes = "embeddings"

        class New(Head):
            input_kind = "embeddings"

    assert input_of(Old()) == input_of(New()) == heads.inputs.Embeddings()
    assert [record.getMessage() for record in caplog.records] == [
        "head Old: consumes is called input_kind now; the old one is taken until the next version"
    ]
