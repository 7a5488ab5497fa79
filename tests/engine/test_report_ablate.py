"""`semfid ablate` writes the report of real runs, heat maps included."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from report_support import data_of
from run_support import Write, run_folders

from engine.config.schema import RunConfig, recorded_config
from engine.report.heatmaps import map_drawer
from engine.results.pairs import RunResult
from lightning_modules.scorer import load_run
from semfid.cli import main


def test_ablate_writes_the_report(write_experiment: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    heads = [{"name": "lpips_linear", "depth": 1}, {"name": "embedding_mlp"}]
    file = write_experiment(
        {
            "data.split": {"folds": 2, "val": 0.2},
            "sweep": {"model.head": heads, "seed": [0, 1]},
            "baselines": ["psnr"],
            "trainer.max_epochs": 1,
        }
    )
    assert main(["ablate", str(file)]) == 0
    page = tmp_path / "runs" / "t" / "report.html"
    assert f"report: {page}" in capsys.readouterr().out
    (content,) = data_of(page)["tables"]
    variants = {variant["label"]: variant for variant in content["variants"]}
    linear, mlp, psnr = (
        next(value for key, value in variants.items() if word in key) for word in ("lpips", "embedding", "psnr")
    )
    assert all(linear["maps"].values()) and len(linear["maps"]) == 8
    assert "maps" not in mlp and "maps" not in psnr and mlp["maps_note"] == ""
    assert all(None not in names for names in content["pictures"].values())
    assert list((tmp_path / "runs" / "t").glob("*/events/examples/*"))

    # finished runs: the report is made again
    page.unlink()
    assert main(["ablate", str(file)]) == 0 and page.is_file()

    _maps_belong_to_the_fold(run_folders(tmp_path / "runs"), tmp_path)


def recorded(folder: Path) -> RunConfig:
    return recorded_config(yaml.safe_load((folder / "config.yaml").read_text()), folder, learned=True)


def _maps_belong_to_the_fold(folders: list[Path], tmp_path: Path) -> None:
    folder = next(path for path in folders if "lpips" in path.name and "seed=0" in path.name)
    config = yaml.safe_load((folder / "config.yaml").read_text())
    table = pd.read_csv(folder / "predictions.csv", dtype={"pair_id": str, "source_id": str})
    run = RunResult("a", 0, table, False, True, folder)
    drawer = map_drawer(run, recorded(folder))
    assert not isinstance(drawer, str)
    (photo, *_) = sorted(Path(config["data"]["folder"]).rglob("*.png"))
    other = sorted(photo.parent.glob("*.png"))[-1]
    for fold in (0, 1):
        alone = load_run(folder, fold)
        weights = dict(alone.heads[0].named_parameters())
        kept = dict(drawer.maker.scorer(fold).heads[0].named_parameters())  # type: ignore[attr-defined]
        assert all(bool((kept[name] == value).all()) for name, value in weights.items())
        drawn = drawer(fold, photo, other)
        assert drawn.dtype == np.uint8 and drawn.shape == (64, 64, 3)
    assert (drawer(0, photo, photo) != drawer(0, photo, other)).any()

    gone = tmp_path / "gone"
    shutil.copytree(folder, gone)
    config["model"]["backbone"]["pretrained"] = str(tmp_path / "no_such.safetensors")
    (gone / "config.yaml").write_text(yaml.safe_dump(config))
    said = map_drawer(RunResult("a", 0, table, False, True, gone), recorded(gone))
    assert isinstance(said, str) and said.startswith("No heat maps: ") and "no_such.safetensors are missing" in said
    shutil.copytree(folder, tmp_path / "bare", ignore=shutil.ignore_patterns("part-*"))
    said = map_drawer(RunResult("a", 0, table, False, True, tmp_path / "bare"), recorded(folder))
    assert isinstance(said, str) and said.startswith("No heat maps: ")
