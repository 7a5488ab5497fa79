"""Super-resolution with a semantic loss: its loss, what is judged, what is refused."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from run_support import ROOT
from safetensors.torch import load_file
from torch import Tensor

from backbones import build_backbone
from datamodules.batches import ImageBatch, ImageList
from engine.config.expansion import expand
from engine.config.reading import load_experiment
from engine.runs import run_folder
from engine.runs.run_folder import run_hash
from heads import build_head
from lightning_modules.projects import super_resolution
from lightning_modules.projects.sr_network import SmallEdsr
from lightning_modules.projects.super_resolution import SuperResolution
from lightning_modules.scorer import RunScorer, open_scorer
from semfid.errors import UserError
from semfid.scoring.default_metric import DefaultMetric, load_default_metric
from semfid.scoring.loss import SemanticDifferenceLoss
from semfid.scoring.scorer import Facts


def make_scorer(seed: int) -> RunScorer:
    backbone = build_backbone("timm", {"model": "test_resnet", "pretrained": "none", "init_seed": seed})
    head = build_head("lpips_linear", backbone, {"weights": "nonnegative"})
    return RunScorer(backbone, [head], Facts(f"t/{seed}", str(seed), 32, "squash", False, True, {}))


@pytest.fixture(autouse=True)
def scorers(monkeypatch: pytest.MonkeyPatch) -> dict[str, RunScorer]:
    """Scorers by path: `loss` and `judge` are of different backbones, `again` is the one of the loss."""
    made = {"loss": make_scorer(1), "judge": make_scorer(2), "again": make_scorer(1)}
    monkeypatch.setattr(super_resolution, "open_scorer", lambda path: made[path])
    return made


def batch_of(count: int, side: int = 32, first: int = 0) -> ImageBatch:
    rows = torch.arange(first, first + count)
    images = torch.stack([torch.rand(3, side, side, generator=torch.Generator().manual_seed(int(r))) for r in rows])
    return ImageBatch(images, torch.full((count,), -1), ("",) * count, rows, float(count))


def with_trainer(module: SuperResolution) -> SuperResolution:
    module._trainer = SimpleNamespace(world_size=1)  # type: ignore[assignment]
    module.log = lambda *_, **__: None  # type: ignore[assignment,method-assign]
    return module


@pytest.mark.parametrize("scale", [2, 4])
def test_the_network_starts_as_the_bicubic_enlargement(scale: int) -> None:
    low = torch.rand(2, 3, 9, 7)
    expected = F.interpolate(low, scale_factor=scale, mode="bicubic", align_corners=False)
    torch.testing.assert_close(SmallEdsr(scale, 8, 2)(low), expected)


def test_the_loss_is_l1_and_the_weighted_semantic_difference(scorers: dict[str, RunScorer]) -> None:
    module = with_trainer(SuperResolution(None, "judge", "loss", 0.3, noise=0.0, channels=4, blocks=1))
    torch.nn.init.normal_(module.network.tail.weight, std=0.05)
    batch = batch_of(3)
    low = F.interpolate(batch.image, size=(8, 8), mode="bicubic", align_corners=False, antialias=True).clamp(0, 1)
    raw = module.network(low)
    meaning = scorers["loss"](batch.image, raw.clamp(0, 1))
    expected = ((raw - batch.image).abs().mean(dim=(1, 2, 3)) + 0.3 * meaning).mean()
    loss = module.training_step(batch, 0)
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert all(parameter.grad is not None for parameter in module.network.parameters())
    assert all(parameter.grad is None for scorer in scorers.values() for parameter in scorer.parameters())
    expected_gradient = torch.autograd.grad(expected, module.network.tail.weight)[0]
    torch.testing.assert_close(module.network.tail.weight.grad, expected_gradient)


def test_without_weight_the_scorer_of_the_loss_is_not_even_read() -> None:
    assert SuperResolution(None, "judge", "no such path", 0.0).semantic is None


def test_a_judge_that_is_in_the_loss_is_refused() -> None:
    with pytest.raises(UserError, match="judge by another run"):
        SuperResolution(None, "again", "loss", 0.1)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"semantic_weight": -1.0}, "at least 0"),
        ({"semantic_weight": 0.1}, "needs model.semantic"),
        ({"noise": 1.5}, "model.noise"),
        ({"scale": 3}, "must be 2 or 4"),
    ],
)
def test_bad_keywords_are_named(keywords: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        SuperResolution(None, "judge", **keywords)  # type: ignore[arg-type]


def test_a_size_that_the_scale_does_not_divide() -> None:
    with pytest.raises(UserError, match="not divisible"):
        SuperResolution(None, "judge").shrink(torch.rand(1, 3, 30, 32), None)


def figures_of(module: SuperResolution, batches: list[ImageBatch]) -> dict[str, Tensor]:
    with torch.no_grad():
        for batch in batches:
            module.test_step(batch, 0)
        module.on_test_epoch_end()
    assert module.results is not None
    return module.results


def test_figures_are_those_of_a_naive_loop_whatever_the_batches(scorers: dict[str, RunScorer]) -> None:
    module = SuperResolution(None, "judge", "loss", 0.1, channels=4, blocks=1).eval()
    torch.nn.init.normal_(module.network.tail.weight, std=0.05)
    whole = figures_of(module, [batch_of(5)])
    figures = dict(module.figures)
    pieces = figures_of(module, [batch_of(2, first=3), batch_of(3)])
    for name, values in whole.items():
        torch.testing.assert_close(pieces[name], values, rtol=1e-5, atol=1e-6)
    photos = batch_of(5).image
    for row in range(5):
        noise = torch.randn(3, 8, 8, generator=torch.Generator().manual_seed(row)) * 0.02
        small = F.interpolate(photos[row : row + 1], size=(8, 8), mode="bicubic", align_corners=False, antialias=True)
        small = (small + noise).clamp(0, 1)
        output = module.network(small).clamp(0, 1).detach()
        error = float((output - photos[row]).square().mean())
        assert whole["psnr"][row].item() == pytest.approx(-10 * torch.log10(torch.tensor(error)).item(), abs=1e-3)
        expected = scorers["judge"](photos[row : row + 1], output)
        assert whole["judged"][row].item() == pytest.approx(expected.item(), abs=1e-6)
        assert whole["own"][row].item() == pytest.approx(
            scorers["loss"](photos[row : row + 1], output).item(), abs=1e-6
        )
    for name, value in figures.items():
        assert value == pytest.approx(whole[name].mean().item())


def test_scorers_stay_in_eval_mode_and_out_of_checkpoints() -> None:
    module = SuperResolution(None, "judge", "loss", 0.1).train()
    assert not module.judge.training and module.semantic is not None and not module.semantic.training
    assert module.network.training
    state = module.state_dict()
    assert state and all(key.startswith("network.") for key in state)
    module.load_state_dict(state)
    trained = [name for name, parameter in module.named_parameters() if parameter.requires_grad]
    assert trained and all(name.startswith("network.") for name in trained)


def test_saved_files(tmp_path: Path) -> None:
    module = SuperResolution(None, "judge", channels=4, blocks=1).eval()
    rows = torch.arange(3)
    module.prepare(ImageList("t", (), torch.full((3,), -1), ((),) * 3, rows, rows))
    figures_of(module, [batch_of(3)])
    module.save(tmp_path)
    again = SmallEdsr(4, 4, 1)
    again.load_state_dict(load_file(tmp_path / "network.safetensors"))
    low = torch.rand(1, 3, 8, 8)
    torch.testing.assert_close(again(low), module.network(low))
    assert Image.open(tmp_path / "examples.png").size == (3 * 32, 3 * 32)


def test_the_default_metric_by_its_word() -> None:
    """Its gradients reach the network; as judge of itself it is refused."""
    photos = batch_of(2, side=64).image
    scorer = open_scorer("default")
    assert isinstance(scorer, DefaultMetric)
    reference = SemanticDifferenceLoss(reduction="none")
    network = SmallEdsr(4, 4, 1)
    torch.nn.init.normal_(network.tail.weight, std=0.05)
    output = network(F.interpolate(photos, size=(16, 16), mode="area")).clamp(0, 1)
    found, expected = scorer(photos, output), reference(photos, output)
    torch.testing.assert_close(found, expected)
    gradient = torch.autograd.grad(found.sum(), network.tail.weight)[0]
    assert gradient.isfinite().all() and gradient.abs().max() > 0
    assert scorer.facts.weights_hash == load_default_metric().facts.weights_hash


def test_a_run_with_the_default_metric_is_another_run_when_its_weights_change(monkeypatch: pytest.MonkeyPatch) -> None:
    file = str(ROOT / "experiments" / "sr_with_semantic_loss.yaml")
    named, default = (
        expand(load_experiment(Path(file), [f"model.semantic={word}"]), file)[0].config for word in ("x", "default")
    )
    before = [run_hash(config, "d") for config in (named, default)]
    monkeypatch.setattr(run_folder, "SHA256", "0")
    after = [run_hash(config, "d") for config in (named, default)]
    assert before[0] == after[0] and before[1] != after[1]
