"""The metric `splice` beyond the contract that all metrics are held to."""

from __future__ import annotations

import warnings

import pytest
import torch
from concept_support import register_colour_tower
from torch import Tensor

from metrics import TrainingFreeMetric
from metrics.splice import Splice
from models.concepts import Sparsity
from models.concepts.build import ConceptSettings
from models.concepts.compare import differences, pair_weights
from registry import METRICS
from semfid.errors import UserError


def build(**more: object) -> TrainingFreeMetric:
    keywords = {"tower": register_colour_tower(), "image_mean": "none", "size": 40, "l1": 0.1, "cache": False}
    return METRICS.build("splice", **{**keywords, **more}).eval()


@pytest.fixture
def images() -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(0)
    reference = torch.rand(5, 3, 1, 1, generator=draw).expand(5, 3, 12, 10).contiguous()
    candidate = torch.rand(5, 3, 1, 1, generator=draw).expand(5, 3, 12, 10).contiguous()
    candidate[2] = reference[2]
    return reference, candidate


@pytest.mark.parametrize("strategy", ["nonsymmetric", "symmetric", "nouns"])
@pytest.mark.parametrize("compare", ["weights", "recomposed"])
def test_it_is_the_difference_of_the_concepts(images: tuple[Tensor, Tensor], strategy: str, compare: str) -> None:
    metric = build(strategy=strategy, compare=compare)
    assert isinstance(metric, Splice)
    settings = ConceptSettings("english", "none", Sparsity(0.1), 40, strategy == "nouns")
    made = settings.decomposer(metric.cosine.tower, None)
    x, y = (metric.cosine.tower.embed_pixels(side) for side in images)
    expected = differences(made, *pair_weights(made, x, y, strategy), compare)
    found = metric(*images)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert found[2] == 0 and (found[[0, 1, 3, 4]] > 0).all()
    assert metric.symmetric == (strategy != "symmetric")


def test_each_image_is_decomposed_once(images: tuple[Tensor, Tensor]) -> None:
    metric = build()
    reference = images[0][:1].expand(5, -1, -1, -1)
    metric(reference, images[1])
    metric(reference, images[1].clone())
    assert metric.weights.computed == 6 and metric.cosine.tower.pictures == 6


def test_nothing_active_is_said_and_no_nan(images: tuple[Tensor, Tensor]) -> None:
    metric = build(l1=3.0)
    with pytest.warns(UserWarning, match=r"5 of 5 images have no concept at l1=3; a lower l1 keeps more"):
        assert (metric(*images) == 0).all()
    assert (metric.images, metric.without) == (9, 9)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # said once
        metric(images[1] * 0.5, images[0])


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"vocabulary": "nowhere.txt"}, "no file nowhere.txt"),
        ({"size": 1}, "size=1 must be 2 to 10000"),
        ({"l1": 0.1, "concepts": 4}, "give l1 or concepts, not both"),
        ({"strategy": "asymmetric"}, "did you mean 'symmetric'"),
        ({"compare": "cosine"}, "should be one of 'weights', 'recomposed'"),
    ],
)
def test_bad_settings(more: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(**more)
