"""The command as it is typed: start-up, list, scenes, plugins, interrupts, two at a time."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from run_support import ROOT, Write, in_copy, only_run, plugin_name, run_folders
from scipy.stats import spearmanr

import engine.plugins
from registry import REGISTRIES
from semfid.cli import main


def test_help_imports_nothing_heavy() -> None:
    code = """
import sys
from semfid.cli import main
for command in ("", "run", "ablate", "scenes", "score", "export", "list"):
    try:
        main([*command.split(), "--help"])
    except SystemExit as ended:
        assert not ended.code, command
    heavy = {"torch", "lightning", "numpy", "pandas", "timm", "omegaconf", "rich", "registry", "PIL"} & set(sys.modules)
    assert not heavy, f"{command}: imported {heavy}"
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("usage: semfid") == 7


def test_usage_errors_exit_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["train"], ["run"], ["run", "x.yaml", "--jobs", "2"], ["ablate", "x.yaml", "--jobs", "0"]):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 2
    with pytest.raises(SystemExit) as ended:
        main(["run", "x.yaml", "--check", "stray"])
    assert ended.value.code == 2 and "unrecognized arguments: stray" in capsys.readouterr().err


def test_overrides_may_stand_on_both_sides_of_options(
    write_experiment: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_experiment({"sweep": {"model.head.depth": [0, 1]}})
    assert main(["run", str(file), "trainer.max_epochs=1", "--variant", "2", "seed=5"]) == 0
    config = yaml.safe_load((only_run(tmp_path / "runs") / "config.yaml").read_text())
    assert (config["seed"], config["trainer"]["max_epochs"], config["model"]["head"]["depth"]) == (5, 1, 1)
    printed = capsys.readouterr().out
    figures = json.loads((only_run(tmp_path / "runs") / "metrics.json").read_text())["pooled"]
    assert f"srcc {figures['srcc']:.4f}" in printed and f"mse {figures['mse']:.4f}" in printed


def test_list_shows_everything_with_its_keywords(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    out = capsys.readouterr().out
    for kind, registry in REGISTRIES.items():
        section = re.search(rf"^{kind}:\n((?:  .*\n)*)", out, re.M)
        assert section is not None
        assert re.findall(r"^  (\w+): ", section[1], re.M) == registry.names()
        for entry in registry.describe():
            assert f"  {entry.name}: {entry.summary}\n      " in section[1]
            for keyword in entry.keywords:
                assert re.search(rf"\b{keyword}\b", section[1])
    assert re.search(r"depth=3, normalize='none'", out)
    assert re.search(r"^      .*heads/linear\.py:\d+$", out, re.M), "where it stands, relative to the clone"
    for kind, registry in REGISTRIES.items():
        assert main(["list", kind]) == 0
        assert capsys.readouterr().out.startswith(f"{kind}:\n  {registry.names()[0]}: ")
    assert main(["list", "head"]) == 2
    assert "no kind 'head'; did you mean 'heads'" in capsys.readouterr().err


def test_list_with_plugins(plugin_files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "heads", "--plugins", *plugin_files]) == 0
    out = capsys.readouterr().out
    assert f"  {plugin_name(plugin_files, 'dropout_mlp')}: MLP with dropout\n      rate=0.3\n" in out
    assert plugin_files[1] in out


@pytest.mark.parametrize(
    ("form", "expected"),
    [("pairs", ["pairs.csv", "references", "candidates"]), ("coco", ["annotations"]), ("images", [])],
)
def test_scenes(tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str, expected: list[str]) -> None:
    arguments = ["scenes", str(tmp_path / form), f"format={form}", "scenes=5", "size=64", "seed=3"]
    if form == "pairs":
        arguments.append("candidates_per_scene=2")
    assert main(arguments) == 0
    printed = Path(capsys.readouterr().out.strip())
    assert printed.exists() and tmp_path / form in [printed, *printed.parents]
    names = [path.name for path in (tmp_path / form).rglob("*")]
    assert set(expected) <= set(names)
    assert len([name for name in names if name.endswith((".png", ".jpg"))]) >= 5
    if form == "pairs":
        assert len(pd.read_csv(printed)) == 10


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("scene=3", "did you mean 'scenes'"),
        ("scenes=x", "must be a whole number"),
        ("scenes", "format=pairs|coco|images|regions"),
        ("format=voc", "format=pairs|coco|images|regions"),
        ("scenes=0", "scenes=0 must be 1 or more"),
        ("size=9", "size"),
    ],
)
def test_scenes_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str], setting: str, says: str) -> None:
    assert main(["scenes", str(tmp_path / "out"), setting]) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1 and says in error[0]
    assert main(["scenes", "/dev/null/x", "scenes=1", "size=64"]) == 2
    assert not (tmp_path / "out" / "pairs.csv").exists()


# docs/plugins.md promises a backbone and a head in under 30 lines each
THIRD_PARTY = """
import torch
from torch import nn

from engine.plugins import BACKBONES, HEADS, Backbone, Head, BackboneShape


@BACKBONES.register("mean_colour", summary="local mean colours")
class MeanColour(Backbone):
    def __init__(self, cell: int = 8) -> None:
        super().__init__(nn.AvgPool2d(cell), name=f"mean-{cell}", channels=[3], strides=[cell], embed_dim=3)

    def _stages(self, images: torch.Tensor) -> list[torch.Tensor]:
        return [self.net(images)]

    def _embed(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean(dim=(2, 3))


@HEADS.register("loudest", summary="the largest channel difference, scaled")
class Loudest(Head):
    input_kind = "pooled_squared_differences"

    def __init__(self, backbone: BackboneShape) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(()))

    def forward(self, statistic: torch.Tensor) -> torch.Tensor:
        return self.gain * statistic.amax(dim=1)
"""


def test_a_third_party_backbone_and_head_run_end_to_end(write_experiment: Write, tmp_path: Path) -> None:
    assert max(len(part.splitlines()) for part in THIRD_PARTY.split("\n\n\n")) < 30
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "third_party_colours.py").write_text(THIRD_PARTY)
    file = write_experiment(
        {
            "plugins": ["sub/third_party_colours.py"],  # relative to the YAML, wherever the command runs
            "model.backbone": {"name": "mean_colour"},
            "model.head": {"name": "loudest"},
        }
    )
    assert main(["ablate", str(file)]) == 0
    run = only_run(tmp_path / "runs")
    table = pd.read_csv(run / "predictions.csv")
    figures = json.loads((run / "metrics.json").read_text())["pooled"]
    assert figures["srcc"] == pytest.approx(spearmanr(table["difference"], table["predicted"])[0], abs=1e-12)
    assert table["predicted"].nunique() > 5


def test_what_plugins_import_is_what_the_framework_uses() -> None:
    import backbones
    import heads
    import registry

    assert engine.plugins.HEADS is registry.HEADS and engine.plugins.BACKBONES is registry.BACKBONES
    assert engine.plugins.Head is heads.Head and engine.plugins.Backbone is backbones.Backbone


def test_ctrl_c_in_a_training_exits_with_130(write_experiment: Write, plugin_files: list[str], tmp_path: Path) -> None:
    """Lightning by itself turns an interrupt into exit code 1."""
    file = write_experiment(
        {
            "plugins": plugin_files,
            "model.backbone": {"name": plugin_name(plugin_files, "two_stages"), "tuning": "full"},
            "model.head": {"name": plugin_name(plugin_files, "dropout_mlp")},
            "trainer.max_epochs": 1000,
        }
    )
    done = in_copy("run", str(file), TEST_CRASH_AT="12", TEST_SIGNAL=str(int(signal.SIGINT)))
    error = done.stderr
    assert done.returncode == 130, error[-2000:]
    assert error.splitlines()[-1] == "semfid: interrupted; run the same command again to go on"
    assert "Traceback" not in error
    run = only_run(tmp_path / "runs")
    assert json.loads((run / "status.json").read_text())["state"] == "running"
    assert not (run / "metrics.json").exists()


def test_jobs_run_variants_in_processes_of_their_own(
    write_experiment: Write, plugin_files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two at a time; one of them ends in a fault of the plugin, which the others do not notice."""
    name = plugin_name(plugin_files, "dropout_mlp")
    Path(plugin_files[1]).write_text(
        re.sub(r"if self\.training and .*:", "if self.mlp[2].p == 0.5:", Path(plugin_files[1]).read_text())
    )
    file = write_experiment(
        {
            "plugins": plugin_files,
            "model.head": {"name": name},
            "sweep": {"model.head.rate": [0.1, 0.5]},
        }
    )
    assert main(["ablate", str(file), "--jobs", "2"]) == 1
    captured = capsys.readouterr()
    assert "FAILED rate=0.5 seed=0: RuntimeError: the power is out" in captured.err
    assert "| rate=0.1 " in captured.out and "rate=0.5" not in captured.out
    states = {run.name.split("_")[0]: json.loads((run / "status.json").read_text()) for run in run_folders(tmp_path)}
    assert states["rate=0.1"]["state"] == "done" and states["rate=0.5"]["state"] == "failed"
    failed = next(run for run in run_folders(tmp_path) if run.name.startswith("rate=0.5"))
    assert "Traceback" in (failed / "error.txt").read_text()


def test_many_slots_for_few_variants_come_to_an_end(write_experiment: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """More slots than variants: none may wait for work that another one took."""
    from engine.runs import execution
    from engine.runs.context import RunContext
    from engine.runs.sweep import read_sweep

    class Process:
        returncode = 0

        def __init__(self, *_: Any, **__: Any) -> None:
            pass

        def communicate(self) -> tuple[str, str]:
            return "", ""

    monkeypatch.setattr(execution.subprocess, "Popen", Process)
    sweep = read_sweep(write_experiment({"sweep": {"seed": [0, 1, 2]}}), [])
    for _ in range(5):
        outcomes = execution.ProcessPool(sweep, RunContext(), 16).run()
        assert [outcome.state for outcome in outcomes] == ["done"] * 3


def test_missing_clone_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delitem(sys.modules, "engine.commands.list", raising=False)
    monkeypatch.setitem(sys.modules, "registry", None)
    assert main(["list"]) == 2
    assert "'list' needs the clone's environment (no module 'registry')" in capsys.readouterr().err
    monkeypatch.setattr("semfid.clone.in_clone", lambda: False)
    assert main(["list"]) == 2
    assert "'list' needs the clone of the repository" in capsys.readouterr().err
