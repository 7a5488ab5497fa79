"""The package's ImageNet features as a backbone, against the package's own network and against timm's weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from backbones import build_backbone
from semfid.errors import UserError
from semfid.scoring.default_metric import packaged_backbone
from semfid.scoring.efficientnet_lite import EfficientNetLite0

STAGES = ("blocks.0", "blocks.1", "blocks.2", "blocks.4", "blocks.6")
IMAGES = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def test_stages_are_those_of_the_default_metric() -> None:
    expected = EfficientNetLite0(packaged_backbone(), STAGES)(IMAGES)
    backbone = build_backbone("efficientnet_lite0", {})
    stages = backbone.features(IMAGES)
    assert backbone.channels == tuple(stage.shape[1] for stage in expected)
    for stage, of_metric in zip(stages, expected, strict=True):
        torch.testing.assert_close(stage, of_metric, atol=2e-4, rtol=2e-4)


def test_embedding_is_the_mean_of_the_last_stage() -> None:
    backbone = build_backbone("efficientnet_lite0", {})
    assert backbone.embed_dim == 320
    torch.testing.assert_close(backbone.embed(IMAGES), backbone.features(IMAGES)[-1].mean((2, 3)))


def test_packaged_weights_are_those_of_the_file(test_data: Callable[[str], Path]) -> None:
    file = test_data("weights") / "tf_efficientnet_lite0_imagenet.safetensors"
    own = build_backbone("efficientnet_lite0", {"pretrained": str(file)}).net.state_dict()
    for name, value in build_backbone("efficientnet_lite0", {}).net.state_dict().items():
        torch.testing.assert_close(value, own[name])


def test_random_weights_belong_to_their_seed() -> None:
    first, again, other = (
        build_backbone("efficientnet_lite0", {"pretrained": "none", "init_seed": seed}).identity for seed in (0, 0, 1)
    )
    assert first == again != other


def test_missing_file_is_named() -> None:
    with pytest.raises(UserError, match=r"no file weights\.pt"):
        build_backbone("efficientnet_lite0", {"pretrained": "weights.pt"})
