"""Experiments on single images: run folder, resuming, what a result depends on, the table, mistakes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from run_support import merged, only_run, run_folders

from engine.runs.context import RunContext
from engine.runs.run_folder import RunFolder
from engine.runs.sweep import read_sweep
from lightning_modules.supervised import Supervised
from semfid.cli import main

Make = Callable[..., Path]


@pytest.fixture
def write_task(tmp_path: Path, write_photo: Callable[..., Path]) -> Make:
    """A small supervised experiment on a folder of three classes, with some dotted keys set otherwise."""
    for label, kind in enumerate(("cat", "dog", "owl")):
        for number in range(7):
            write_photo(tmp_path / "photos" / kind / f"{number}.png", 10 * label + number)
    small: dict[str, Any] = {
        "name": "t",
        "data": {
            "name": "image_folder",
            "path": str(tmp_path / "photos"),
            "image_size": 32,
            "batch_size": 6,
            "augment": ["crop", "flip", "degrade"],
            "split": {"val": 0.25},
        },
        "model": {
            "name": "supervised",
            "backbone": {
                "name": "timm", "model": "test_resnet", "pretrained": "none", "tuning": "full", "batch_norm": "train",
            },
            "optimizer": {"name": "adamw", "lr": 0.003, "schedule": "cosine"},
        },
        "selection": {"monitor": "val_loss"},
        "trainer": {"accelerator": "cpu", "devices": 1, "max_epochs": 3},
        "output": str(tmp_path / "runs"),
    }  # fmt: skip

    def write(changes: dict[str, Any] | None = None) -> Path:
        (tmp_path / "x.yaml").write_text(yaml.safe_dump(merged(small, changes or {}), sort_keys=False))
        return tmp_path / "x.yaml"

    return write


def result(run: Path) -> tuple[bytes, bytes, dict[str, Any]]:
    metrics = json.loads((run / "metrics.json").read_text())
    return (run / "trunk.safetensors").read_bytes(), (run / "results.csv").read_bytes(), metrics


def test_run_folder(write_task: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_task()
    assert main(["run", str(file)]) == 0
    out = capsys.readouterr().out
    run = only_run(tmp_path / "runs")
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["part"] == "val" and metrics["images"] == 5
    assert out.split() == [word for name, value in metrics["figures"].items() for word in (name, f"{value:.4f}")]
    results = pd.read_csv(run / "results.csv")
    assert results.columns.tolist() == ["image", "label", "predicted"] and len(results) == 5
    assert metrics["figures"]["top1"] == pytest.approx((results["label"] == results["predicted"]).mean())
    split = pd.read_csv(run / "split.csv")
    assert set(results["image"]) == set(split[split["split"] == "val"]["image"])
    facts = json.loads((run / "provenance.json").read_text())
    assert facts["steps"] == 3 * 3 and facts["selected_epoch"] in (0, 1, 2) and len(facts["data_hash"]) == 16
    before = result(run)
    assert main(["run", str(file)]) == 0
    assert "epoch" not in capsys.readouterr().err, "a finished run is not run again"
    assert result(run) == before and len(run_folders(tmp_path / "runs")) == 1


def test_a_fault_at_any_step_changes_nothing(write_task: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write_task()
    assert main(["run", str(file), f"output={tmp_path / 'whole'}"]) == 0
    expected = result(only_run(tmp_path / "whole"))
    step = Supervised.training_step
    for cut in (4, 8):  # in the second and in the third epoch

        def faulty(self: Supervised, batch: Any, index: int, cut: int = cut) -> Any:
            if self.trainer.global_step == cut:
                raise RuntimeError("the power is out")
            return step(self, batch, index)

        monkeypatch.setattr(Supervised, "training_step", faulty)
        output = tmp_path / f"cut{cut}"
        with pytest.raises(RuntimeError, match="power is out"):
            main(["run", str(file), f"output={output}"])
        run = only_run(output)
        assert json.loads((run / "status.json").read_text())["state"] == "failed"
        assert not (run / "metrics.json").exists() and not (run / "trunk.safetensors").exists()
        monkeypatch.setattr(Supervised, "training_step", step)
        assert main(["run", str(file), f"output={output}"]) == 0
        assert result(run) == expected


def test_result_depends_on_seed_and_not_on_place(write_task: Make, tmp_path: Path) -> None:
    file = write_task({"trainer.max_epochs": 1})
    found = {}
    for name, override in (("a", "seed=0"), ("b", "data.workers=1"), ("c", "data.in_memory=true"), ("d", "seed=1")):
        assert main(["run", str(file), f"output={tmp_path / name}", override]) == 0
        run = only_run(tmp_path / name)
        found[name] = run.name, result(run)
    assert found["a"] == found["b"] == found["c"]
    assert found["d"][0] != found["a"][0] and found["d"][1][0] != found["a"][1][0]


def test_run_hash_follows_images_and_captions(
    write_task: Make, tmp_path: Path, write_photo: Callable[..., Path]
) -> None:
    file = write_task()

    def folder() -> str:
        (variant,) = read_sweep(file, []).variants
        return RunFolder.of(variant, RunContext().data_hash(variant.config)).path.name

    first = folder()
    assert folder() == first
    write_photo(tmp_path / "photos" / "cat" / "0.png", 99)
    second = folder()
    assert second != first
    (tmp_path / "photos" / "cat" / "0.png").rename(tmp_path / "photos" / "dog" / "99.png")
    assert folder() not in (first, second)


def test_ablation_of_tasks(write_task: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_task({"trainer.max_epochs": 1, "sweep": {"model.label_smoothing": [0.0, 0.2], "seed": [0, 1]}})
    assert main(["ablate", str(file)]) == 0
    table = pd.read_csv(tmp_path / "runs" / "t" / "results.csv")
    assert table["variant"].tolist() == ["label_smoothing=0.0", "label_smoothing=0.2"]
    assert table["seeds"].tolist() == [2, 2] and table["images"].tolist() == [5, 5]
    losses = [
        json.loads((run / "metrics.json").read_text())["figures"]["loss"] for run in run_folders(tmp_path / "runs")
    ]
    assert table["loss"].mean() == pytest.approx(sum(losses) / 4)
    assert "| label_smoothing=0.2 |" in capsys.readouterr().out
    assert (tmp_path / "runs" / "t" / "results.md").read_text().startswith("| variant")


def test_check_opens_every_image_and_trains_nothing(
    write_task: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_task()
    assert main(["run", str(file), "--check"]) == 0
    assert "21 images, 3 classes (16 train, 5 val, 0 test): fine" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
    (tmp_path / "photos" / "owl" / "2.png").write_bytes(b"")
    assert main(["ablate", str(file), "--check"]) == 2
    assert "owl/2.png" in capsys.readouterr().err


def test_data_without_what_the_module_learns_from(
    write_task: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", str(write_task({"model.name": "contrastive", "selection": {"monitor": "last"}}))]) == 2
    assert "21 of 21 images have no caption and contrastive needs them" in capsys.readouterr().err
    assert json.loads((only_run(tmp_path / "runs") / "status.json").read_text())["state"] == "failed"


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("selection.monitor=val_top2", "selection.monitor is 'val_top2'; did you mean 'val_top1'"),
        ("baselines=[psnr]", "baselines are metrics of pairs; remove them"),
        (
            "model={name: global_regressor, head: cosine, backbone: {name: timm, model: test_resnet}}",
            "gives single images",
        ),
        ("data={name: scenes}", "gives pairs and model: 'supervised' learns from single images"),
        ("model.label_smoothing=2.0", "model.label_smoothing is 2.0"),
        ("model.label_smoothin=0.1", "did you mean 'label_smoothing'"),
        ("model.name=contrastive", "selection.monitor is 'val_loss' (there are: last, val_recall1)"),
        ("model={name: supervised}", "model.backbone is missing"),
        ("data.augment=[blur]", "augment=['blur'] should be"),
        ("data.path=nowhere", "no such file or folder nowhere"),
        ("sweep={model.name: [supervised, global_regressor]}", "learns from pairs"),
    ],
)
def test_mistakes_are_one_line(
    write_task: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str], override: str, says: str
) -> None:
    command = "ablate" if override.startswith("sweep") else "run"
    assert main([command, str(write_task()), override]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("semfid: ")]
    assert len(lines) == 1 and says in lines[0] and "x.yaml" in lines[0], lines
    assert not list(tmp_path.rglob("metrics.json"))
