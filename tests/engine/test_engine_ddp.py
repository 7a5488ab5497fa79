"""One process or two: the same predictions and figures; nothing repeated to fill up counts twice (notes 4.1 to 4.6)."""

from __future__ import annotations

import json
import multiprocessing
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import torch.distributed as dist
from run_support import Write, experiment_writer, only_run, plugin_name, predictions, started, write_plugins
from scipy.stats import spearmanr
from torch.utils.data import DistributedSampler

from backbones import build_backbone
from datamodules.samplers import EvaluationBatches, TrainBatches
from lightning_modules.global_regressor import GlobalRegressor
from lightning_modules.pair_module import score_figures
from registry import load_plugins
from semfid.cli import main

# the five items of notes/frameworks.md 4.1: 0.400 / 2.400; with DistributedSampler's repetition 0.118 / 3.500
LABELS, SCORES = np.arange(5.0), np.array([3.0, 0.0, 1.0, 2.0, 4.0])


def _gather_in(rank: int, store: str, padded: bool, module: GlobalRegressor, answers: Any) -> None:
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    rows = np.arange(5)
    if padded:
        batches = [[i] for i in DistributedSampler(rows.tolist(), num_replicas=2, rank=rank, shuffle=False)]
    else:
        batches = [[row for row, _ in batch] for batch in EvaluationBatches(rows, 2, rank, 2)]
    for batch in batches:
        module.collect(
            torch.tensor(batch), {"values": torch.from_numpy(np.stack([SCORES[batch], LABELS[batch]], axis=1))}
        )
    columns = module._gather()
    answers.put((rank, module.predicted[0].tolist(), score_figures(columns[:, 0], columns[:, 1])))
    dist.barrier()
    dist.destroy_process_group()


@pytest.mark.parametrize("padded", [False, True], ids=["our batches", "DistributedSampler's repetition"])
def test_five_items_on_two_processes_give_the_figures_of_one(tmp_path: Path, padded: bool) -> None:
    repeated = [0, 1, 2, 3, 4, 0]
    assert spearmanr(LABELS[repeated], SCORES[repeated])[0] == pytest.approx(0.118, abs=5e-4)  # what must not come out
    backbone = build_backbone("timm", {"model": "test_resnet", "pretrained": "none"})
    module = GlobalRegressor(backbone, {"name": "cosine"})
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    store = str(tmp_path / "store")
    processes = [context.Process(target=_gather_in, args=(r, store, padded, module, answers)) for r in range(2)]
    for process in processes:
        process.start()
    found = [answers.get(timeout=600) for _ in processes]
    for process in processes:
        process.join(timeout=600)
    for _, rows, figures in found:
        assert rows == [0, 1, 2, 3, 4]
        assert figures["srcc"] == pytest.approx(0.4, abs=1e-12)
        assert figures["mse"] == pytest.approx(2.4, abs=1e-12)


@pytest.mark.parametrize("count", [7, 8, 9, 15, 16])
@pytest.mark.parametrize("world", [1, 2, 3])
def test_every_number_of_processes_takes_the_same_steps(count: int, world: int) -> None:
    def steps(rank: int, world: int) -> list[list[tuple[int, float]]]:
        batches = TrainBatches(np.arange(count), count, 4, 3, rank, world)
        batches.set_epoch(2)
        taken = list(batches)
        assert len(taken) == len(batches)
        return taken

    alone = [sorted(row for row, _ in batch) for batch in steps(0, 1)]
    shares = [steps(rank, world) for rank in range(world)]
    assert {len(share) for share in shares} == {
        len(alone)
    }  # a process with a step fewer would leave the others waiting
    for number, whole in enumerate(alone):
        counted: dict[int, float] = {}
        for share in shares:
            assert share[number], "an empty batch"
            for row, total in share[number]:
                counted[row] = counted.get(row, 0.0) + 1.0 / total
        # each pair counts 1 / size of the whole batch; what fills up a share counts nothing
        assert {row for row, weight in counted.items() if weight > 0} == set(whole)
        assert all(weight in (0.0, 1.0 / len(whole)) for weight in counted.values())


# 13 scenes x 3: 15 training pairs in batches of 7, 7 and 1 (fewer than processes), 9 to select on, 15 to test
ODD = {"data.scenes": 13, "data.batch_size": 7, "data.split": {"val": 0.2, "test": 0.4}, "trainer.max_epochs": 3}
KINDS = ("frozen", "full", "maps")
# Lightning starts the script anew for the second process, as it does the command
SEVERAL_RUNS = """
import sys

from registry import load_plugins
from semfid.cli import main

for experiment in sys.argv[1].split(","):
    code = main(["run", experiment, *sys.argv[2:]])
    if code:
        sys.exit(code)
"""


@dataclass(frozen=True)
class OnOneAndOnTwo:
    """A run of each of `KINDS` in this process, and on two processes, which print `printed`."""

    runs: dict[str, tuple[Path, Path]]
    backbone: str
    plugins: list[str]
    printed: str


def _experiment(write: Write, plugins: list[str], kind: str) -> Path:
    model: dict[str, Any] = {"model.head": {"name": "lpips_linear", "depth": 1, "scale": "train", "bias": True}}
    if kind == "maps":  # a decoder without BatchNorm, whose statistics are of each process's share
        decoder = {"name": "unet_pixel", "max_width": 8, "norm": "group", "score": "learned"}
        model = {"model.name": "local_map", "model.head": decoder, "model.loss": "bce"}
    backbone = {"name": plugin_name(plugins, "two_stages"), "tuning": "full" if kind == "full" else "frozen"}
    changes = {
        **ODD,
        "name": kind,
        "plugins": plugins,  # they must be there in every process
        "model.backbone": backbone,
        "selection": {"monitor": "val_srcc"},
        **model,
    }
    return write(changes, f"{kind}.yaml")


@pytest.fixture(scope="module")
def on_one_and_on_two(tmp_path_factory: pytest.TempPathFactory, scene_folder: Path) -> OnOneAndOnTwo:
    folder = tmp_path_factory.mktemp("ddp")
    plugins, write = write_plugins(folder, "ddp"), experiment_writer(folder, scene_folder)
    files = [str(_experiment(write, plugins, kind)) for kind in KINDS]
    for file in files:
        assert main(["run", file, f"output={folder / 'one'}", f"cache.folder={folder / 'c1'}"]) == 0
    (folder / "several_runs.py").write_text(SEVERAL_RUNS)
    two = ["trainer.devices=2", "trainer.strategy=ddp", f"output={folder / 'two'}", f"cache.folder={folder / 'c2'}"]
    done = started(sys.executable, str(folder / "several_runs.py"), ",".join(files), *two)
    assert done.returncode == 0, done.stderr[-3000:]
    runs = {kind: (only_run(folder / "one" / kind), only_run(folder / "two" / kind)) for kind in KINDS}
    return OnOneAndOnTwo(runs, plugin_name(plugins, "two_stages"), plugins, done.stdout)


def test_one_process_of_two_speaks(on_one_and_on_two: OnOneAndOnTwo) -> None:
    assert on_one_and_on_two.printed.count(" mse ") == len(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_on_two_processes_equals_a_run_on_one(on_one_and_on_two: OnOneAndOnTwo, kind: str) -> None:
    a, b = on_one_and_on_two.runs[kind]
    assert a.name == b.name, "the hash must not depend on the number of processes"
    expected, got = predictions(a), predictions(b)
    assert len(expected) == 15
    assert expected["predicted"].std() > 1e-3  # they could differ
    assert got["pair_id"].tolist() == expected["pair_id"].tolist()
    np.testing.assert_allclose(got["predicted"], expected["predicted"], atol=1e-5)
    figures_a, figures_b = (json.loads((run / "metrics.json").read_text())["pooled"] for run in (a, b))
    # a correlation divides by the spread: predictions that are 1e-5 apart move it by up to 1e-5 / spread
    assert figures_b == pytest.approx(figures_a, abs=1e-5 / min(1.0, float(expected["predicted"].std())))
    facts_a, facts_b = (json.loads((run / "provenance.json").read_text()) for run in (a, b))
    assert facts_b["fit"] == ("cached statistics" if kind == "frozen" else "images")
    assert facts_b["selected_epochs"] == facts_a["selected_epochs"]
    if kind == "maps":
        tables = [pd.read_csv(run / "maps.csv").set_index("pair_id") for run in (a, b)]
        shared = ["mse", "average_precision", "iou"]
        np.testing.assert_allclose(tables[1][shared], tables[0].loc[tables[1].index, shared], atol=1e-3)
    if kind == "full":
        states = [torch.load(run / "part-0.ckpt", weights_only=True)["state_dict"] for run in (a, b)]
        assert states[0].keys() == states[1].keys()
        for name, value in states[0].items():
            torch.testing.assert_close(states[1][name], value, atol=1e-5, rtol=1e-4, msg=name)
        load_plugins(on_one_and_on_two.plugins)
        initial = build_backbone(on_one_and_on_two.backbone, {}).net["deep"][0].weight
        assert (states[0]["backbone.net.deep.0.weight"] - initial).abs().max() > 1e-3, "the backbone did not train"
