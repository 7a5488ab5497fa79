"""init_from: a training starts from the weights of a finished run."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from run_support import SMALL, Write, merged, only_run, predictions, run_folders

from semfid.cli import main

STILL = {"model.optimizer": {"name": "sgd", "lr": 1e-12}, "trainer.max_epochs": 1}  # what comes out is what went in
THROUGH_IMAGES = {"trainer.gradient_clip_val": 1000.0}  # the cached fit does not clip


def run(write: Write, changes: dict[str, Any], name: str = "t") -> Path:
    """The folder of the one run of an experiment."""
    path = write({"name": name, **changes}, f"{name}.yaml")
    before = set(run_folders(path.parent / "runs"))
    assert main(["run", str(path)]) == 0
    (folder,) = set(run_folders(path.parent / "runs")) - before
    return folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, scene_folder: Path) -> Path:
    """A run with all defaults."""
    root = tmp_path_factory.mktemp("finished")
    here = {"data.folder": str(scene_folder), "output": str(root / "runs"), "cache.folder": str(root / "cache")}
    (root / "x.yaml").write_text(yaml.safe_dump(merged(SMALL, {**here, "trainer.max_epochs": 1})))
    assert main(["run", str(root / "x.yaml")]) == 0
    return only_run(root / "runs")


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (None, {}),
        (None, THROUGH_IMAGES),
        ({"data.split": {"folds": 2, "val": 0}}, {"data.split": {"folds": 2, "val": 0}}),
        ({"model.backbone.tuning": "full"}, {"model.backbone.tuning": "full"}),
        ({"model.backbone.tuning": "lora", "model.backbone.lora_rank": 2},) * 2,
    ],
    ids=["cached", "images", "folds", "full", "lora"],
)
def test_predictions_before_any_step_are_the_run_s(
    write_experiment: Write, finished: Path, source: dict[str, Any] | None, target: dict[str, Any]
) -> None:
    first = finished if source is None else run(write_experiment, {**source, "trainer.max_epochs": 1}, "source")
    second = run(write_experiment, {**target, **STILL, "init_from": str(first), "seed": 7}, "target")
    mine, theirs = predictions(second), predictions(first)
    assert mine["pair_id"].tolist() == theirs["pair_id"].tolist() and theirs["predicted"].nunique() > 3
    np.testing.assert_allclose(mine["predicted"], theirs["predicted"], rtol=1e-5, atol=1e-7)
    assert json.loads((second / "provenance.json").read_text())["init_from"] == str(first)


def test_it_goes_on_from_there_and_is_another_run(write_experiment: Write) -> None:
    first = run(write_experiment, {"trainer.max_epochs": 2}, "source")
    fresh = run(write_experiment, {"trainer.max_epochs": 2, "seed": 3}, "target")
    pattern = str(first)[:-3] + "*"
    tuned = run(write_experiment, {"trainer.max_epochs": 2, "seed": 3, "init_from": pattern}, "target")
    assert tuned != fresh
    states = [torch.load(folder / "part-0.ckpt")["state_dict"] for folder in (first, fresh, tuned)]
    assert torch.equal(states[2]["head.scale"], states[0]["head.scale"]), "weights are relative to the scale"
    assert not torch.equal(states[2]["head.weight"], states[0]["head.weight"])
    # other weights in the same place are another start
    state = torch.load(first / "part-0.ckpt")
    torch.save({**state, "state_dict": {k: v * 1.5 for k, v in state["state_dict"].items()}}, first / "part-0.ckpt")
    assert run(write_experiment, {"trainer.max_epochs": 2, "seed": 3, "init_from": pattern}, "target") != tuned


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model.head.depth": 1}, "its model.head.depth is 3 and here it is 1"),
        ({"model.head": {"name": "cosine"}}, "its model.head.name is 'lpips_linear' and here it is 'cosine'"),
        ({"model.backbone.model": "test_byobnet"}, "its model.backbone.model is 'test_resnet'"),
        ({"model.backbone.init_seed": 5}, "was trained on the backbone timm.test_resnet-"),
        ({"data.split": {"val": 0.2, "test": 0.3, "seed": 5}}, r"was trained on photo 'scene_0_.*take over its split"),
        ({"init_from": "nowhere/at/all"}, "init_from: no file or folder nowhere/at/all"),
    ],
)
def test_another_model_or_leaking_photos_are_refused(
    write_experiment: Write, finished: Path, changes: dict[str, Any], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_experiment({"init_from": str(finished), **changes})
    assert main(["run", str(path)]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert re.search(said, error), error


def test_what_cannot_be_a_start(
    write_experiment: Write, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_experiment({"init_from": str(finished), "data.split": {"folds": 3, "val": 0}, "baselines": ["psnr"]})
    assert main(["run", str(path)]) == 2
    assert "was trained on photo" in capsys.readouterr().err
    # its own split may be taken over
    own = {"init_from": str(finished), "data.split": {"file": f"{finished}/split.csv"}}
    assert main(["run", str(write_experiment(own))]) == 0
    assert main(["ablate", str(write_experiment({"baselines": ["psnr"], "name": "b"}))]) == 0
    (psnr,) = (folder for folder in run_folders(tmp_path / "runs" / "b") if "psnr" in folder.name)
    assert main(["run", str(write_experiment({"init_from": str(psnr)}))]) == 2
    assert "has trained nothing; give the run of a learned variant" in capsys.readouterr().err
