"""A run that was cut off goes on to the same weights and predictions, to the bit."""

from __future__ import annotations

import json
import shutil
import signal
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from run_support import Write, experiment_writer, in_copy, only_run, plugin_name, run_folders, write_plugins

from registry import load_plugins
from semfid.cli import main

EPOCHS = 5


WriteFull = Callable[..., Path]


def _full(write: Write, plugins: list[str]) -> WriteFull:
    """Writes an experiment of a backbone that trains, a head with dropout, and a learning rate at which validation goes up
    and down."""

    def full(changes: dict[str, Any] | None = None) -> Path:
        return write(
            {
                "plugins": plugins,
                "model.backbone": {"name": plugin_name(plugins, "two_stages"), "tuning": "full"},
                "model.head": {"name": plugin_name(plugins, "dropout_mlp")},
                "model.optimizer": {"name": "adam", "lr": 0.03, "schedule": "cosine"},
                "trainer.max_epochs": EPOCHS,
                **(changes or {}),
            }
        )

    return full


@pytest.fixture
def write_full(write_experiment: Write, plugin_files: list[str]) -> WriteFull:
    return _full(write_experiment, plugin_files)


def _assert_same(run: Path, expected: Path) -> None:
    assert run.name == expected.name
    assert (run / "predictions.csv").read_bytes() == (expected / "predictions.csv").read_bytes()
    for path in sorted(expected.glob("part-*.ckpt")):
        a, b = (torch.load(file, weights_only=True)["state_dict"] for file in (run / path.name, path))
        assert a.keys() == b.keys()
        for name in a:
            assert torch.equal(a[name], b[name]), name
    epochs = [json.loads((r / "provenance.json").read_text())["selected_epochs"] for r in (run, expected)]
    assert epochs[0] == epochs[1]


def test_kill_9_after_the_first_checkpoint(
    write_full: Callable[..., Path], plugin_files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_full()
    assert main(["run", str(file), f"output={tmp_path / 'whole'}"]) == 0
    expected = only_run(tmp_path / "whole")
    head = sys.modules[Path(plugin_files[1]).stem]
    steps_an_epoch, head.steps = head.steps // EPOCHS, 0
    moment = {"TEST_CRASH_AT": str(steps_an_epoch + 1), "TEST_SIGNAL": str(int(signal.SIGKILL))}
    killed = in_copy("run", str(file), **moment)
    assert killed.returncode == -signal.SIGKILL, killed.stderr[-3000:]
    run = only_run(tmp_path / "runs")
    last = run / "checkpoints" / "part-0" / "last.ckpt"
    assert json.loads((run / "status.json").read_text())["state"] == "running"
    assert not (run / "metrics.json").exists() and not (run / "predictions.csv").exists()
    done = int(torch.load(last, weights_only=True)["epoch"]) + 1
    assert done == 1
    capsys.readouterr()
    assert main(["run", str(file)]) == 0
    told = [line for line in capsys.readouterr().err.splitlines() if f"/{EPOCHS} " in line and " epoch " in line]
    assert len(told) == EPOCHS - done, "it must go on, not start again"
    _assert_same(run, expected)


@pytest.mark.parametrize("monitor", ["val_mse", "last"])
def test_a_fault_in_any_epoch_changes_nothing(
    write_full: Callable[..., Path],
    plugin_files: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    monitor: str,
) -> None:
    """Every epoch in turn is the last before the fault: what was selected until then must be known afterwards."""
    file = write_full({"selection": {"monitor": monitor}})
    assert main(["run", str(file), f"output={tmp_path / 'whole'}"]) == 0
    expected = only_run(tmp_path / "whole")
    head = sys.modules[Path(plugin_files[1]).stem]
    steps_an_epoch = head.steps // EPOCHS
    monkeypatch.setenv("TEST_CRASH_AT", str(steps_an_epoch + 1))  # of the process: in the second epoch of each
    for _ in range(1, EPOCHS):
        head.steps = 0
        with pytest.raises(RuntimeError, match="power is out"):
            main(["run", str(file)])
        run = only_run(tmp_path / "runs")
        status = json.loads((run / "status.json").read_text())
        assert status["state"] == "failed" and "power is out" in status["error"]
        assert not (run / "metrics.json").exists()
    head.steps = 0
    assert main(["run", str(file)]) == 0
    assert head.steps == steps_an_epoch, "every epoch is trained once"
    _assert_same(only_run(tmp_path / "runs"), expected)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:4000])


def _change(path: Path) -> None:
    """One bit of a weight, which torch would load without a word."""
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        entry = max(archive.infolist(), key=lambda one: one.file_size)
    content[entry.header_offset + 200 + entry.file_size // 2] ^= 8
    path.write_bytes(bytes(content))


DAMAGES: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "cut": ("last.ckpt", _cut),
    "empty": ("last.ckpt", lambda path: path.write_bytes(b"")),
    "text": ("last.ckpt", lambda path: path.write_text("<html>")),
    "changed": ("last.ckpt", _change),
    "weights alone": ("last.ckpt", lambda path: torch.save({"weight": torch.zeros(3)}, path)),
    "the selected one cut": ("best.ckpt", _cut),
    "the selected one gone": ("best.ckpt", Path.unlink),
}


@dataclass(frozen=True)
class CutOff:
    """A run of three epochs, the same run ended in the third, and the experiment of both."""

    file: Path
    plugins: list[str]
    whole: Path
    cut: Path
    steps_an_epoch: int


@pytest.fixture(scope="module")
def cut_off(tmp_path_factory: pytest.TempPathFactory, scene_folder: Path) -> CutOff:
    folder = tmp_path_factory.mktemp("cut_off")
    plugins = write_plugins(folder, "cut")
    file = _full(experiment_writer(folder, scene_folder), plugins)({"trainer.max_epochs": 3})
    assert main(["run", str(file), f"output={folder / 'whole'}"]) == 0
    head = sys.modules[Path(plugins[1]).stem]
    steps_an_epoch, head.steps = head.steps // 3, 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEST_CRASH_AT", str(2 * steps_an_epoch + 1))
        with pytest.raises(RuntimeError, match="power is out"):
            main(["run", str(file), f"output={folder / 'cut'}"])
    return CutOff(file, plugins, folder / "whole", folder / "cut", steps_an_epoch)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_named_and_the_part_trained_anew(
    cut_off: CutOff, tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    shutil.copytree(cut_off.cut, tmp_path / "runs")
    run = only_run(tmp_path / "runs")
    name, damaged = DAMAGES[damage]
    bad = run / "checkpoints" / "part-0" / name
    damaged(bad)
    load_plugins(cut_off.plugins)
    head = sys.modules[Path(cut_off.plugins[1]).stem]
    head.steps = 0
    assert main(["run", str(cut_off.file), f"output={tmp_path / 'runs'}"]) == 0
    said = [line for line in capsys.readouterr().err.splitlines() if "trained anew" in line]
    assert len(said) == 1 and f"{bad} was cut short or changed; this part is trained anew" in said[0]
    assert head.steps == 3 * cut_off.steps_an_epoch
    _assert_same(run, only_run(cut_off.whole))


def test_a_checkpoint_that_may_not_be_read_is_kept(
    write_full: Callable[..., Path], plugin_files: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that fails for a moment is no reason to train anew."""
    import engine.training.checkpoints

    (tmp_path / "last.ckpt").write_bytes(b"x")

    def refused(path: Path) -> Any:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(engine.training.checkpoints, "load_whole", refused)
    with pytest.raises(PermissionError):
        engine.training.checkpoints.going_on(tmp_path, True, "t")
    assert (tmp_path / "last.ckpt").exists()


def test_an_epoch_that_was_not_validated_goes_on_too(
    write_full: Callable[..., Path], plugin_files: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut off before the first validation: there is no selected epoch yet, and none is missed."""
    file = write_full({"trainer.max_epochs": 4, "trainer.check_val_every_n_epoch": 2})
    assert main(["run", str(file), f"output={tmp_path / 'whole'}"]) == 0
    head = sys.modules[Path(plugin_files[1]).stem]
    steps_an_epoch, head.steps = head.steps // 4, 0
    monkeypatch.setenv("TEST_CRASH_AT", str(steps_an_epoch + 1))
    with pytest.raises(RuntimeError, match="power is out"):
        main(["run", str(file)])
    monkeypatch.delenv("TEST_CRASH_AT")
    head.steps = 0
    assert main(["run", str(file)]) == 0
    assert head.steps == 3 * steps_an_epoch
    _assert_same(only_run(tmp_path / "runs"), only_run(tmp_path / "whole"))


def test_early_stopping_is_not_trained_past(write_full: Callable[..., Path], tmp_path: Path) -> None:
    """Cut off between the end of a training that stopped early and the predictions."""
    file = write_full({"selection": {"monitor": "val_mse", "patience": 1}, "trainer.max_epochs": 30})
    assert main(["run", str(file)]) == 0
    run = only_run(tmp_path / "runs")
    last = run / "checkpoints" / "part-0" / "last.ckpt"
    stopped = torch.load(last, weights_only=True)["epoch"]
    assert stopped < 28, "it did not stop early"
    shutil.copytree(run, tmp_path / "kept" / run.name)
    for name in ("metrics.json", "predictions.csv", "parts/part-0.csv", "part-0.ckpt"):
        (run / name).unlink()
    (run / "status.json").write_text('{"state": "running"}')
    assert main(["run", str(file)]) == 0
    assert torch.load(last, weights_only=True)["epoch"] == stopped
    _assert_same(run, tmp_path / "kept" / run.name)


def test_folds_that_are_done_are_not_trained_again(
    write_full: Callable[..., Path], plugin_files: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_full({"data.split": {"folds": 3, "val": 0.2}, "trainer.max_epochs": 2})
    assert main(["run", str(file), f"output={tmp_path / 'whole'}"]) == 0
    head = sys.modules[Path(plugin_files[1]).stem]
    total, head.steps = head.steps, 0
    monkeypatch.setenv("TEST_CRASH_AT", str(total - 1))  # in the last fold's last epoch
    with pytest.raises(RuntimeError, match="power is out"):
        main(["run", str(file)])
    monkeypatch.delenv("TEST_CRASH_AT")
    head.steps = 0
    assert main(["run", str(file)]) == 0
    assert 0 < head.steps <= total // 6 + 1, "more than the last fold's last epoch was trained"
    _assert_same(only_run(tmp_path / "runs"), only_run(tmp_path / "whole"))


def test_a_cut_off_sweep_goes_on(
    write_experiment: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import engine.runs.execution

    file = write_experiment({"sweep": {"model.head.depth": [0, 1, 2], "seed": [0, 1]}})
    run_variant, begun = engine.runs.execution.run_variant, []

    def cut_off(variant: Any, *rest: Any) -> Any:
        begun.append(variant)
        if len(begun) == 4:
            raise KeyboardInterrupt
        return run_variant(variant, *rest)

    monkeypatch.setattr(engine.runs.execution, "run_variant", cut_off)
    assert main(["ablate", str(file)]) == 130
    captured = capsys.readouterr()
    assert captured.err.splitlines()[-1] == "semfid: interrupted; run the same command again to go on"
    assert not (tmp_path / "runs" / "t" / "results.csv").exists()
    before = {run: (run / "status.json").stat().st_mtime_ns for run in run_folders(tmp_path / "runs")}
    assert len(before) == 3
    monkeypatch.setattr(engine.runs.execution, "run_variant", run_variant)
    assert main(["ablate", str(file)]) == 0
    after = {run: (run / "status.json").stat().st_mtime_ns for run in run_folders(tmp_path / "runs")}
    assert len(after) == 6
    assert {run: after[run] for run in before} == before, "finished runs must not be touched"
    table = (tmp_path / "runs" / "t" / "results.csv").read_text()
    assert [f"depth={depth}," in table for depth in (0, 1, 2)] == [True] * 3
