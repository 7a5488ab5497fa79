"""Figures of maps: of a real run against a loop over its pairs, when they are computed, and the tables made of them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
import yaml
from PIL import Image
from report_support import SETTINGS, finished, labels, with_maps
from run_support import Write, run_folders, typed
from scipy import stats
from sklearn.metrics import average_precision_score

from engine.config.schema import RunConfig
from engine.results.map_metrics import maps_wanted
from engine.results.maps import compare_maps
from engine.results.pairs import compare_variants, write_results
from lightning_modules.scorer import load_run
from registry import METRICS
from semfid.cli import main
from semfid.errors import UserError

HEADS = [{"name": "lpips_linear", "depth": 2, "output": "sigmoid"}, {"name": "cosine"}]
CHANGES: dict[str, Any] = {
    "data.split": {"folds": 2, "val": 0.2},
    "data.batch_size": 5,
    "sweep": {"model.head": HEADS},
    "baselines": ["pixel_difference", "psnr", {"name": "ssim"}],
    "trainer.max_epochs": 1,
    "evaluation.maps": True,
}


def run_named(output: Path, word: str) -> Path:
    return next(path for path in run_folders(output) if word in path.name)


def test_a_real_run_against_a_loop_over_its_pairs(
    write_experiment: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # without the figures first: they are added to finished runs
    assert main(["ablate", str(write_experiment({**CHANGES, "evaluation.maps": None}))]) == 0
    assert not list(tmp_path.rglob("maps.csv")) and "AP, all pixels" not in capsys.readouterr().out
    before = {path: path.read_bytes() for path in tmp_path.rglob("predictions.csv")}
    assert main(["ablate", str(write_experiment(CHANGES))]) == 0
    assert "AP, all pixels" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in tmp_path.rglob("predictions.csv")} == before
    runs = sorted(path.parent.name.split("-")[0] for path in tmp_path.rglob("maps.csv"))
    assert [name.split("_seed")[0][:18] for name in runs] == ["head=lpips_linear", "pixel_difference", "ssim"]

    folder = run_named(tmp_path / "runs", "lpips")
    heads = {fold: load_run(folder, fold) for fold in (0, 1)}
    pixel = METRICS.build("pixel_difference")

    def by_head(fold: int, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        small = heads[fold].maps(heads[fold].describe(x), heads[fold].describe(y))
        return F.interpolate(small, x.shape[-2:], mode="bilinear", align_corners=False)

    _against_a_loop(folder, by_head)
    _against_a_loop(run_named(tmp_path / "runs", "pixel_diff"), lambda fold, x, y: pixel.maps(x, y))  # type: ignore[operator]

    table = pd.read_csv(tmp_path / "runs" / "t" / "results_maps.csv")
    assert len(table) == 3 and table["average_precision"].is_monotonic_decreasing
    assert set(pd.read_csv(tmp_path / "runs" / "t" / "results_maps_by_origin.csv")["variant"]) == set(table["variant"])
    assert (tmp_path / "runs" / "t" / "results_maps.tex").is_file()

    page = (tmp_path / "runs" / "t" / "report.html").read_text()
    gallery = page[page.index("<h4>Lowest average precision") : page.index("What differs between")]
    assert gallery.count('<details class="map-variant"') == 2, "the first is cut"  # of three variants
    assert gallery.count('<figure class="map-row">') == 21 and gallery.count("<use ") == 105
    assert "missing-row" not in gallery and "No pictures" not in gallery

    # finished figures are not computed again, until the target maps change; nor shown where they are not asked for
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("maps.csv")}
    metrics = folder / "metrics.json"
    content = json.loads(metrics.read_text())
    content["maps"]["data"] = "of other target maps"
    metrics.write_text(json.dumps(content))
    capsys.readouterr()
    assert main(["ablate", str(write_experiment(CHANGES))]) == 0
    again = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("maps.csv")}
    assert {path for path in again if again[path] != stamps[path]} == {folder / "maps.csv"}
    assert json.loads(metrics.read_text())["maps"]["data"] != "of other target maps"
    assert main(["ablate", str(write_experiment({**CHANGES, "evaluation.maps": False}))]) == 0
    assert capsys.readouterr().out.count("AP, all pixels:") == 1


def _against_a_loop(folder: Path, make: Any) -> None:
    config = yaml.safe_load((folder / "config.yaml").read_text())
    made = config["data"]  # other tests render other scenes into the same folder
    kind = f"{made['scenes']}x{made['candidates_per_scene']}-{made['size']}px"
    (table,) = Path(made["folder"]).glob(f"seed0-{kind}-*/pairs.csv")
    pairs = pd.read_csv(table, dtype={"pair_id": str}).set_index("pair_id")
    folds = pd.read_csv(folder / "predictions.csv", dtype={"pair_id": str}).set_index("pair_id")["fold"]
    found = pd.read_csv(folder / "maps.csv", dtype={"pair_id": str}).set_index("pair_id")
    assert found.index.tolist() == folds.index.tolist() and len(found) == 36
    everything: list[tuple[np.ndarray, np.ndarray]] = []
    for name, row in found.iterrows():
        pair = pairs.loc[name]
        x, y = (
            torch.from_numpy(np.array(Image.open(table.parent / pair[key]).convert("RGB"))).permute(2, 0, 1)[None] / 255
            for key in ("reference", "candidate")
        )
        mask = np.asarray(Image.open(table.parent / pair["map"])).ravel() > 127
        with torch.no_grad():
            p = make(int(folds[name]), x, y)[0, 0].numpy().ravel()
        everything.append((mask, p))
        assert row["mse"] == pytest.approx(float(((p - mask) ** 2).mean()), abs=1e-5)
        assert row["predicted"] == pytest.approx(float(p.mean()), abs=1e-5) and row["changed"] == mask.mean()
        if mask.any():
            assert row["average_precision"] == pytest.approx(average_precision_score(mask, p), abs=1e-4)
            assert row["srcc"] == pytest.approx(float(stats.spearmanr(mask, p).statistic), abs=1e-4)
            top = mask[p >= p.max() - 1e-6]  # which of nearly equal ones is largest is up to rounding
            assert row["hit"] == pytest.approx(top.mean()) if top.all() == top.any() else 0 <= row["hit"] <= 1
        else:
            assert math.isnan(row["average_precision"]) and math.isnan(row["srcc"]) and math.isnan(row["hit"])
    pooled = json.loads((folder / "metrics.json").read_text())["maps"]["pooled"]
    masks, p = np.concatenate([m for m, _ in everything]), np.concatenate([v for _, v in everything])
    assert pooled["average_precision_pixels"] == pytest.approx(average_precision_score(masks, p), abs=1e-3)
    for name in ("average_precision", "mse", "iou", "hit", "srcc"):
        assert pooled[name] == pytest.approx(found[name].mean(), nan_ok=True)
    assert pooled["n"] == 36 and pooled["n_changed"] == sum(m.any() for m, _ in everything) > 5


@pytest.mark.parametrize("command", [["ablate"], ["run"], ["run", "--check"]])
def test_maps_that_are_not_there_are_named_before_anything_is_trained(
    write_experiment: Write, pair_folder: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    changes = {"data.name": "pairs", "data.table": str(pair_folder(12))}
    decoder = {"model.name": "local_map", "model.head": {"name": "unet", "max_width": 8}}
    assert main([command[0], str(write_experiment({**changes, **decoder}, "decoder.yaml")), *command[1:]]) == 2
    assert "pairs.csv has no maps; add the column map" in capsys.readouterr().err
    file = write_experiment({**changes, "evaluation.maps": True})
    assert main([command[0], str(file), *command[1:]]) == 2
    assert "evaluation.maps: true, but" in (err := capsys.readouterr().err) and "pairs.csv has no maps" in err
    assert not list((tmp_path / "runs").rglob("config.yaml"))


class FakeData:
    def __init__(self, *columns: str) -> None:
        self.table = type("Table", (), {"name": "x.csv"})()
        self.has_maps = "map" in columns


@pytest.mark.parametrize(("wish", "linear", "local"), [(None, False, True), (True, True, True), (False, False, False)])
def test_when_they_are_wanted(wish: bool | None, linear: bool, local: bool) -> None:
    def config(**model: Any) -> RunConfig:
        return typed({"name": "x", "data": {"name": "any"}, "model": model, "evaluation": {"maps": wish}})

    data: Any = FakeData("map")
    head = {"name": "lpips_linear", "depth": 1}
    assert maps_wanted(config(name="global_regressor", head=head), False, data) is linear
    assert maps_wanted(config(name="local_map", head={"name": "any"}), True, data) is local
    assert maps_wanted(config(name="pixel_difference"), True, data) is local
    assert maps_wanted(config(name="pixel_difference"), False, data) is linear
    for model in ({"name": "psnr"}, {"name": "global_regressor", "head": "cosine"}):
        assert not maps_wanted(config(**model), True, data)
    without: Any = FakeData()
    if wish:
        with pytest.raises(UserError, match=r"evaluation\.maps: true, but x\.csv has no maps"):
            maps_wanted(config(name="psnr"), True, without)
    else:
        assert not maps_wanted(config(name="local_map"), True, without)


def test_tables(tmp_path: Path) -> None:
    table = labels()
    runs = [with_maps(tmp_path, "good", table, 0.7, seed) for seed in (0, 1)]
    runs += [with_maps(tmp_path, "bad", table, 0.4), with_maps(tmp_path, "metric", table, 0.5, learned=False)]
    runs.append(finished(tmp_path, "no maps", table))
    maps = compare_maps(runs, SETTINGS)
    assert maps is not None
    assert [row["variant"] for row in maps.rows] == ["good", "metric", "bad"]
    good, metric, bad = maps.rows
    own = [pd.read_csv(run.path / "maps.csv")["average_precision"].mean() for run in runs[:2]]
    cell: Any = good["average_precision"]
    assert cell.value == pytest.approx(np.mean(own)) and cell.low < cell.value < cell.high and cell.mark == "*"
    assert bad["average_precision"].mark == "" and bad["p_holm"].value < 0.05  # type: ignore[union-attr]
    assert good["average_precision_pixels"].value == 0.35 and good["seeds"] == 2  # type: ignore[union-attr]
    assert (good["n"], good["n_changed"], good["sources"]) == (48, 32, 12)
    assert metric["note"] == "training-free, uncalibrated"
    assert len(maps.origins) == 9 and maps.origins[0]["hit"].note == "-"  # type: ignore[union-attr]

    (result,) = compare_variants(runs, SETTINGS)
    assert result.maps is not None and len(result.rows) == 4
    names = {path.name for path in write_results([result], tmp_path / "out")}
    assert {"results.csv", "results_maps.csv", "results_maps.tex", "results_maps_by_origin.md"} <= names
    text = (tmp_path / "out" / "results_maps.md").read_text()
    assert "48 images, 32 with a changed region" in text and text.count("\n| ") == 4
    shown = result.maps.screen
    assert "AP, all pixels" in shown and "sources |" not in shown
    (plain,) = compare_variants(runs[-1:], SETTINGS)
    assert plain.maps is None


def test_constant_maps_are_said_and_other_pairs_refused(tmp_path: Path) -> None:
    table = labels()
    run = with_maps(tmp_path, "a", table, 0.5)
    frame = pd.read_csv(run.path / "maps.csv")
    frame.loc[frame["changed"] > 0, "srcc"] = np.nan
    frame.to_csv(run.path / "maps.csv", index=False)
    maps = compare_maps([run], SETTINGS)
    assert maps is not None and maps.rows[0]["note"] == "no SRCC of 32 constant maps"
    assert maps.rows[0]["srcc"].note == "-" and math.isnan(maps.rows[0]["srcc"].value)  # type: ignore
    frame.iloc[1:].to_csv(run.path / "maps.csv", index=False)
    with pytest.raises(UserError, match=r"maps\.csv: its metrics are of other pairs"):
        compare_maps([run], SETTINGS)
