"""A finished run as a scorer: the run's own predictions, and every registered head, against the trained module by hand."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scoring_support import Runs, loaded_image, naive_scores, regressor

from backbones import build_backbone
from heads import build_head
from lightning_modules.global_regressor import GlobalRegressor
from lightning_modules.scorer import RunScorer, load_run
from registry import HEADS
from semfid.errors import UserError
from semfid.scoring.scorer import Facts

FACTS = Facts("t/t", "", 64, "squash", False, True, {})


def images(count: int, size: tuple[int, int] = (64, 64), seed: int = 0) -> torch.Tensor:
    return torch.rand(count, 3, *size, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    "name", ["linear", "unit", "embedding", "pooled", "cosine", "full", "lora", "fixed", "tiny_evidence", "tiny_unet"]
)
def test_a_run_scores_its_test_pairs_as_it_predicted_them(runs: Runs, name: str) -> None:
    pairs = runs.pairs(name)
    parts = {fold: load_run(runs[name], fold) for fold in sorted(set(pairs["fold"]))}
    side = parts[0].facts.image_size
    with torch.no_grad():
        scores = [
            float(parts[fold](loaded_image(x, side), loaded_image(y, side)))
            for fold, x, y in zip(pairs["fold"], pairs["reference"], pairs["candidate"], strict=True)
        ]
    assert pairs["predicted"].std() > 1e-3, "equal scores would prove nothing"
    tolerance = 1e-4 if name == "tiny_evidence" else 1e-5  # its grids are kept in float16 while it trains
    np.testing.assert_allclose(scores, pairs["predicted"], atol=tolerance)


def test_folds_score_by_their_mean_or_by_one_of_them(runs: Runs) -> None:
    pairs = runs.pairs("folds")
    assert sorted(set(pairs["fold"])) == [0, 1, 2]
    paths = list(zip(pairs["reference"], pairs["candidate"], strict=True))
    by_fold = np.array([naive_scores(regressor(runs, "folds", part), paths[:6], 64) for part in range(3)])
    assert np.abs(by_fold[0] - by_fold[1]).max() > 1e-3
    scorer = load_run(runs["folds"])
    x, y = (torch.cat([loaded_image(pair[side], 64) for pair in paths[:6]]) for side in (0, 1))
    np.testing.assert_allclose(scorer(x, y), by_fold.mean(axis=0), atol=1e-5)
    for part in range(3):
        alone = load_run(runs["folds"], part)
        np.testing.assert_allclose(alone(x, y), by_fold[part], atol=1e-5)
        own = pairs[pairs["fold"] == part]
        row = own.iloc[0]
        score = float(alone(loaded_image(row["reference"], 64), loaded_image(row["candidate"], 64)))
        assert score == pytest.approx(row["predicted"], abs=1e-5)
    assert len({load_run(runs["folds"], part).facts.weights_hash for part in (None, 0, 1, 2)}) == 4


def head_keywords(name: str) -> dict[str, Any]:
    if name.endswith("_mlp"):
        return {"hidden": [6]}
    return {"depth": 1} if name.startswith("lpips_linear") else {}


GLOBAL = [name for name in HEADS.names() if HEADS.get(name).factory.input_kind != "squared_difference_maps"]


@pytest.mark.parametrize("name", GLOBAL)
class TestEveryGlobalHead:
    def made(self, name: str, **more: Any) -> tuple[RunScorer, GlobalRegressor]:
        model = "test_vit" if name.endswith("_shared") else "test_resnet"
        backbone = build_backbone("timm", {"model": model, "pretrained": "none"})
        module = GlobalRegressor(
            backbone,
            {"name": name, **head_keywords(name), **more},
        )
        with torch.no_grad():
            for parameter in module.head.parameters():
                parameter.add_(0.1 * torch.randn(parameter.shape))
            if module.head.solved:  # its weights are of the pairs that it has seen
                x, y = module.head_input.describe_pairs(backbone, torch.rand(4, 3, 64, 64), torch.rand(4, 3, 64, 64))
                module.head.calibrate(module.head_input.compare(x, y))
        return RunScorer(backbone, [module.head], FACTS), module.eval()

    def side(self, name: str) -> tuple[int, int]:
        return (160, 160) if name.endswith("_shared") else (64, 96)

    def test_two_descriptions_compare_as_the_regressor_does(self, name: str) -> None:
        for more in (
            ({"normalize": "none"}, {"normalize": "unit"}) if "normalize" in HEADS.get(name).keywords else ({},)
        ):
            scorer, module = self.made(name, **more)
            x, y = images(3, self.side(name)), images(3, self.side(name), 1)
            with torch.no_grad():
                expected = module(x, y)
                score = scorer.compare(scorer.describe(x), scorer.describe(y))
            assert score.shape == (3,) and score.dtype == torch.float32
            assert expected.std() > 1e-6
            torch.testing.assert_close(score, expected, atol=1e-5, rtol=1e-4)
            assert not scorer.training and not any(p.requires_grad for p in scorer.parameters())

    def test_identical_images_alone_and_in_another_order(self, name: str) -> None:
        scorer, module = self.made(name)
        x, y = images(4, self.side(name)), images(4, self.side(name), 1)
        with torch.no_grad():
            together = scorer(x, y)
            alone = torch.cat([scorer(x[i : i + 1], y[i : i + 1]) for i in range(4)])
            order = torch.tensor([2, 0, 3, 1])
            torch.testing.assert_close(alone, together, atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(scorer(x[order], y[order]), together[order], atol=1e-5, rtol=1e-5)
            if module.head.zero_at_identity:
                assert (scorer(x, x.clone()) == 0).all()
            if module.head.symmetric:
                torch.testing.assert_close(scorer(y, x), together, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("normalize", ["none", "unit"])
@pytest.mark.parametrize("name", ["lpips_linear", "lpips_linear_blocks"])
def test_maps_are_the_heads_weights_at_every_position(name: str, normalize: str) -> None:
    """The naive loop: for every tap and position the weighted channel differences; bilinear to the finest tap; the mean."""
    backbone = build_backbone("timm", {"model": "test_resnet", "pretrained": "none"})
    keywords = {"depth": 1, "normalize": normalize, "bias": True, "output": "sigmoid", "scale": "train"}
    heads = []
    for _ in range(2):
        head = build_head(name, backbone, keywords)
        with torch.no_grad():
            head.scale.uniform_(0.5, 1.5)
            head.bias.fill_(0.2)
        heads.append(head)
    scorer = RunScorer(backbone, heads, FACTS)
    x, y = images(2, (64, 96)), images(2, (64, 96), 1)
    with torch.no_grad():
        got = scorer.maps(scorer.describe(x), scorer.describe(y))
        taps = "blocks" if name.endswith("blocks") else "stages"
        fx, fy = backbone.features(x, taps)[-2:], backbone.features(y, taps)[-2:]
    expected, raw_means = [], []
    for head in heads:
        weights = (head.weight / head.scale).detach().split(list(head.used))
        grown = []
        for a, b, w in zip(fx, fy, weights, strict=True):
            count, _, height, width = a.shape
            position = torch.zeros(count, 1, height, width)
            for n in range(count):
                for i in range(height):
                    for j in range(width):
                        u, v = a[n, :, i, j], b[n, :, i, j]
                        if normalize == "unit":
                            u, v = u / u.norm().clamp(min=1e-5), v / v.norm().clamp(min=1e-5)
                        position[n, 0, i, j] = (w * (u - v) ** 2).sum()
            grown.append(F.interpolate(position, fx[0].shape[-2:], mode="bilinear", align_corners=False))
            raw_means.append(position.mean(dim=(1, 2, 3)))
        expected.append(torch.tanh((torch.stack(grown).mean(dim=0) + 0.2) / 2))
    torch.testing.assert_close(got, torch.stack(expected).mean(dim=0), atol=1e-5, rtol=1e-4)
    assert got.shape == (2, 1, *fx[0].shape[-2:])
    # the score is the same weights on the means over positions
    by_head = torch.stack(raw_means).view(2, 2, 2).mean(dim=1)  # (heads, pairs)
    with torch.no_grad():
        torch.testing.assert_close(scorer(x, y), torch.tanh((by_head + 0.2) / 2).mean(dim=0), atol=1e-5, rtol=1e-4)


def test_maps_average_to_the_score_where_one_tap_is_used_and_vanish_for_identical_images() -> None:
    backbone = build_backbone("timm", {"model": "test_resnet", "pretrained": "none"})
    scorer = RunScorer(backbone, [build_head("lpips_linear", backbone, {"depth": 0})], FACTS)
    x, y = images(2), images(2, seed=1)
    with torch.no_grad():
        score, maps = scorer(x, y), scorer.maps(scorer.describe(x), scorer.describe(y))
        torch.testing.assert_close(maps.mean(dim=(1, 2, 3)), score, atol=1e-6, rtol=1e-4)
        assert score.abs().min() > 1e-6
        assert (scorer.maps(scorer.describe(x), scorer.describe(x)) == 0).all()
        both, grown = scorer.score_and_map(x, y)
    assert torch.equal(both, score) and grown is not None and grown.shape == (2, 1, 64, 64)
    cosine = RunScorer(backbone, [build_head("cosine", backbone, {})], Facts(**{**vars(FACTS), "gives_maps": False}))
    assert cosine.score_and_map(x, y)[1] is None
    with pytest.raises(NotImplementedError, match="t/t gives no maps"):
        cosine.maps(cosine.describe(x), cosine.describe(y))


def test_facts_of_a_run(runs: Runs) -> None:
    facts = load_run(runs["letterbox"]).facts
    assert facts.run == f"letterbox/{runs['letterbox'].name}"
    assert (facts.image_size, facts.resize, facts.fixed_size, facts.gives_maps) == (48, "letterbox", False, True)
    figures = json.loads((runs["letterbox"] / "metrics.json").read_text())["pooled"]
    assert facts.figures["mse"] == figures["mse"] and facts.figures["n"] == figures["n"]
    fixed = load_run(runs["fixed"]).facts
    assert (fixed.image_size, fixed.fixed_size) == (160, True)
    assert not load_run(runs["embedding"]).facts.gives_maps
    assert len({load_run(runs[name]).facts.weights_hash for name in ("linear", "unit", "full", "letterbox")}) == 4
    assert load_run(runs["linear"]).facts.weights_hash == load_run(runs["linear"]).facts.weights_hash


def test_loading_a_run_leaves_its_weights_as_they_were_trained(runs: Runs) -> None:
    """BatchNorm in training mode would take statistics of whatever passes, also of a trial."""
    scorer = load_run(runs["full"])
    saved = torch.load(runs["full"] / "part-0.ckpt", weights_only=True)["state_dict"]
    own = {f"backbone.{key}": value for key, value in scorer.backbone.state_dict().items()}
    assert any("running_mean" in key for key in own)
    for key, value in own.items():
        assert torch.equal(value, saved[key]), key


@pytest.fixture
def copied(runs: Runs, tmp_path: Path) -> Path:
    """A copy of the run `linear` to be spoilt."""
    return Path(shutil.copytree(runs["linear"], tmp_path / "exp" / "run"))


def test_what_cannot_be_scored_is_named(runs: Runs, copied: Path, tmp_path: Path) -> None:
    def says(text: str, folder: Path = copied, part: int | None = None) -> None:
        with pytest.raises(UserError, match=text) as caught:
            load_run(folder, part)
        assert str(folder) in str(caught.value)

    says("is not a run folder", tmp_path)
    says("has no part 7", part=7)
    (copied / "status.json").write_text('{"state": "running"}')
    says("is not finished .*running")
    (copied / "status.json").write_text('{"state": ')
    says("status.json")
    (copied / "status.json").write_text('{"state": "done"}')
    (copied / "provenance.json").rename(copied / "away.json")
    says("provenance.json")
    (copied / "away.json").rename(copied / "provenance.json")
    config = (copied / "config.yaml").read_text()
    (copied / "config.yaml").write_text(config.replace("pretrained: none", "pretrained: gone/weights.safetensors"))
    says("backbone weights gone/weights.safetensors are missing")
    (copied / "config.yaml").write_text(config.replace("pretrained: none", "pretrained: none\n    init_seed: 3"))
    says("was trained on the backbone")
    (copied / "config.yaml").write_text(config)
    load_run(copied)
    checkpoint = (copied / "part-0.ckpt").read_bytes()
    (copied / "part-0.ckpt").write_bytes(checkpoint[: len(checkpoint) // 2])
    says("part-0.ckpt")
    (copied / "part-0.ckpt").unlink()
    says("needs no training")


def test_weights_named_from_elsewhere_are_found_below_the_clone(
    runs: Runs, copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors.torch import save_file

    import lightning_modules.scorer as module

    before = load_run(copied).facts.weights_hash
    backbone = build_backbone("timm", {"model": "test_resnet", "pretrained": "none"})
    save_file({k: v.contiguous() for k, v in backbone.net.state_dict().items()}, tmp_path / "w.safetensors")
    config = (copied / "config.yaml").read_text()
    (copied / "config.yaml").write_text(config.replace("pretrained: none", "pretrained: w.safetensors"))
    with pytest.raises(UserError, match="are missing"):
        load_run(copied)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    assert load_run(copied).facts.weights_hash == before
