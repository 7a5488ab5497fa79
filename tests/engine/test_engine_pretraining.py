"""Pretraining as an axis: trained once, before its variants, and part of what their results depend on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from run_support import SMALL, merged, run_folders

import engine.runs.pretraining
from engine.config.pretraining_section import pretraining_config
from engine.runs.sweep import read_sweep
from lightning_modules.contrastive import Contrastive
from semfid.cli import main

Make = Callable[..., Path]


@pytest.fixture(scope="session")
def image_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scene_images")


@pytest.fixture
def write_axis(tmp_path: Path, scene_folder: Path, image_folder: Path) -> Make:
    """A small pair experiment that compares two pretrainings and none, with some dotted keys set otherwise."""
    data = {
        "name": "scene_images", "folder": str(image_folder), "scenes": 40, "size": 64, "image_size": 32,
        "batch_size": 16, "split": {"val": 0.2}, "in_memory": True,
    }  # fmt: skip

    def entry(name: str, **more: Any) -> dict[str, Any]:
        return {"data": data, "model": {"name": name, **more}, "trainer": {"max_epochs": 1}}

    content = merged(
        SMALL,
        {
            "data.folder": str(scene_folder),
            "output": str(tmp_path / "runs"),
            "cache.folder": str(tmp_path / "cache"),
            "trainer.max_epochs": 1,
            "pretraining": {"words": entry("contrastive"), "hashed": entry("contrastive", text="hashed_words")},
            "sweep": {"model.backbone.pretrained": ["words", "none"], "model.head": [{"name": "cosine"}]},
        },
    )

    def write(changes: dict[str, Any] | None = None) -> Path:
        (tmp_path / "x.yaml").write_text(yaml.safe_dump(merged(content, changes or {}), sort_keys=False))
        return tmp_path / "x.yaml"

    return write


def runs(tmp_path: Path) -> dict[str, str]:
    """State by name of the folder, pretrainings with their parent's name before."""
    return {
        ("pretraining/" if run.parent.name == "pretraining" else "") + run.name: json.loads(
            (run / "status.json").read_text()
        )["state"]
        for run in run_folders(tmp_path / "runs")
    }


def test_axis_end_to_end(write_axis: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_axis({"sweep": {"model.backbone.pretrained": ["words", "hashed", "none"], "seed": [0, 1]}})
    assert main(["ablate", str(file)]) == 0
    table = pd.read_csv(tmp_path / "runs" / "t" / "results.csv").set_index("variant")
    assert sorted(table.index) == ["pretrained=hashed", "pretrained=none", "pretrained=words"]
    assert table["plcc"].nunique() == 3 and table["seeds"].tolist() == [2, 2, 2]
    names = runs(tmp_path)
    assert set(names.values()) == {"done"} and len(names) == 2 + 3 * 2
    assert [name.rsplit("-", 1)[0] for name in names if name.startswith("pretraining/")] == [
        "pretraining/hashed",
        "pretraining/words",
    ]
    backbone = next((tmp_path / "runs" / "t" / "pretraining").glob("words-*/trunk.safetensors"))
    run = next((tmp_path / "runs" / "t").glob("pretrained=words_seed=1-*"))
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert config["model"]["backbone"]["pretrained"] == str(backbone) and config["pretrained_by"] == "words"
    assert config["choices"]["model.backbone.pretrained"] == "words"
    capsys.readouterr()
    before = {run: (run / "status.json").stat().st_mtime_ns for run in run_folders(tmp_path / "runs")}
    assert main(["ablate", str(file)]) == 0
    assert "epoch" not in capsys.readouterr().err, "nothing is trained again"
    assert before == {run: (run / "status.json").stat().st_mtime_ns for run in run_folders(tmp_path / "runs")}


def test_run_trains_what_it_needs_and_ablate_finds_it(
    write_axis: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_axis()
    assert main(["run", str(file), "--variant", "1", "--pretraining"]) == 0
    path = Path(capsys.readouterr().out.strip())
    assert path.name == "trunk.safetensors" and path.is_file() and len(runs(tmp_path)) == 1
    assert main(["run", str(file), "--variant", "2", "--pretraining"]) == 2
    assert "names no entry of pretraining" in capsys.readouterr().err
    assert main(["run", str(file), "--variant", "1"]) == 0
    first = next(name for name in runs(tmp_path) if name.startswith("pretrained=words"))
    assert main(["ablate", str(file)]) == 0
    assert len(runs(tmp_path)) == 3 and first in runs(tmp_path)
    # the same result in another place has the same name
    assert main(["run", str(file), "--variant", "1", f"output={tmp_path / 'other'}"]) == 0
    assert (tmp_path / "other" / "t" / first / "metrics.json").is_file()


def test_downstream_hash_follows_the_pretraining(write_axis: Make, tmp_path: Path) -> None:
    file = write_axis({"sweep": {}, "model.backbone.pretrained": "words"})
    assert main(["run", str(file)]) == 0
    assert main(["run", str(file), "pretraining.words.model.temperature=0.2"]) == 0
    assert main(["run", str(file), "model.backbone.tuning=frozen"]) == 0
    names = runs(tmp_path)
    assert len([name for name in names if name.startswith("pretraining/")]) == 2, "tuning is not the pretraining's"
    assert len(names) == 2 + 3 and len({*names}) == 5


def test_the_pretraining_is_of_the_variant_s_architecture(write_axis: Make) -> None:
    backbone = {
        "name": "timm",
        "model": "test_vit",
        "pretrained": "words",
        "tuning": "lora",
        "lora_rank": 2,
        "init_seed": 4,
    }
    file = write_axis({"model.backbone": backbone, "trainer.precision": "32-true", "sweep": {}})
    (variant,) = read_sweep(file, []).variants
    own = pretraining_config(variant.config, "words").as_mapping()
    assert own["model"]["backbone"] == {
        "name": "timm", "model": "test_vit", "pretrained": "none", "tuning": "full", "init_seed": 4, "batch_norm": "train",
    }  # fmt: skip
    assert own["trainer"] == {"accelerator": "cpu", "devices": 1, "precision": "32-true", "max_epochs": 1}
    assert own["selection"]["monitor"] == "last" and own["seed"] == 0


def test_a_failed_pretraining_fails_its_variants_only(
    write_axis: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Contrastive, batch: Any, index: int) -> Any:
        raise RuntimeError("the power is out")

    file = write_axis({"sweep": {"model.backbone.pretrained": ["words", "none"], "seed": [0, 1]}})
    with monkeypatch.context() as context:
        context.setattr(Contrastive, "training_step", broken)
        assert main(["ablate", str(file)]) == 1
    failed = [line for line in capsys.readouterr().err.splitlines() if line.startswith("semfid: FAILED")]
    assert len(failed) == 2 and all(
        "its pretraining 'words' failed: RuntimeError: the power is out" in line for line in failed
    )
    table = pd.read_csv(tmp_path / "runs" / "t" / "results.csv")
    assert table["variant"].tolist() == ["pretrained=none"]
    (run,) = (tmp_path / "runs" / "t" / "pretraining").iterdir()
    assert json.loads((run / "status.json").read_text())["state"] == "failed" and (run / "error.txt").is_file()
    assert main(["ablate", str(file)]) == 0, "it is tried again"
    assert len(pd.read_csv(tmp_path / "runs" / "t" / "results.csv")) == 2


def test_pretraining_data_that_is_not_there(write_axis: Make, capsys: pytest.CaptureFixture[str]) -> None:
    gone = {"name": "image_folder", "path": "nowhere"}
    file = write_axis({"pretraining.words.data": gone})
    assert main(["ablate", str(file), "--check"]) == 2
    assert "no such file or folder nowhere" in capsys.readouterr().err
    assert main(["ablate", str(file)]) == 1
    assert "its pretraining 'words' failed" in capsys.readouterr().err


def test_check_trains_nothing(write_axis: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(engine.runs.pretraining, "train_task", lambda *_: pytest.fail("trained"))
    assert main(["ablate", str(write_axis()), "--check"]) == 0
    assert "40 images, " in capsys.readouterr().err and not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"sweep": {"model.backbone.pretrained": ["wrods"]}},
            "did you mean 'words'? (there are: hub, none, words, hashed)",
        ),
        ({"pretraining.hub": {}}, "pretraining.hub: 'hub' is a word of pretrained: already"),
        ({"pretraining.tests": {}}, "pretraining.tests: 'tests' is also a file or folder"),
        ({"pretraining": {"a/b": {}}}, "a name is made of letters"),
        ({"pretraining.words.trainr": {}}, "pretraining.words: unknown key 'trainr'; did you mean 'trainer'"),
        ({"pretraining.words": {"model": {"name": "contrastive"}}}, "pretraining.words has no 'data'"),
        ({"pretraining.words.trainer": {}}, "say how long to train, by max_epochs or max_steps"),
        ({"pretraining.words.model.backbone": {"name": "timm"}}, "the architecture is that of the variant; remove it"),
        (
            {"pretraining.words.model.name": "contrastve"},
            "pretraining.words: model: no lightning module 'contrastve'; did you",
        ),
        ({"pretraining.words.model.tempera": 1.0}, "pretraining.words: model: "),
        ({"pretraining.words.model.name": "global_regressor"}, "learns from pairs"),
        ({"pretraining.words.data.name": "scenes"}, "pretraining.words: data: "),
        ({"pretraining.words.selection": {"monitor": "val_recal1"}}, "did you mean 'val_recall1'"),
        ({"pretraining.words.seed": "x"}, "pretraining.words.seed is 'x'"),
        ({"pretraining.words.trainer.devices": 2, "pretraining.words.trainer.strategy": "ddp"}, "spans 2 processes"),
    ],
    ids=str,
)
def test_mistakes_are_named(
    write_axis: Make,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
    says: str,
) -> None:
    monkeypatch.chdir(Path(__file__).resolve().parents[2])
    assert main(["ablate", str(write_axis(changes))]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert says in line and "x.yaml" in line, line
    assert not (tmp_path / "runs").exists()
