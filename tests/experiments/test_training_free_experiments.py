"""Experiments without training, and trainings on pseudo-labels: a few steps each."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from experiment_support import tables
from run_support import ROOT, predictions, run_folders

from data_tools.synthetic import SceneSetConfig, write_pair_set
from engine.runs.sweep import read_sweep
from semfid.cli import main
from semfid.settings import as_mapping

SMALL_BACKBONE = "model.backbone={name: timm, model: test_resnet, pretrained: none}"


@pytest.fixture
def in_tmp(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Captions and vectors are kept below the working directory."""
    monkeypatch.chdir(tmp_path)


def test_measures_of_the_scenes(
    shrink: Callable[[Path], list[str]], tmp_path: Path, in_tmp: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The experiment as it stands, on few scenes; a second look captions and embeds nothing, whatever the batch size."""
    path = ROOT / "experiments" / "training_free_scenes.yaml"
    words = [*shrink(path), "data.image_size=96", "data.size=96", "data.batch_size=5"]
    assert main(["ablate", str(path), *words]) == 0
    table = tables(tmp_path / "runs", path.stem)
    assert len(table) == len(read_sweep(path, []).config.baselines) and table["n"].nunique() == 1
    assert set(table["note"]) == {"training-free, uncalibrated"}
    assert (tmp_path / "runs" / path.stem / "report.html").stat().st_size > 0

    from models.captioners.scenes_captioner import ScenesCaptioner
    from models.dual_encoders.scenes_tower import ScenesDualEncoder

    def never(*rest: object) -> None:
        raise AssertionError("it is in the cache")

    monkeypatch.setattr(ScenesCaptioner, "_caption", never)
    monkeypatch.setattr(ScenesDualEncoder, "_embed_pixels", never)
    again = [word for word in words if not word.startswith(("data.batch_size", "output"))]
    kept = [own.written for own in read_sweep(path, []).config.baselines if {"tower", "captioner"} & {*own.keywords}]
    kept = [own for own in kept if own["name"] != "splice"]
    again += ["data.batch_size=64", f"output={tmp_path / 'again'}", f"baselines={json.dumps(kept)}"]
    assert main(["ablate", str(path), *again]) == 0
    others = run_folders(tmp_path / "again")
    assert len(others) == 3
    for other in others:
        (run,) = (tmp_path / "runs" / path.stem).glob(f"{other.name.rsplit('-', 1)[0]}-*")
        np.testing.assert_allclose(predictions(other)["predicted"], predictions(run)["predicted"], atol=1e-5)
        config = yaml.safe_load((run / "config.yaml").read_text())
        assert all(
            name in config["identities"][key] for key, name in (("tower", "scenes_tower"),) if key in config["model"]
        )


def test_measures_of_any_pair_table(
    shrink: Callable[[Path], list[str]], tmp_path: Path, in_tmp: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every pair is tested, and a measure whose weights are not here does not stop the others."""
    table = write_pair_set(tmp_path / "set", SceneSetConfig(scenes=4, candidates_per_scene=2, size=64))
    path = ROOT / "experiments" / "training_free.yaml"
    few = "[psnr, {name: backbone_cosine, backbone: {name: timm, model: test_resnet, pretrained: none}}, clip_cosine]"
    words = [*shrink(path), f"data.table={table}", "data.workers=0", f"baselines={few}"]
    assert main(["ablate", str(path), *words]) == 1
    found = tables(tmp_path / "runs", path.stem)
    assert len(found) == 2 and (found["n"] == 8).all()
    error = capsys.readouterr().err
    assert "semfid: FAILED clip_cosine: dual encoder: open_clip: cannot get open_clip's ViT-B-16 'openai'" in error
    assert main(["run", str(path), *words]) == 2
    assert "there is no model to train; `semfid ablate` scores the baselines" in capsys.readouterr().err
    assert main(["ablate", str(path), *words, "--check"]) == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["baselines=[]"], "there is neither a model nor a baseline"),
        (["baselines=[{name: i2i, tower: open_clop}]"], "baselines: i2i: tower: no dual encoder 'open_clop'"),
        (
            ["baselines=[{name: c2c, captioner: {name: qwen2_vl, modle: x}}]"],
            "c2c: captioner: captioner 'qwen2_vl' has",
        ),
        (["baselines=[psnr]", "init_from=runs/x"], "init_from is of a model, and there is none"),
        (
            ["baselines=[psnr]", "data={name: image_folder, path: x}"],
            "baselines are metrics of pairs, and data gives single",
        ),
    ],
)
def test_mistakes_without_a_model(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ablate", str(ROOT / "experiments" / "training_free.yaml"), *words]) == 2
    assert said in capsys.readouterr().err


def _labelled_set(folder: Path) -> tuple[Path, Path]:
    """What `semfid label` leaves of an SR-outputs set, and a study of which two photos are in the set."""
    table = write_pair_set(folder / "set", SceneSetConfig(scenes=8, candidates_per_scene=3, size=64))
    frame = pd.read_csv(table)
    draw = np.random.default_rng(0)
    noisy = (frame["difference"] + draw.normal(0, 0.1, len(frame))).clip(0, 1)
    train = frame.drop(columns=["difference", "yes_votes", "votes", "map"], errors="ignore")
    train.assign(c2c=noisy, c2i=noisy**2, split="train").to_csv(folder / "set" / "labelled.csv", index=False)
    other = write_pair_set(folder / "other", SceneSetConfig(scenes=4, candidates_per_scene=3, size=64, seed=1))
    study = pd.read_csv(other)
    shared = frame[frame["source_id"].isin(sorted(frame["source_id"].unique())[:2])]
    for column in ("reference", "candidate", "map"):
        if column in study.columns:
            study[column] = [str(other.parent / value) if isinstance(value, str) else value for value in study[column]]
            shared = shared.assign(
                **{column: [str(table.parent / value) if isinstance(value, str) else value for value in shared[column]]}
            )
    pd.concat([study, shared]).to_csv(folder / "study.csv", index=False)
    return folder / "set" / "labelled.csv", folder / "study.csv"


def test_pseudo_labels_train_and_people_judge(
    shrink: Callable[[Path], list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both experiments, and the user study that goes on from one of their runs."""
    labelled, answers = _labelled_set(tmp_path)
    data = [
        f"data.train.table={labelled}",
        f"data.test.answers={answers}",
        "data.workers=0",
        "data.batch_size=6",
        "data.split={val: 0.2}",
    ]
    for name in ("regressor_c2c", "regressor_c2i"):
        path = ROOT / "experiments" / f"{name}.yaml"
        words = [*shrink(path), *data, SMALL_BACKBONE, "sweep={}", "sweep.model.head.depth=[1, 3]"]
        assert main(["ablate", str(path), *words]) == 0
        table = tables(tmp_path / "runs", name)
        assert len(table) == 2 + 2 and (table["n"] == 18).all() and (table["sources"] == 6).all()
        assert "train: 6 pairs of 2 photos left out, for they are tested" in capsys.readouterr().err
        assert "noise ceiling" in (tmp_path / "runs" / name / "results.md").read_text()
    study = pd.read_csv(answers)
    for run in run_folders(tmp_path / "runs"):
        found = predictions(run)
        np.testing.assert_allclose(found["difference"], study.sort_values("pair_id")["difference"], atol=1e-6)
    # on from the captions, on the study's other photos
    (start,) = (run for run in run_folders(tmp_path / "runs" / "regressor_c2c") if "depth=3" in run.name)
    path = ROOT / "experiments" / "regressor_user_study.yaml"
    words = [*shrink(path), f"data.answers={answers}", "data.workers=0", "data.batch_size=6", SMALL_BACKBONE]
    words += ["data.split={val: 0.2, test: 0.3}", "model.head.depth=3"]
    assert main(["run", str(path), *words, "start=random", f"init_from={start}"]) == 0
    (tuned,) = run_folders(tmp_path / "runs" / "regressor_user_study")
    assert json.loads((tuned / "provenance.json").read_text())["init_from"] == str(start)
    assert main(["run", str(path), *words, f"init_from={start}", "model.head.depth=2"]) == 2
    assert "its model.head.depth is 3 and here it is 2" in capsys.readouterr().err


def test_the_yamls_name_both_pseudo_labels() -> None:
    columns = {}
    for name in ("c2c", "c2i"):
        config = as_mapping(read_sweep(ROOT / "experiments" / f"regressor_{name}.yaml", []).config)
        columns[name] = config["data"]["train"]["columns"]
        assert config["data"]["test"]["name"] == "user_study" and config["data"]["train"]["name"] == "pairs"
    assert columns == {"c2c": {"difference": "c2c"}, "c2i": {"difference": "c2i"}}
    free = read_sweep(ROOT / "experiments" / "training_free.yaml", []).config
    names = {metric.name for metric in free.baselines}
    assert {"psnr", "ssim", "ms_ssim", "lpips", "clip_cosine", "siglip_cosine", "dinov2_cosine", "c2c", "c2i"} <= names
