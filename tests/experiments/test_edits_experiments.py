"""Experiments on edits, on tables of the same columns: rendered scenes, one epoch, small or random backbones."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
from experiment_support import content, few_of, tables
from run_support import ROOT, run_folders
from scoring_support import loaded_image

from data_tools.synthetic import SceneSetConfig, write_pair_set
from lightning_modules.scorer import load_finished
from semfid.cli import main
from semfid.scoring.default_metric import DefaultMetric


@pytest.mark.parametrize("name", ["local_evidence", "edits_heads"])
def test_heads_beside_each_other(name: str, shrink: Callable[[Path], list[str]], tmp_path: Path) -> None:
    table = write_pair_set(tmp_path / "pairs", SceneSetConfig(scenes=8, candidates_per_scene=3, size=64))
    path = ROOT / "experiments" / f"{name}.yaml"
    words = [*shrink(path), f"data.table={table}", "data.batch_size=8", "data.split={folds: 2, val: 0}"]
    words.append("model.backbone={name: timm, model: test_resnet, pretrained: none}")
    sweep = content(path)["sweep"]
    heads = [{**head, "depth": 3} if "depth" in head else head for head in few_of(sweep["model.head"])]
    words.append(f"sweep.model.head={json.dumps(heads)}")
    if name == "edits_heads":
        words.append("sweep.model.backbone.pretrained=[none]")
    assert main(["ablate", str(path), *words]) == 0
    results = tables(tmp_path / "runs", path.stem)
    variants = len(heads) * len(sweep.get("fit", [None]))
    assert len(results) == variants + 2 and (results["n"] == 24).all()
    if name == "local_evidence":
        maps = pd.read_csv(tmp_path / "runs" / path.stem / "results_maps.csv")
        assert len(maps) == len(results) and maps["average_precision"].between(0, 1).all()


def test_clu_on_edits(shrink: Callable[[Path], list[str]], tmp_path: Path) -> None:
    table = write_pair_set(tmp_path / "pairs", SceneSetConfig(scenes=6, candidates_per_scene=2, size=64))
    path = ROOT / "experiments" / "clu_real.yaml"
    words = [*shrink(path), f"data.table={table}", "data.batch_size=4", "data.split={folds: 2, val: 0}"]
    words.append("sweep.model.backbone=[{name: timm, model: test_resnet, pretrained: none}]")
    assert main(["ablate", str(path), *words]) == 0
    assert len(tables(tmp_path / "runs", path.stem)) == 2


def test_ratings(shrink: Callable[[Path], list[str]], tmp_path: Path) -> None:
    sets = {}
    for seed, name in enumerate(("koniq_sr", "coco128_sr")):
        config = SceneSetConfig(scenes=6, candidates_per_scene=2, size=64, seed=seed)
        sets[name] = {"name": "pairs", "table": str(write_pair_set(tmp_path / name, config))}
    path = ROOT / "experiments" / "ratings.yaml"
    words = [word for word in shrink(path) if not word.startswith("data.")]
    words += [f"data.sets={json.dumps(sets)}", "data.split={folds: 2, repeats: 2, val: 0}"]
    words.append("model.backbone={name: timm, model: test_resnet, pretrained: none}")
    heads = [{**head, "depth": 2} for head in few_of(content(path)["sweep"]["model.head"])]
    words.append(f"sweep.model.head={json.dumps(heads)}")
    assert main(["ablate", str(path), *words]) == 0
    results = tables(tmp_path / "runs", path.stem)
    assert len(results) == len(heads) and (results["n"] == 24).all() and (results["seeds"] == 2).all()


def test_default_metric(
    shrink: Callable[[Path], list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two small sets, random weights: one file per fold and one of all pairs, which scores and says where."""
    sets = {}
    for seed, name in enumerate(("rated", "edits")):
        config = SceneSetConfig(scenes=6, candidates_per_scene=3, size=64, seed=seed)
        sets[name] = {"name": "pairs", "table": str(write_pair_set(tmp_path / name, config))}
    path = ROOT / "experiments" / "default_metric.yaml"
    words = [word for word in shrink(path) if not word.startswith("data.")]
    words += [f"data.sets={json.dumps(sets)}", "data.split.folds=2", "data.batch_size=8", "model.rated=[rated]"]
    words += ["model.view=64", "model.backbone.pretrained=none", "baselines=[pixel_difference]"]
    words += ["model.evidence={width: 8}", "model.kernel={pooling: [gained:mean, lost:mean, max]}"]
    assert main(["ablate", str(path), *words]) == 0
    results = tables(tmp_path / "runs", path.stem)
    assert len(results) == 1 + 1 and (results["n"] == 36).all()
    (run,) = (folder for folder in run_folders(tmp_path / "runs") if "pixel" not in folder.name)
    assert (run / "maps.csv").is_file()
    predicted = pd.read_csv(run / "predictions.csv")
    assert predicted["origin"].str.partition(": ")[0].value_counts().to_dict() == {"rated": 18, "edits": 18}
    whole = load_finished(run)
    assert main(["export", str(run), "--format", "torch", "--out", str(tmp_path / "x.pt2")]) == 2
    assert "it wrote its metric as one file; use" in capsys.readouterr().err
    assert isinstance(whole, DefaultMetric) and whole.spec.card["counts"]["rated"] == {"pairs": 18, "photos": 6}
    row = predicted.iloc[0]
    table = pd.read_csv(tmp_path / "rated" / "pairs.csv").set_index("pair_id")
    pair = table.loc[row["pair_id"].removeprefix("rated:")]
    images = [loaded_image(tmp_path / "rated" / pair[side], None) for side in ("reference", "candidate")]
    with torch.inference_mode():
        score, maps = load_finished(run, int(row["fold"])).score_and_map(*images)
        assert not whole(images[0], images[0]).any()
    assert float(score) == pytest.approx(row["predicted"], abs=2e-3)  # the file holds the backbone in float16
    assert maps is not None and maps.shape == (1, 1, 64, 64)
    assert (
        main(
            [
                "score",
                str(tmp_path / "rated" / pair["reference"]),
                str(tmp_path / "rated" / pair["candidate"]),
                "--run",
                str(run),
            ]
        )
        == 0
    )


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("model.rated=[ratde]", "model.rated: data has no set 'ratde'; did you mean 'rated'"),
        ("model.rated=[rated, edits]", "experts needs rated pairs and edited ones"),
        (
            "model.backbone={name: timm, model: test_resnet, pretrained: none}",
            "experts needs model.backbone: {name: timm, model: tf_",
        ),
        ("model.kernel={output: tanh}", "model.kernel.output is the metric's own; remove it"),
        ("model.power=0.5", "model.power is 0.5; it must be at least 1"),
        ("model.slope=0", "model.slope is 0; it must be above 0"),
    ],
)
def test_what_experts_cannot_be(
    shrink: Callable[[Path], list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str], change: str, says: str
) -> None:
    table = write_pair_set(tmp_path / "set", SceneSetConfig(scenes=4, candidates_per_scene=2, size=64))
    sets = {name: {"name": "pairs", "table": str(table)} for name in ("rated", "edits")}
    path = ROOT / "experiments" / "default_metric.yaml"
    words = [word for word in shrink(path) if not word.startswith("data.")]
    words += [
        f"data.sets={json.dumps(sets)}",
        "data.split.folds=2",
        "model.rated=[rated]",
        "model.backbone.pretrained=none",
    ]
    assert main(["run", str(path), *words, change]) == 2
    assert says in capsys.readouterr().err
