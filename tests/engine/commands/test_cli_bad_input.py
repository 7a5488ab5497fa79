"""Every mistake: one line with file, key and fix, exit code 2, nothing left that could be taken for a result."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from run_support import Write, run_folders

from semfid.cli import main

Fails = Callable[..., str]


@pytest.fixture
def fails(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Fails:
    """Run a command that must fail; returns its one line."""

    def run(*arguments: str | Path, code: int = 2) -> str:
        capsys.readouterr()
        assert main([str(word) for word in arguments]) == code
        captured = capsys.readouterr()
        lines = [line for line in captured.err.splitlines() if line.startswith("semfid: ")]
        assert len(lines) == 1, captured.err
        assert captured.err.splitlines()[-1] == lines[0]
        assert "Traceback" not in captured.err and "Traceback" not in captured.out
        assert len(lines[0]) < 600, lines[0]
        for run in run_folders(tmp_path):
            assert json.loads((run / "status.json").read_text())["state"] != "done"
        assert not list(tmp_path.rglob("metrics.json"))
        assert not list(tmp_path.rglob("results*.csv"))
        return lines[0]

    return run


# override, what the line must say
OVERRIDES = [
    ("sed=1", r"'sed'; did you mean 'seed'\?"),
    ("seed", "not key=value"),
    ("seed=", "not key=value"),
    ("=1", "not key=value"),
    ("model.head={name: [1", "not YAML"),
    ("seed=abc", r"x\.yaml: seed='abc' should be int"),
    ("selection.monitr=last", r"x\.yaml: unknown key 'selection\.monitr'; did you mean 'monitor'"),
    ("selection.monitor=val_srce", r"x\.yaml: selection\.monitor is 'val_srce'; did you mean 'val_srcc'"),
    ("selection.patience=soon", r"selection\.patience"),
    ("evaluation.bootstraps=0", r"evaluation: bootstraps must be at least 1"),
    ("cache.max_gb=much", r"cache\.max_gb"),
    ("data=scenes", r"x\.yaml: data"),
    ("data.name=scene", r"x\.yaml: data: no datamodule 'scene'; did you mean 'scenes'"),
    ("data.image_sise=32", r"data: .*image_sise.*did you mean 'image_size'"),
    ("data.image_size=big", r"image_size='big' should be int"),
    ("data.image_size=4", r"data\.image_size is 4; it must be at least 16"),
    ("data.batch_size=0", r"data\.batch_size is 0; it must be at least 1"),
    ("data.scenes=1", "1 sources: too few"),
    ("data.split.vall=0.1", r"data\.split has no key 'vall'; did you mean 'val'"),
    ("data.split.folds=1", r"folds=1 is impossible"),
    ("data.split.folds=99", r"folds=99 is impossible; choose 2 to 12"),
    ("data.split.file=nowhere.csv", r"data\.split\.file: no file nowhere\.csv"),
    ("data.weights=vote", r"should be one of 'none', 'votes'; did you mean 'votes'"),
    ("model=global_regressor", r"x\.yaml: model"),
    ("model.name=global_regresor", r"did you mean 'global_regressor'"),
    ("model.backbone=null", r"model\.backbone must be a name"),
    ("model.backbone.name=resnet50_imagnet", r"model\.backbone: no backbone .*did you mean 'resnet50_imagenet'"),
    ("model.backbone.tuning=frosen", r"should be one of .*did you mean 'frozen'"),
    ("model.backbone.model=test_resne", r"timm has no model 'test_resne'; did you mean 'test_resnet'"),
    ("model.backbone.pretrained=gone.safetensors", r"pretrained: no file gone\.safetensors; write hub, none"),
    ("model.head.name=lpips_liner", r"model\.head: no head 'lpips_liner'; did you mean 'lpips_linear'"),
    ("model.head.dept=1", r"no keyword 'dept'; did you mean 'depth'"),
    ("model.head.depth=9", r"depth=9 .*choose 0 to 4"),
    ("model.head.depth=one", r"depth='one' should be int"),
    ("model.loss=msee", r"model\.loss: no loss 'msee'; did you mean 'mse'"),
    ("model.optimizer.name=adamm", r"model\.optimizer\.name is 'adamm'; did you mean 'adam'"),
    ("model.optimizer.lr=-1", r"model\.optimizer\.lr is -1; it must be a positive number"),
    ("model.optimizer.lr=fast", r"model\.optimizer\.lr is 'fast'; it must be a positive number"),
    ("model.optimizer.betas=1", r"model\.optimizer: adam refuses"),
    ("model.optimizer.momentun=1", r"model\.optimizer: adam has no keyword 'momentun'"),
    ("trainer.max_epoch=3", r"trainer: lightning\.Trainer has no keyword 'max_epoch'; did you mean \['max_epochs'"),
    ("trainer.max_epochs=abc", r"trainer\.max_epochs is 'abc'; it must be int or null"),
    ("trainer.max_epochs=1.5", r"trainer\.max_epochs is 1\.5; it must be int"),
    ("trainer.max_epochs=0", r"trainer\.max_epochs is 0; it must be at least 1"),
    ("trainer.fast_dev_run=true", r"trainer\.fast_dev_run .*limit_train_batches"),
    ("trainer.devices=none", r"trainer: .*devices"),
    ("trainer.precision=33", r"trainer.*33"),
    ("trainer.accelerator=warp", r"trainer: .*warp"),
    ("trainer.logger=true", r"trainer\.logger is set by the engine"),
    ("trainer.strategy=ddp_spawn", r"trainer\.strategy: ddp_spawn .*use ddp"),
    ("output=/dev/null/x", r"/dev/null/x.*(set output=|by output=)"),
    ("cache.folder=/dev/null/x", r"/dev/null/x.*cache\.folder="),
    ("data.folder=/dev/null/x", r"/dev/null/x.*choose a folder"),
    ("plugins=[nowhere.py]", r"plugins: no file .*nowhere\.py"),
    ("plugins=[no.such.module]", r"plugins: no\.such\.module fails to import"),
    ("baselines=[psnrr]", r"baselines: no training-free metric 'psnrr'; did you mean 'psnr'"),
]


@pytest.mark.parametrize(("override", "says"), OVERRIDES, ids=[override for override, _ in OVERRIDES])
def test_override(write_experiment: Write, fails: Fails, override: str, says: str) -> None:
    line = fails("run", write_experiment(), override)
    assert re.search(says, line), line
    if not re.search("^override ", line.removeprefix("semfid: ")):
        assert "x.yaml" in line, "the line must name the file"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("accelerator", ["gpu", "cuda"])
def test_gpu_where_there_is_none(write_experiment: Write, fails: Fails, accelerator: str) -> None:
    line = fails("ablate", write_experiment(), f"trainer.accelerator={accelerator}")
    assert "sees no GPU; set trainer.accelerator=auto" in line


@pytest.mark.parametrize(
    ("sweep", "says"),
    [
        ({"model.hed.depth": [1]}, "sweep.model.hed.depth: there is no section 'hed'; did you mean 'head'?"),
        ({"sed": [1]}, "sweep.sed: no such key; did you mean 'seed'?"),
        ({"model.head.depth": []}, "must be a list of values"),
        ({"model.head.depth": 2}, "must be a list of values"),
        ({"seed": [1, 1]}, "names a value twice"),
        ({"seed": ["a"]}, "sweep.seed='a' should be int"),
        ({"evaluation.bootstraps": ["many"]}, "sweep.evaluation.bootstraps='many' should be int"),
        ({"compile": ["perhaps"]}, "sweep.compile"),
        ({"model.head.depth": [1, "two"]}, "depth='two' should be int (variant 2: depth=two)"),
        ({"trainer.max_epochs": [1, 0]}, "trainer.max_epochs is 0; it must be at least 1 (variant 2: max_epochs=0)"),
    ],
    ids=str,
)
def test_sweep_is_checked_whole_before_anything_runs(
    write_experiment: Write, fails: Fails, tmp_path: Path, sweep: dict[str, Any], says: str
) -> None:
    line = fails("ablate", write_experiment({"sweep": sweep}))
    assert says in line and "x.yaml" in line
    assert not (tmp_path / "runs").exists()


def test_variant_out_of_range(write_experiment: Write, fails: Fails) -> None:
    file = write_experiment({"sweep": {"seed": [0, 1]}})
    assert "--variant 3" in fails("run", file, "--variant", "3")
    for bad in ("0", "-1", "x"):
        with pytest.raises(SystemExit) as ended:
            main(["run", str(file), "--variant", bad])
        assert ended.value.code == 2


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name: [x", "is not a YAML file"),
        ("- a\n- b\n", "must hold a mapping"),
        ("", "is missing"),
        ("name: x\nname: y\n", "is not a YAML file"),
        ("nam: x\n", "unknown key 'nam'; did you mean 'name'?"),
        ("extends: gone.yaml\nname: x\n", "no experiment file"),
        ("extends: 3\nname: x\n", "extends is 3"),
        ("extends: y.yaml\n", "extends itself"),
        (
            "name: x\ndata: {name: a}\nmodel: {name: b}\noutput: ${oc.env:NO_SUCH_VARIABLE}\n",
            "'NO_SUCH_VARIABLE' not found",
        ),
        ("name: x\ndata: {name: a}\nmodel: {name: b}\noutput: ${not.there}\n", "not.there"),
        ("name: \xff\n", "is not a YAML file"),
    ],
)
def test_file(tmp_path: Path, fails: Fails, text: str, says: str) -> None:
    (tmp_path / "y.yaml").write_bytes(text.encode("latin-1"))
    line = fails("run", tmp_path / "y.yaml")
    assert says in line
    assert ("gone.yaml" if "gone" in text else "y.yaml") in line


def test_file_that_is_not_there(write_experiment: Write, fails: Fails, tmp_path: Path) -> None:
    write_experiment(file="experiment.yaml")
    line = fails("run", tmp_path / "experimnt.yaml")
    assert "experimnt.yaml; did you mean 'experiment.yaml'?" in line
    assert "y.yaml" in fails("run", tmp_path / "nowhere" / "y.yaml")
    assert str(tmp_path) in fails("run", tmp_path)  # a folder


# ---------------------------------------------------------------- data


@pytest.fixture
def write_table(pair_folder: Callable[..., Path], write_experiment: Write) -> Callable[..., tuple[Path, Path]]:
    """A pair table, edited by a function, and an experiment on it."""

    def write(change: Callable[[pd.DataFrame], pd.DataFrame] | None = None, **more: Any) -> tuple[Path, Path]:
        table = pair_folder(sources=6, each=2)
        frame = pd.read_csv(table)
        if change is not None:
            change(frame).to_csv(table, index=False)
        data = {"name": "pairs", "table": str(table), "image_size": 32, "split": {"val": 0.2, "test": 0.3}}
        return write_experiment({"data": data, **more}), table

    return write


Table = Callable[..., tuple[Path, Path]]


def _unvoted(frame: pd.DataFrame) -> pd.DataFrame:
    labels = frame["yes_votes"] / frame["votes"]
    return frame.drop(columns=["yes_votes", "votes"]).assign(difference=labels)


TABLES: list[tuple[str, Callable[[pd.DataFrame], pd.DataFrame], str]] = [
    ("empty", lambda f: f.iloc[:0], "has no rows"),
    ("constant labels", lambda f: _unvoted(f).assign(difference=0.25), "every difference is 0.25; constant labels"),
    ("NaN label", lambda f: _unvoted(f).assign(difference=[0.1, float("nan")] * 6), "pair 'p0_1' has no difference"),
    ("label over 1", lambda f: _unvoted(f).assign(difference=[0.1, 7.0] * 6), "outside [0, 1]"),
    ("text label", lambda f: _unvoted(f).assign(difference=["0.1", "high"] * 6), "row 3: difference is 'high'"),
    ("no label", lambda f: f.drop(columns=["yes_votes", "votes"]), "has no labels"),
    ("no column", lambda f: f.drop(columns=["candidate"]), "lacks the column candidate"),
    ("twice", lambda f: f.assign(pair_id="p"), "'p' occurs more than once"),
    (
        "leak",
        lambda f: f.assign(split=["train", "test"] * 6),
        "source_id 's0' stands in split test and train (6 such sources)",
    ),
    ("votes", lambda f: f.assign(yes_votes=99), "need 0 <= yes_votes <= votes"),
    ("side", lambda f: f.assign(split="training"), "use train, val or test"),
]


@pytest.mark.parametrize(("change", "says"), [row[1:] for row in TABLES], ids=[row[0] for row in TABLES])
@pytest.mark.parametrize("command", ["run", "ablate"])
def test_table(
    write_table: Table, fails: Fails, command: str, change: Callable[[pd.DataFrame], pd.DataFrame], says: str
) -> None:
    file, table = write_table(change)
    line = fails(command, file)
    assert says in line and str(table) in line, line


def test_table_that_is_not_there(write_experiment: Write, fails: Fails) -> None:
    file = write_experiment({"data": {"name": "pairs", "table": "gone.csv"}})
    assert "data.table: no such file or folder gone.csv" in fails("run", file)


def test_missing_image(write_table: Table, fails: Fails) -> None:
    file, table = write_table()
    (table.parent / "candidates" / "m1_s3.png").unlink()
    for arguments in (["run"], ["ablate"], ["run", "--check"]):
        line = fails(arguments[0], file, *arguments[1:])
        assert "m1_s3.png" in line and re.search(r"check the path \(?in the pair table", line)


@pytest.mark.parametrize(
    ("content", "workers"),
    [(b"", 0), (b"no image at all", 0), ("half", 0), ("half", 1)],
    ids=["empty", "text", "truncated", "truncated, read by a worker"],
)
def test_corrupt_image(write_table: Table, fails: Fails, content: bytes | str, workers: int) -> None:
    file, table = write_table()
    image = table.parent / "candidates" / "m1_s3.png"
    image.write_bytes(content if isinstance(content, bytes) else image.read_bytes()[:200])
    workers_key = f"data.workers={workers}"
    for arguments in (["run", "--check"], ["run"], ["run", "trainer.accumulate_grad_batches=1"], ["ablate"]):
        code = 1 if arguments[0] == "ablate" else 2  # there it is one variant's failure
        line = fails(arguments[0], file, workers_key, *arguments[1:], code=code)
        assert "m1_s3.png" in line and "replace it or drop the pair" in line, line


def test_check_reads_every_image_and_trains_nothing(
    write_table: Table, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, _ = write_table()
    assert main(["run", str(file), "--check"]) == 0
    assert main(["ablate", "--check", str(file), "seed=3"]) == 0
    assert "fine" in capsys.readouterr().out
    assert not (tmp_path / "runs").exists()


# ---------------------------------------------------------------- checkpoints of another backbone


def test_checkpoint_of_another_backbone(
    write_experiment: Write, fails: Fails, plugin_files: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cut-off run whose backbone has other weights by now."""
    import timm

    file = write_experiment({"trainer.accumulate_grad_batches": 1, "trainer.max_epochs": 2})
    assert main(["run", str(file)]) == 0
    run = run_folders(tmp_path / "runs")[0]
    for name in ("metrics.json", "predictions.csv", "parts/part-0.csv"):
        (run / name).unlink()
    (run / "status.json").write_text('{"state": "running"}')
    create = timm.create_model

    def other(*arguments: Any, **keywords: Any) -> Any:
        net = create(*arguments, **keywords)
        next(net.parameters()).data.mul_(1.5)
        return net

    monkeypatch.setattr(timm, "create_model", other)
    shutil.rmtree(tmp_path / "cache", ignore_errors=True)
    line = fails("run", file, "trainer.max_epochs=2")
    assert "belongs to the backbone timm.test_resnet-" in line and "use the backbone" in line


# ---------------------------------------------------------------- full disk


@pytest.mark.parametrize("path", ["cached", "images"])
@pytest.mark.parametrize("full_after", [0, 1, 2, 3, 5, 8])
def test_full_disk(
    write_experiment: Write,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    full_after: int,
    path: str,
) -> None:
    """The disk fills up at the n-th file that is written; afterwards there is room, and the same command finishes."""
    more = [] if path == "cached" else ["trainer.accumulate_grad_batches=1"]
    file = write_experiment({"trainer.max_epochs": 2})
    assert main(["run", str(file), "--check"]) == 0  # renders the scenes
    replace, left = os.replace, [full_after]

    def full(*arguments: Any) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(*arguments)

    capsys.readouterr()
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        code = main(["run", str(file), *more])
    error = capsys.readouterr().err
    assert code == 2 and "Traceback" not in error
    assert "No space left on device" in error.splitlines()[-1] and "free some space" in error.splitlines()[-1]
    for run in run_folders(tmp_path / "runs"):
        assert json.loads((run / "status.json").read_text())["state"] != "done"
    assert main(["run", str(file), *more]) == 0
    assert "done" in (run_folders(tmp_path / "runs")[0] / "status.json").read_text()


def test_full_disk_while_a_checkpoint_is_written(
    write_experiment: Write, fails: Fails, monkeypatch: pytest.MonkeyPatch
) -> None:
    import lightning.pytorch.trainer.trainer as lightning_trainer

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "last.ckpt")

    monkeypatch.setattr(lightning_trainer.Trainer, "save_checkpoint", full)
    line = fails("run", write_experiment(), "trainer.accumulate_grad_batches=1")
    assert "No space left on device" in line and "free some space" in line


def test_full_disk_does_not_take_a_sweep_s_neighbours(
    write_experiment: Write, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from engine.runs import lifecycle

    finish, write_text = lifecycle.save, Path.write_text

    def fault(variant: Any, *rest: Any) -> None:
        if variant.seed == 1:
            raise RuntimeError("a fault of ours")
        finish(variant, *rest)

    def full(path: Path, *rest: Any, **more: Any) -> int:
        if path.name == "error.txt":
            raise OSError(errno.ENOSPC, "No space left on device")
        return write_text(path, *rest, **more)

    monkeypatch.setattr(lifecycle, "save", fault)
    monkeypatch.setattr(Path, "write_text", full)
    assert main(["ablate", str(write_experiment({"sweep": {"seed": [0, 1, 2]}}))]) == 1
    captured = capsys.readouterr()
    assert "FAILED t seed=1: RuntimeError: a fault of ours" in captured.err
    states = [json.loads((run / "status.json").read_text())["state"] for run in run_folders(tmp_path / "runs")]
    assert sorted(states) == ["done", "done", "failed"]


def test_a_pipe_that_closes_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed(io.StringIO):
        def write(self, _text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr("sys.stdout", Closed())
    assert main(["list", "heads"]) == 0
