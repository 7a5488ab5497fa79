"""What the tests of runs share: one small experiment, its file, plugins, and the command inside and outside this process."""

from __future__ import annotations

import copy
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import yaml

from engine.config.schema import RunConfig
from semfid.cli import main
from semfid.settings import validate

ROOT = Path(__file__).resolve().parents[2]
SEMFID = str(Path(sys.executable).with_name("semfid"))

SMALL: dict[str, Any] = {
    "name": "t",
    "data": {
        "name": "scenes",
        "scenes": 12,
        "candidates_per_scene": 3,
        "size": 64,
        "image_size": 64,
        "batch_size": 8,
        "split": {"val": 0.2, "test": 0.3},
    },
    "model": {
        "name": "global_regressor",
        "backbone": {"name": "timm", "model": "test_resnet", "pretrained": "none"},
        "head": {"name": "lpips_linear", "depth": 3, "scale": "train"},
        "optimizer": {"name": "adam", "lr": 0.02},
    },
    "fit": "gradient",  # most tests of runs are about training; exact fits have their own
    "evaluation": {"bootstraps": 20},
    "trainer": {"accelerator": "cpu", "devices": 1, "max_epochs": 3},
}

# a backbone with BatchNorm and with a layer that no stage depends on, as a CLIP tower's attention pooling
BACKBONE_PLUGIN = """
import torch
from torch import nn

from engine.plugins import BACKBONES, Backbone


@BACKBONES.register("two_stages", summary="two convolutions")
class TwoStages(Backbone):
    def __init__(self, tuning: str = "frozen", width: int = 6) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(5)
            net = nn.ModuleDict({
                "stem": nn.Sequential(nn.Conv2d(3, width, 3, 2, 1), nn.BatchNorm2d(width), nn.ReLU()),
                "deep": nn.Sequential(nn.Conv2d(width, 2 * width, 3, 2, 1), nn.BatchNorm2d(2 * width), nn.ReLU()),
                "pool": nn.Linear(2 * width, 4),
            })
        super().__init__(net, name="two", channels=[width, 2 * width], strides=[2, 4], embed_dim=4, tuning=tuning)

    def _stages(self, images: torch.Tensor) -> list[torch.Tensor]:
        stem = self.net["stem"](images)
        return [stem, self.net["deep"](stem)]

    def _embed(self, images: torch.Tensor) -> torch.Tensor:
        return self.net["pool"](self._stages(images)[1].mean(dim=(2, 3)))
"""

# a head with dropout that ends the process's work at a given training step: by an error, or by a signal to the process itself, so
# that no test needs to catch the right moment
HEAD_PLUGIN = """
import os

import torch
from torch import nn

from engine.plugins import HEADS, Head, BackboneShape

steps = 0


@HEADS.register("dropout_mlp", summary="MLP with dropout")
class DropoutMlp(Head):
    input_kind = "pooled_squared_differences"

    def __init__(self, backbone: BackboneShape, rate: float = 0.3) -> None:
        super().__init__()
        width = sum(backbone.channels)
        self.mlp = nn.Sequential(nn.Linear(width, 16), nn.ReLU(), nn.Dropout(rate), nn.Linear(16, 1, bias=False))

    def forward(self, statistic: torch.Tensor) -> torch.Tensor:
        global steps
        steps += int(self.training)
        if self.training and steps == int(os.environ.get("TEST_CRASH_AT", "-1")):
            if "TEST_SIGNAL" in os.environ:
                os.kill(os.getpid(), int(os.environ["TEST_SIGNAL"]))
            raise RuntimeError("the power is out")
        return self.mlp(statistic).squeeze(1)
"""


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`base` with dotted keys set."""
    result = copy.deepcopy(base)
    for key, value in changes.items():
        *path, last = key.split(".")
        node = result
        for part in path:
            node = node.setdefault(part, {})
        node[last] = value
    return result


def typed(config: dict[str, Any]) -> RunConfig:
    """A resolved configuration, held against the schema."""
    return validate(RunConfig, config, "test")


@pytest.fixture(scope="session")
def scene_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rendered scenes that all tests share."""
    return tmp_path_factory.mktemp("scenes")


Write = Callable[..., Path]


def experiment_writer(folder: Path, scenes: Path) -> Write:
    """Writes a small experiment with some dotted keys set otherwise; runs and cache lie below the folder."""

    def write(changes: dict[str, Any] | None = None, file: str = "x.yaml") -> Path:
        here = {"data.folder": str(scenes), "output": str(folder / "runs")}
        content = merged(SMALL, {**here, "cache.folder": str(folder / "cache"), **(changes or {})})
        if content["data"]["name"] != "scenes":
            for key in ("folder", "scenes", "candidates_per_scene", "size"):
                content["data"].pop(key, None)
        path = folder / file
        path.write_text(yaml.safe_dump(content, sort_keys=False))
        return path

    return write


@pytest.fixture
def write_experiment(tmp_path: Path, scene_folder: Path) -> Write:
    return experiment_writer(tmp_path, scene_folder)


def write_plugins(folder: Path, own: str) -> list[str]:
    """The two plugins as files, with names of their own, since a plugin is imported once per process."""
    files = []
    for kind, text in (("backbone", BACKBONE_PLUGIN), ("head", HEAD_PLUGIN)):
        for name in ("two_stages", "dropout_mlp"):
            text = text.replace(f'"{name}"', f'"{name}_{own}"')
        path = folder / f"plugin_{kind}_{own}.py"
        path.write_text(text)
        files.append(str(path))
    return files


@pytest.fixture
def plugin_files(tmp_path: Path, request: pytest.FixtureRequest) -> list[str]:
    return write_plugins(tmp_path, f"{zlib.crc32(request.node.nodeid.encode()):x}")


def plugin_name(files: list[str], name: str) -> str:
    """The registered name of one of `plugin_files`."""
    return f"{name}_{Path(files[0]).stem.rsplit('_', 1)[1]}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(**more: str) -> dict[str, str]:
    clean = {k: v for k, v in os.environ.items() if k not in ("LOCAL_RANK", "NODE_RANK", "WORLD_SIZE")}
    return {**clean, "OMP_NUM_THREADS": "1", "MASTER_PORT": str(free_port()), "HF_HUB_OFFLINE": "1", **more}


def semfid(*arguments: str, timeout: float = 600, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the real command."""
    return started(SEMFID, *arguments, timeout=timeout, **env)


def started(*command: str, timeout: float = 600, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a process group of its own; at the time limit it is ended hard with all that it started."""
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment(**env),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=_heed_interrupts,
    )
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        out, err = process.communicate()
        pytest.fail(f"{' '.join(command)} took more than {timeout} s\n{err[-3000:]}")
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def _heed_interrupts() -> None:
    """Tests that run in the background inherit an ignored SIGINT; the command started here must not."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def in_copy(*arguments: str, timeout: float = 600, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own that is a copy of this one: it may end itself, but imports nothing anew.

    On a machine with a GPU, whose torch cannot be copied once it has run, the real command.
    """
    if torch.cuda.is_available():
        return semfid(*arguments, timeout=timeout, **env)
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = multiprocessing.get_context("fork").Process(
            target=_command, args=(arguments, out.fileno(), err.fileno(), environment(**env))
        )
        process.start()
        process.join(timeout)
        if process.is_alive():
            process.kill()
            pytest.fail(f"semfid {' '.join(arguments)} took more than {timeout} s")
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(arguments, process.exitcode or 0, out.read(), err.read())


def _command(arguments: Sequence[str], out: int, err: int, env: dict[str, str]) -> None:
    os.dup2(out, 1)
    os.dup2(err, 2)
    sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
    os.environ.clear()
    os.environ.update(env)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(main(arguments))


def run_folders(output: Path) -> list[Path]:
    return sorted(path.parent for path in output.rglob("status.json"))


def only_run(output: Path) -> Path:
    found = run_folders(output)
    assert len(found) == 1, found
    return found[0]


def predictions(folder: Path) -> pd.DataFrame:
    table = pd.read_csv(folder / "predictions.csv", dtype={"pair_id": str, "source_id": str})
    return table.sort_values("pair_id").reset_index(drop=True)
