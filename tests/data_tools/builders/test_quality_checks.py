"""Checks of an inpainting: figures by hand, models through their real libraries with random weights."""

from __future__ import annotations

import json
import urllib.error
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from data_tools.builders.core.masks import feathered
from data_tools.builders.core.quality import Checks, QualityChecker, load_clip, load_lpips, widened
from semfid.errors import UserError


def scene(change: int = 60) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(0)
    source = rng.integers(0, 180, (40, 50, 3), dtype=np.uint8)
    mask = np.zeros((40, 50), bool)
    mask[10:30, 15:40] = True
    result = source.copy()
    result[mask] += np.uint8(change)
    return source, result, mask, feathered(mask, 3)


def test_the_change_inside() -> None:
    figures, rejected = QualityChecker(Checks(changed_inside=0.2)).check(*scene(60), ("dog", "cat"))
    assert figures == {"changed_inside": pytest.approx(60 / 255, abs=1e-6), "changed_outside": 0.0} and rejected == ""
    figures, rejected = QualityChecker(Checks(changed_inside=0.25)).check(*scene(60), ("dog", "cat"))
    assert rejected == "changed_inside 0.2353 is below 0.25"
    assert QualityChecker(Checks(changed_inside=None)).check(*scene(0), ("dog", "cat"))[1] == ""


def test_a_pixel_outside() -> None:
    source, result, mask, alpha = scene()
    result[0, 0, 1] ^= 1
    result[9, 15] += 1  # within the feather
    figures, rejected = QualityChecker(Checks()).check(source, result, mask, alpha, ("dog", "cat"))
    assert rejected == "1 pixels outside the mask have changed" and figures["changed_outside"] == pytest.approx(
        1 / 255, abs=1e-6
    )
    assert QualityChecker(Checks(unchanged_outside=False)).check(source, result, mask, alpha, ("dog", "cat"))[1] == ""


def test_models_see_the_box_and_its_surroundings() -> None:
    shapes: list[tuple[int, ...]] = []

    def compare(a: np.ndarray, b: np.ndarray) -> float:
        shapes.extend([a.shape, b.shape])
        return 0.05

    def agree(picture: np.ndarray, texts: list[str]) -> list[float]:
        shapes.append(picture.shape)
        return [{"a dog": 0.30, "a cat": 0.25}[text] for text in texts]

    checks = Checks(lpips_inside=0.1, clip_margin=0.0, context=0.2)
    checker = QualityChecker(checks, lpips=compare, clip=agree)
    figures, rejected = checker.check(*scene(), ("a dog", "a cat"))
    assert set(shapes) == {(28, 35, 3)}
    assert (figures["lpips_inside"], figures["clip_target"], figures["clip_margin"]) == (0.05, 0.25, -0.05)
    assert rejected == "lpips_inside 0.0500 is below 0.1; clip_margin -0.0500 is below 0"
    figures, rejected = checker.check(*scene(), ("a dog", "a dog"))
    assert "clip_margin" not in figures and rejected == "lpips_inside 0.0500 is below 0.1", "there is no other class"
    assert checker.check(*scene(), ("a cat", "a dog"))[0]["clip_margin"] == 0.05


def test_a_box_stays_in_the_image() -> None:
    assert widened((2, 3, 22, 13), 0.2, (14, 24, 3)) == (0, 1, 24, 14)


def test_lpips_is_that_of_torchmetrics(monkeypatch: pytest.MonkeyPatch) -> None:
    import torchvision
    from torchmetrics.functional.image import learned_perceptual_image_patch_similarity

    torch.manual_seed(0)
    weights = torchvision.models.alexnet(weights=None).state_dict()
    monkeypatch.setattr(torchvision.models._api.WeightsEnum, "get_state_dict", lambda self, *rest, **named: weights)
    compare = load_lpips("cpu")
    rng = np.random.default_rng(0)
    a, b = (rng.integers(0, 256, (70, 90, 3), dtype=np.uint8) for _ in range(2))
    planes = [torch.from_numpy(one).permute(2, 0, 1)[None].float() / 255 for one in (a, b)]
    assert compare(a, b) == pytest.approx(
        float(learned_perceptual_image_patch_similarity(*planes, "alex", normalize=True))
    )
    assert compare(a, a) == 0 and compare(a[:20], b[:20]) > 0, "small boxes are enlarged"


def test_clip_gives_cosines(tmp_path: Path) -> None:
    import open_clip

    config = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 8},
        "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
    }
    (tmp_path / "tiny-judge.json").write_text(json.dumps(config))
    open_clip.add_model_config(tmp_path / "tiny-judge.json")
    torch.manual_seed(0)
    agree = load_clip("tiny-judge", "none", "cpu")
    picture = np.random.default_rng(0).integers(0, 256, (30, 60, 3), dtype=np.uint8)
    dog, cat = agree(picture, ["a photo of a dog", "a photo of a cat"])
    assert -1 <= dog <= 1 and dog != cat
    assert agree(picture, ["a photo of a cat"]) == [pytest.approx(cat, abs=1e-6)], (
        "the order of the texts does not matter"
    )


def test_weights_that_cannot_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*rest: Any, **named: Any) -> None:
        raise urllib.error.URLError("no route")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", refused)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", refused)
    with pytest.raises(UserError, match=r"checks\.lpips_inside: lpips: cannot get torchvision's weights .*no route"):
        load_lpips("cpu")
    with pytest.raises(UserError, match=r"checks\.clip_margin: .*nothing_such"):
        load_clip("ViT-B-32", "nothing_such", "cpu")
