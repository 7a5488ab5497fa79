"""Every YAML of experiments/ runs for a few steps: same code, shrunken data, no hub."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from experiment_support import content, one_axis_at_a_time, tables
from PIL import Image, ImageFilter
from run_support import ROOT, Write, run_folders

from engine.runs.sweep import read_sweep
from semfid.cli import main
from semfid.settings import as_mapping

EXPERIMENTS = sorted(path for path in (ROOT / "experiments").glob("*.yaml") if path.stem != "base")
BACKBONES = ROOT / "assets" / "trunks"


def _in_author_s_layout(folder: Path, photos: list[Path]) -> None:
    """HQ/<photo>.jpg, SR/<model>_<photo>.png that hold JPEG, and the answers of several people."""
    rng = np.random.default_rng(0)
    (folder / "HQ").mkdir(parents=True)
    (folder / "SR").mkdir()
    answers = []
    for photo in photos:
        image = Image.open(photo).convert("RGB")
        image.thumbnail((96, 96))
        image.save(folder / "HQ" / f"{photo.stem}.jpg")
        for strength, model in enumerate(("BSRGAN", "SwinIR", "SeeSR")):
            candidate = image.filter(ImageFilter.GaussianBlur(strength * 1.5 + rng.random()))
            buffer = io.BytesIO()
            candidate.save(buffer, "JPEG", quality=60)
            (folder / "SR" / f"{model}_{photo.stem}.png").write_bytes(buffer.getvalue())
            for user in range(5):
                said = "Yes" if rng.random() < 0.2 + 0.3 * strength else "No"
                names = (f"{photo.stem}.jpg", f"{model}_{photo.stem}.png")
                answers.append([f"user{user}", *names, said, f"2025-03-0{user + 1} 10:00:{len(answers) % 60:02d}"])
    with (folder / "answers.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["User Code", "Ground Truth Image", "Super Resolution Image", "Answer", "Timestamp"])
        writer.writerows(answers)


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_every_experiment_is_valid_as_it_stands(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEMFID_TEST_DATA", os.environ.get("SEMFID_TEST_DATA", "/data"))
    sweep = read_sweep(path, [])
    assert sweep.config.name == path.stem, "runs lie under the name of the file"
    assert len({(variant.label, variant.seed) for variant in sweep.variants}) == len(sweep.variants)


def test_the_source_document_s_table_is_whole() -> None:
    sweep = read_sweep(ROOT / "experiments" / "regressor_user_study.yaml", [])
    cells = {
        (
            v.config.backbone.name,
            v.config.needed_model.needed_head.keywords["depth"],
            v.config.needed_model.tuning,
        )
        for v in sweep.variants
    }
    assert cells == {
        (backbone, depth, tuning)
        for backbone in ("resnet50_imagenet", "resnet50_clip")
        for depth in (1, 2, 3)
        for tuning in ("frozen", "lora", "full")
    }
    assert len(sweep.variants) == 3 * len(cells)


SPECIAL = {
    "live_subset",
    "local_evidence",
    "clu_real",
    "ratings",
    "ratings_judge",
    "edits_heads",
    "default_metric",
    "regressor_user_study",
    "sr_with_semantic_loss",
    "sr_real_photos",
    "clu_inpainting",
    "clu_inpainting_mini",
    "clu_sr_maps",
    "regressor_c2c",
    "regressor_c2i",
    "training_free",
    "training_free_scenes",
    "study_simulated",
}


@pytest.mark.parametrize("path", [p for p in EXPERIMENTS if p.stem not in SPECIAL], ids=lambda path: path.stem)
def test_experiment_runs(path: Path, shrink: Callable[[Path], list[str]], tmp_path: Path) -> None:
    """What is run with one axis is found again with the next."""
    config = content(path)
    sweep = config.get("sweep", {})
    for words in one_axis_at_a_time(sweep):
        assert main(["ablate", str(path), *shrink(path), *words]) == 0
        rows = 1 if config.get("model") else 0  # training-free measures alone
        for key, values in sweep.items():
            rows *= 1 if key == "seed" or any(word.startswith(f"sweep.{key}=") for word in words) else len(values)
        table = tables(tmp_path / "runs", path.stem)
        assert len(table) == rows + len(config.get("baselines", []))
    for run in run_folders(tmp_path / "runs"):
        assert json.loads((run / "status.json").read_text())["state"] == "done"


def test_super_resolution_with_a_semantic_loss(
    shrink: Callable[[Path], list[str]], write_experiment: Write, scene_folder: Path, tmp_path: Path
) -> None:
    """On scenes, and on a folder of photos; the scorers are finished runs of two backbones."""
    sweep = {"model.backbone.init_seed": [0, 1]}
    scorers = write_experiment({"name": "scorers", "output": str(tmp_path / "scorers"), "sweep": sweep})
    assert main(["ablate", str(scorers)]) == 0
    path = ROOT / "experiments" / "sr_with_semantic_loss.yaml"
    words = [*shrink(path), f"model.semantic={tmp_path}/scorers/scorers/*=0_seed=0-*"]
    words += [
        f"model.judge={tmp_path}/scorers/scorers/*=1_seed=0-*",
        "data.scenes=24",
        "data.size=64",
        "data.batch_size=8",
    ]
    words.append(f"data.folder={scene_folder.with_name('sr_images')}")
    assert main(["ablate", str(path), *words]) == 0
    table = pd.read_csv(tmp_path / "runs" / path.stem / "results.csv")
    assert len(table) == 3 and (table["psnr"] > 10).all() and table["judged"].nunique() == 3
    runs = list(run_folders(tmp_path / "runs"))
    assert len(runs) == 3
    for run in runs:
        results = pd.read_csv(run / "results.csv")
        metrics = json.loads((run / "metrics.json").read_text())
        assert len(results) == metrics["images"] == 6
        assert metrics["figures"]["psnr"] == pytest.approx(results["psnr"].mean())
    photos = sorted(scene_folder.with_name("sr_images").rglob("*.png"))[:8]
    (tmp_path / "photos").mkdir()
    for photo in photos:
        shutil.copy(photo, tmp_path / "photos")
    own = [word for word in words if not word.startswith(("data.", "trainer.max_epochs"))]
    data = f"{{name: image_folder, path: {tmp_path / 'photos'}, image_size: 32, augment: [crop], batch_size: 4}}"
    assert main(["run", str(path), *own, f"data={data}", "model.semantic_weight=0.02", "trainer.max_epochs=1"]) == 0


def test_four_backbones_are_compared(shrink: Callable[[Path], list[str]], tmp_path: Path) -> None:
    """Two pretrainings, a backbone file and random weights are four variants with four results."""
    path = ROOT / "experiments" / "backbones_scenes.yaml"
    words = [*shrink(path), "sweep.model.head=[{name: cosine}]"]
    assert main(["ablate", str(path), *words]) == 0
    table = tables(tmp_path / "runs", "backbones_scenes").set_index("variant")
    assert len(table) == 4 + 2 and table["mse"].nunique() == len(table)
    pretrained = tmp_path / "runs" / "backbones_scenes" / "pretraining"
    assert sorted(run.name.rsplit("-", 1)[0] for run in pretrained.iterdir()) == ["contrastive", "supervised"]


def test_pretraining_is_on_another_world_and_alike_but_for_its_method() -> None:
    for name in ("backbones_scenes", "pretraining_scenes"):
        config = as_mapping(read_sweep(ROOT / "experiments" / f"{name}.yaml", []).config)
        entries = config["pretraining"]
        assert entries["supervised"]["data"] == entries["contrastive"]["data"]
        assert entries["supervised"]["trainer"] == entries["contrastive"]["trainer"]
        assert entries["supervised"]["model"]["optimizer"] == entries["contrastive"]["model"]["optimizer"]
        assert entries["supervised"]["data"]["seed"] != config["data"].get("seed", 0)


def test_live_subset(test_data: Callable[[str], Path], tmp_path: Path) -> None:
    """Human scores, real photos, a backbone trained on natural photos, full settings: leave one photo out."""
    test_data("live_subset"), test_data("trunks")
    path = ROOT / "experiments" / "live_subset.yaml"
    words = [f"output={tmp_path / 'runs'}", f"cache.folder={tmp_path / 'cache'}", "evaluation.bootstraps=50"]
    words += ["baselines=[psnr]", "trainer.accelerator=cpu", "trainer.devices=1"]
    for key, values in yaml.safe_load(path.read_text())["sweep"].items():
        words.append(f"sweep.{key}=[{json.dumps('log' if key.endswith('compress') else values[0])}]")
    assert main(["ablate", str(path), *words]) == 0
    table = tables(tmp_path / "runs", "live_subset")
    learned = table[~table["variant"].str.startswith("psnr")]
    assert len(learned) == 1
    assert learned["sources"].item() == 4
    assert learned["srcc"].item() > 0.975
    run = next(run for run in run_folders(tmp_path / "runs") if "psnr" not in run.name)
    predictions = pd.read_csv(run / "predictions.csv")
    assert predictions.groupby("fold")["source_id"].nunique().tolist() == [1, 1, 1, 1]
    assert predictions["source_id"].nunique() == 4


def _photos(test_data: Callable[[str], Path]) -> list[Path]:
    return sorted(test_data("koniq_photos").glob("*.jpg"))[:6]


@pytest.mark.parametrize("photos", ["real", "rendered"])
def test_user_study_in_the_author_s_layout(
    shrink: Callable[[Path], list[str]],
    test_data: Callable[[str], Path],
    tmp_path: Path,
    photos: str,
) -> None:
    """All tunings, and both backbones' stand-ins, a step each; the ResNet-50s themselves are in tests/backbones."""
    if photos == "real":
        files = _photos(test_data)
    else:
        from data_tools.synthetic import SceneSetConfig, write_image_folder

        write_image_folder(tmp_path / "scenes", SceneSetConfig(scenes=6, size=64))
        files = sorted((tmp_path / "scenes").rglob("*.png"))[:6]
    assert len(files) == 6
    study = tmp_path / "study"
    _in_author_s_layout(study, files)
    path = ROOT / "experiments" / "regressor_user_study.yaml"
    words = [
        *shrink(path),
        f"data.answers={study / 'answers.csv'}",
        f"data.references={study / 'HQ'}",
        f"data.candidates={study / 'SR'}",
        "data.workers=0",
        "data.image_size=32",
        "data.split={by: source, folds: 2, val: 0.3}",
        "model.backbone={name: timm, model: test_resnet, pretrained: none, lora_rank: 2}",
        "baselines=[psnr]",
        "sweep={}",
        f"sweep.model.backbone.model=[{'test_resnet' if photos == 'real' else 'test_resnet, test_byobnet'}]",
        "sweep.model.head.depth=[1, 3]" if photos == "rendered" else "sweep.model.head.depth=[2]",
        "sweep.model.backbone.tuning=[frozen, lora, full]"
        if photos == "real"
        else "sweep.model.backbone.tuning=[frozen]",
    ]
    assert main(["ablate", str(path), *words]) == 0
    table = tables(tmp_path / "runs", "regressor_user_study")
    assert len(table) == (3 if photos == "real" else 4) + 1
    assert (table["n"] == 18).all() and (table["sources"] == 6).all()
    answers = pd.read_csv(study / "answers.csv")
    rates = answers.groupby("Super Resolution Image")["Answer"].apply(lambda said: (said == "Yes").mean())
    for run in run_folders(tmp_path / "runs"):
        predictions = pd.read_csv(run / "predictions.csv")
        expected = [rates[f"{pair}.png"] for pair in predictions["pair_id"]]
        np.testing.assert_allclose(predictions["difference"], expected)
        assert set(predictions["origin"]) == {"BSRGAN", "SwinIR", "SeeSR"}
        assert predictions.groupby("source_id")["fold"].nunique().eq(1).all()
    assert "noise ceiling" in (tmp_path / "runs" / "regressor_user_study" / "results.md").read_text()
