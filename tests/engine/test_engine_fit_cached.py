"""All folds at once on cached statistics against one plain PyTorch loop per fold, and against training through images."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from run_support import Write, only_run, predictions
from scipy.stats import spearmanr
from torch import Tensor

from datamodules import Part
from engine.training.cached_features import FitSettings, fit_heads, predict_heads
from heads import Head, build_head
from lightning_modules.losses.pairs import Binomial, PairLoss, SquaredError
from semfid.cli import main
from semfid.errors import UserError

BACKBONE = SimpleNamespace(channels=(3, 4, 5), strides=(2, 4, 8), block_channels=(), embed_dim=6)
COUNT = 41
HEADS: dict[str, dict[str, Any]] = {
    "lpips_linear": {"depth": 1, "weights": "nonnegative", "bias": True, "scale": "train"},
    "lpips_linear free": {"depth": 2, "output": "softplus"},
    "local_evidence": {"width": 12, "stride": 4},
    "pooled_mlp": {"hidden": [7, 5]},
    "embedding_mlp": {"hidden": [5], "anchored": False, "output": "sigmoid"},
}
SIDE = 3  # of the grid of stride 4: 2 * 3 and 4 channels there, 5 channels at 2 * 2 positions of the last stage
SHAPES = {
    "lpips_linear": (12,),
    "local_evidence": ((6 + 4) * SIDE**2 + 5 * 2**2,),
    "pooled_mlp": (2, 12),
    "embedding_mlp": (2, 6),
}


def _parts() -> list[Part]:
    """Unequal folds: 5, 3 and again 5 steps an epoch at batch size 7, validation parts of other sizes."""
    rng = np.random.default_rng(1)
    parts = []
    for index, (train, val) in enumerate(((29, 6), (19, 11), (31, 4))):
        rows = rng.permutation(COUNT)
        parts.append(Part(index, np.sort(rows[:train]), rows[train : train + val], rows[train + val :]))
    return parts


def _problem(name: str) -> tuple[Callable[[], Head], Tensor, Tensor, Tensor]:
    head = name.split()[0]
    generator = torch.Generator().manual_seed(2)
    statistic = torch.rand(COUNT, *SHAPES[head], generator=generator, dtype=torch.float64)
    statistic = statistic * torch.linspace(0.1, 3.0, statistic.shape[-1], dtype=torch.float64)
    difference = (statistic.flatten(1).mean(1) * 0.4 + 0.3 * torch.rand(COUNT, generator=generator)).double()
    weight = torch.rand(COUNT, generator=generator, dtype=torch.float64) + 0.5
    return lambda: build_head(head, BACKBONE, HEADS[name]).double(), statistic, difference, weight / weight.mean()


def _plain(
    make: Callable[[], Head], loss: PairLoss, s: Tensor, d: Tensor, w: Tensor, part: Part, settings: FitSettings
) -> tuple[Head, int, list[float]]:
    """The training of one fold as one would write it down, with no thought of speed."""
    torch.manual_seed(settings.seed)
    head = make()
    head.calibrate(s[torch.from_numpy(part.train)])
    optimizer = torch.optim.Adam(head.parameters(), lr=settings.optimizer["lr"])
    steps = -(-len(part.train) // settings.batch_size)
    cosine = settings.optimizer.get("schedule") == "cosine"
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps * settings.epochs)
    best: tuple[float, int, Any] | None = None
    values: list[float] = []
    members = set(part.train.tolist())
    for epoch in range(settings.epochs):
        order = [r for r in np.random.default_rng([settings.seed, epoch]).permutation(len(s)).tolist() if r in members]
        head.train()
        for at in range(0, len(order), settings.batch_size):
            rows = order[at : at + settings.batch_size]
            value = loss(head(s[rows]), d[rows], w[rows]) / len(rows)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            if cosine:
                schedule.step()
            for name in head.nonnegative:
                head.get_parameter(name).data.clamp_(min=0.0)
        head.eval()
        with torch.no_grad():
            predicted = head(s[torch.from_numpy(part.val)]).numpy()
        label = d[torch.from_numpy(part.val)].numpy()
        if settings.monitor == "val_srcc":
            value = -spearmanr(predicted, label)[0]
        else:
            value = float(np.mean((predicted - label) ** 2)) if settings.monitor == "val_mse" else -float(epoch)
        values.append(value)
        if best is None or value < best[0]:
            best = (value, epoch, copy.deepcopy(head.state_dict()))
        elif settings.patience is not None and epoch - best[1] >= settings.patience:
            break
    assert best is not None
    head.load_state_dict(best[2])
    return head, best[1], values


@pytest.mark.parametrize(
    ("monitor", "patience", "optimizer"),
    [
        ("val_mse", None, {"name": "adam", "lr": 0.05}),
        ("val_mse", 2, {"name": "adam", "lr": 0.2, "schedule": "cosine"}),
        ("val_srcc", 3, {"name": "adam", "lr": 0.1}),
        ("last", None, {"name": "adam", "lr": 0.02, "schedule": "cosine"}),
    ],
)
@pytest.mark.parametrize("name", HEADS)
def test_folds_together_train_as_each_alone(
    name: str, monitor: str, patience: int | None, optimizer: dict[str, Any]
) -> None:
    make, statistic, difference, weight = _problem(name)
    settings = FitSettings(optimizer, epochs=9, batch_size=7, seed=4, monitor=monitor, patience=patience)
    parts = _parts()
    results = fit_heads(make, SquaredError(), statistic, difference, weight, parts, settings)
    assert [result.part.index for result in results] == [0, 1, 2]
    for result, predicted in zip(results, predict_heads(results, statistic, batch_size=3), strict=True):
        head, epoch, values = _plain(make, SquaredError(), statistic, difference, weight, result.part, settings)
        assert result.epoch == epoch
        assert len(result.history) == len(values), "early stopping"
        for own, other in zip(result.head.state_dict().items(), head.state_dict().items(), strict=True):
            torch.testing.assert_close(own[1], other[1], atol=1e-6, rtol=1e-6)
        with torch.no_grad():
            expected = head(statistic[torch.from_numpy(result.part.test)])
        torch.testing.assert_close(predicted, expected, atol=1e-6, rtol=0)
        if monitor != "last":
            sign = -1 if monitor == "val_srcc" else 1
            np.testing.assert_allclose([sign * h[monitor] for h in result.history], values, atol=1e-6)


def test_other_losses_see_no_pair_of_another_batch() -> None:
    make, statistic, difference, weight = _problem("lpips_linear")
    settings = FitSettings({"name": "adam", "lr": 0.05}, 4, 7, 0, "last", None)
    results = fit_heads(make, Binomial(), statistic, difference.clamp(0, 1), weight, _parts(), settings)
    for result in results:
        head = _plain(make, Binomial(), statistic, difference.clamp(0, 1), weight, result.part, settings)[0]
        torch.testing.assert_close(result.head.weight, head.weight, atol=1e-6, rtol=1e-6)


def test_no_validation_part_keeps_the_last_epoch() -> None:
    make, statistic, difference, weight = _problem("lpips_linear")
    parts = [Part(p.index, p.train, p.val[:0], p.test) for p in _parts()]
    settings = FitSettings({"name": "adam", "lr": 0.05}, 5, 7, 0, "val_mse", 1)
    for result in fit_heads(make, SquaredError(), statistic, difference, weight, parts, settings):
        assert result.epoch == 4 and len(result.history) == 5
        assert set(result.history[0]) == {"train_loss"}


def test_a_loss_that_is_not_finite_ends_in_advice() -> None:
    make, statistic, difference, weight = _problem("lpips_linear")
    settings = FitSettings({"name": "sgd", "lr": 1e300}, 5, 7, 0, "val_mse", None)
    with pytest.raises(UserError, match=r"not finite in epoch \d; lower model.optimizer.lr"):
        fit_heads(make, SquaredError(), statistic, difference, weight, _parts(), settings)


PARITY = [
    {"name": "lpips_linear", "depth": 3, "weights": "nonnegative", "scale": "train", "bias": True},
    {"name": "pooled_mlp", "hidden": [16]},
    {"name": "embedding_mlp", "hidden": [16, 8]},
]


@pytest.mark.parametrize("head", PARITY, ids=lambda head: head["name"])
def test_cached_statistics_train_as_images_do(write_experiment: Write, tmp_path: Path, head: dict[str, Any]) -> None:
    """The key accumulate_grad_batches: 1 changes nothing but sends the run through Lightning and the images."""
    file = write_experiment(
        {
            "model.head": head,
            "model.optimizer": {"name": "adamw", "lr": 0.01, "weight_decay": 0.1, "schedule": "cosine"},
            "data.split": {"folds": 2, "val": 0.2},
            "data.weights": "votes",
            "data.image_size": 32,
            "trainer.max_epochs": 4,
            "selection": {"monitor": "val_mse", "patience": 2},
        }
    )
    cached, images = tmp_path / "cached", tmp_path / "images"
    assert main(["run", str(file), f"output={cached}"]) == 0
    assert main(["run", str(file), f"output={images}", "trainer.accumulate_grad_batches=1"]) == 0
    a, b = only_run(cached), only_run(images)
    assert '"cached statistics"' in (a / "provenance.json").read_text()
    assert '"images"' in (b / "provenance.json").read_text()
    expected, got = predictions(a), predictions(b)
    assert len(expected) == 36 and expected["predicted"].std() > 1e-3
    np.testing.assert_allclose(got["predicted"], expected["predicted"], atol=1e-4)
    assert got["fold"].tolist() == expected["fold"].tolist()
    for part in (0, 1):
        states = [torch.load(run / f"part-{part}.ckpt", weights_only=True) for run in (a, b)]
        assert states[0]["trunk_identity"] == states[1]["trunk_identity"]
        assert states[0]["state_dict"].keys() == states[1]["state_dict"].keys()


def test_images_path_says_where_the_loss_left_the_numbers(
    write_experiment: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_experiment({"model.optimizer": {"name": "sgd", "lr": 1e30}, "trainer.max_epochs": 20})
    for path in ([], ["trainer.accumulate_grad_batches=1"]):
        assert main(["run", str(file), *path]) == 2
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert "the loss is not finite" in error and "model.optimizer.lr" in error
