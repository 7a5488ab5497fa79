"""The run folder: what is written, what its name depends on, what is run again and what is not."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from run_support import Write, merged, only_run, plugin_name, predictions, run_folders, typed
from safetensors.torch import save_file
from scipy.stats import kendalltau, pearsonr, spearmanr
from sklearn.metrics import mean_absolute_error, mean_squared_error

from backbones import build_backbone
from engine.config.expansion import Variant
from engine.runs.context import RunContext
from engine.runs.run_folder import RunFolder, run_hash
from engine.runs.sweep import read_sweep
from lightning_modules.global_regressor import GlobalRegressor
from lightning_modules.scorer import load_finished
from semfid.cli import main
from semfid.errors import UserError


def test_what_a_run_leaves(write_experiment: Write, tmp_path: Path) -> None:
    file = write_experiment({"data.split": {"folds": 3, "val": 0.2}, "seed": 6})
    assert main(["run", str(file)]) == 0
    run = only_run(tmp_path / "runs")
    assert run.parent == tmp_path / "runs" / "t" and run.name.startswith("seed=6-")
    names = {path.name for path in run.iterdir()} - {".lock"}
    checkpoints = {"part-0.ckpt", "part-1.ckpt", "part-2.ckpt"}
    files = {"config.yaml", "metrics.json", "predictions.csv", "provenance.json", "split.csv", "status.json", "events"}
    assert names == files | checkpoints
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert config["seed"] == 6 and config["model"]["head"]["depth"] == 3 and config["selection"]["monitor"] == "val_mse"
    table = predictions(run)
    assert list(table.columns)[:3] == ["pair_id", "source_id", "origin"]
    assert {"fold", "split", "difference", "predicted"} <= set(table.columns)
    facts = json.loads((run / "provenance.json").read_text())
    assert (facts["precision"], facts["float32_products"]) == ("32-true", "float32")
    assert {"commit", "versions", "seed", "table_hash", "data_hash", "trunk_identity", "device", "wall_s"} <= set(facts)
    assert (
        facts["seed"] == 6 and facts["leaky"] is False and facts["versions"]["torch"] == torch.__version__.split("+")[0]
    )
    events = {path.parent.name for path in (run / "events").rglob("events.out.*")}
    assert events == {"part-0", "part-1", "part-2", "final"}


def test_predictions_are_out_of_fold_and_figures_are_scipy_s(write_experiment: Write, tmp_path: Path) -> None:
    file = write_experiment({"data.split": {"folds": 3, "val": 0.2}, "evaluation.bootstraps": 60})
    assert main(["run", str(file)]) == 0
    run, sweep = only_run(tmp_path / "runs"), read_sweep(file, [])
    data = RunContext().data(sweep.variants[0].config)
    table = predictions(run).set_index("pair_id")
    assert len(table) == len(data.table) == 36
    # each pair's prediction comes from the part that did not see its photo
    head = sweep.variants[0].config.model.head
    backbone = build_backbone("timm", {"model": "test_resnet", "pretrained": "none"})
    for part in data.parts:
        seen = {data.table.frame["source_id"][row] for row in (*part.train, *part.val)}
        module = GlobalRegressor(backbone, head.written)
        state = torch.load(run / f"part-{part.index}.ckpt", weights_only=True)
        assert state["trunk_identity"] == backbone.identity
        module.load_state_dict(state["state_dict"])
        module.eval()
        for row in part.test.tolist():
            name = data.table.frame["pair_id"][row]
            assert table["source_id"][name] not in seen
            assert table["fold"][name] == part.index
            images = [data.dataset.image(p[row])[None] / 255 for p in (data.dataset.reference, data.dataset.candidate)]
            with torch.no_grad():
                assert float(module(*images)) == pytest.approx(table["predicted"][name], abs=1e-4)
    label, score = table["difference"].to_numpy(), table["predicted"].to_numpy()
    content = json.loads((run / "metrics.json").read_text())
    expected = {
        "n": 36,
        "sources": 12,
        "srcc": spearmanr(label, score)[0],
        "krcc": kendalltau(label, score)[0],
        "plcc": pearsonr(label, score)[0],
        "mse": mean_squared_error(label, score),
        "mae": mean_absolute_error(label, score),
        "rmse": mean_squared_error(label, score) ** 0.5,
        "constant": False,
    }
    for name, value in expected.items():
        assert content["pooled"][name] == pytest.approx(value, abs=1e-12), name
    for name, (low, high) in content["interval"].items():
        assert low <= high, name
    assert content["bootstraps"] == 60 and content["level"] == 0.95
    for fold, figures in content["folds"].items():
        own = table[table["fold"] == int(fold)]
        assert figures["mse"] == pytest.approx(mean_squared_error(own["difference"], own["predicted"]), abs=1e-12)
    assert set(content["origin"]) == set(table["origin"])
    for origin, figures in content["origin"].items():
        own = table[table["origin"] == origin]
        assert figures["n"] == len(own)
        assert figures["mae"] == pytest.approx((own["difference"] - own["predicted"]).abs().mean(), abs=1e-12)


BASE = {
    "seed": 0,
    "name": "x",
    "data": {"name": "pairs", "table": "t.csv", "batch_size": 8, "image_size": 64},
    "model": {"name": "g", "backbone": {"name": "timm", "pretrained": "none"}, "head": {"name": "h", "depth": 2}},
    "selection": {"monitor": "val_mse", "patience": None},
    "trainer": {"max_epochs": 3, "precision": "32-true"},
    "output": "runs",
    "cache": {"enabled": True},
}


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"data.batch_size": 9},
        {"data.image_size": 65},
        {"data.weights": "votes"},
        {"data.split": {"folds": 3}},
        {"model.head.depth": 1},
        {"model.backbone.tuning": "full"},
        {"model.loss": "huber"},
        {"selection.monitor": "last"},
        {"selection.patience": 2},
        {"trainer.max_epochs": 4},
        {"trainer.precision": "bf16-mixed"},
        {"trainer.gradient_clip_val": 1.0},
    ],
    ids=str,
)
def test_the_hash_changes_with_what_determines_the_result(change: dict[str, Any]) -> None:
    assert run_hash(typed(merged(BASE, change)), "d") != run_hash(typed(copy.deepcopy(BASE)), "d")


@pytest.mark.parametrize(
    "change",
    [
        {"data.workers": 4},
        {"data.in_memory": True},
        {"data.folder": "elsewhere"},
        {"trainer.devices": 4},
        {"trainer.strategy": "ddp"},
        {"trainer.accelerator": "gpu"},
        {"trainer.num_nodes": 2},
        {"trainer.enable_progress_bar": True},
        {"output": "elsewhere"},
        {"cache.enabled": False},
        {"name": "y"},
    ],
    ids=str,
)
def test_the_hash_does_not_change_with_where_and_how(change: dict[str, Any]) -> None:
    assert run_hash(typed(merged(BASE, change)), "d") == run_hash(typed(copy.deepcopy(BASE)), "d")


def test_the_hash_knows_data_and_weights(tmp_path: Path) -> None:
    assert run_hash(typed(BASE), "d") != run_hash(typed(BASE), "e")
    path = tmp_path / "trunk.safetensors"
    config = merged(BASE, {"model.backbone.pretrained": str(path)})
    save_file({"w": torch.zeros(3)}, path)
    first = run_hash(typed(config), "d")
    save_file({"w": torch.ones(4)}, path)
    assert run_hash(typed(config), "d") != first, "other weights under the same path"


def test_the_data_hash_knows_rows_images_and_split(pair_folder: Callable[..., Path], write_experiment: Write) -> None:
    table = pair_folder()

    def found(split: dict[str, Any] | None = None) -> str:
        data = {"name": "pairs", "table": str(table), "image_size": 32, "split": split or {"folds": 2}}
        return RunContext().data_hash(read_sweep(write_experiment({"data": data}), []).variants[0].config)

    first = found()
    assert found() == first
    assert found({"folds": 3}) != first
    frame = pd.read_csv(table)
    frame.sample(frac=1, random_state=0).to_csv(table, index=False)
    shuffled = found()
    frame.to_csv(table, index=False)
    image = table.parent / "photos" / "s0.png"
    content = image.read_bytes()
    shutil.copy(table.parent / "photos" / "s1.png", image)
    assert found() != first
    image.write_bytes(content)
    assert found() == first
    frame.assign(yes_votes=frame["yes_votes"].where(frame.index > 0, 0)).to_csv(table, index=False)
    assert found() != first
    assert len(shuffled) == len(first)


def test_a_finished_run_is_not_run_again(
    write_experiment: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import engine.runs.run

    file = write_experiment({"sweep": {"seed": [0, 1]}, "baselines": ["psnr"]})
    assert main(["ablate", str(file)]) == 0
    before = {path: path.stat().st_mtime_ns for run in run_folders(tmp_path / "runs") for path in run.rglob("*")}

    def never(*_: Any) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(engine.runs.run, "_train", never)
    assert main(["ablate", str(file), "data.workers=0", "trainer.enable_progress_bar=false"]) == 0
    assert {p: p.stat().st_mtime_ns for run in run_folders(tmp_path / "runs") for p in run.rglob("*")} == before


def test_a_failed_variant_does_not_stop_its_neighbours(
    write_experiment: Write, plugin_files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An unforeseen fault of a plugin, and a mistake that only the backbone can know; then a mended one alone is run."""
    head = plugin_name(plugin_files, "dropout_mlp")
    text = Path(plugin_files[1]).read_text()
    Path(plugin_files[1]).write_text(text.replace("width = sum(backbone.channels)", "width = 160 // int(rate * 10)"))
    sweep = {
        "model.head": [
            {"name": head, "rate": 0.05},  # divides by zero
            {"name": "lpips_linear", "depth": 4},
            {"name": "lpips_linear", "depth": 7},  # this backbone has 5 stages
            {"name": "cosine"},
        ]
    }
    file = write_experiment({"plugins": plugin_files, "sweep": sweep})
    assert main(["ablate", str(file)]) == 1
    captured = capsys.readouterr()
    failed = [line for line in captured.err.splitlines() if line.startswith("semfid: FAILED")]
    assert len(failed) == 2
    assert f"head={head} seed=0: ZeroDivisionError: " in failed[0] and "error.txt" in failed[0]
    assert "depth=7 uses the last 8 taps but this backbone has 5; choose 0 to 4" in failed[1]
    assert "Traceback" not in captured.err
    assert "| head=cosine" in captured.out and "| head=lpips_linear/depth:4" in captured.out
    states = {run.name: json.loads((run / "status.json").read_text()) for run in run_folders(tmp_path / "runs")}
    assert sorted(status["state"] for status in states.values()) == ["done", "done", "failed", "failed"]
    assert all(status["error"] for status in states.values() if status["state"] == "failed")
    assert "ZeroDivisionError" in next((tmp_path / "runs").rglob("error.txt")).read_text()


def test_a_run_that_another_process_holds(
    write_experiment: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_experiment()
    variant = read_sweep(file, []).variants[0]
    folder = RunFolder.of(variant, RunContext().data_hash(variant.config))
    with folder.held():
        assert main(["run", str(file)]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert "another process is working on" in error and folder.path.name in error and "x.yaml" in error
    assert main(["run", str(file)]) == 0


def test_a_run_that_another_process_finished_meanwhile(
    write_experiment: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Between the look at the state and the hold."""
    import engine.runs.run

    file = write_experiment()
    assert main(["run", str(file)]) == 0
    states = iter(["running"])
    state = RunFolder.state.fget
    monkeypatch.setattr(RunFolder, "state", property(lambda folder: next(states, None) or state(folder)))
    monkeypatch.setattr(engine.runs.run, "_train", lambda *_: pytest.fail("trained again"))
    assert main(["run", str(file)]) == 0


@pytest.mark.parametrize("tuning", ["frozen", "lora", "full"])
def test_checkpoints_hold_what_trained(write_experiment: Write, tmp_path: Path, tuning: str) -> None:
    changes = {"model.backbone.tuning": tuning, "trainer.accumulate_grad_batches": 1, "trainer.max_epochs": 1}
    if tuning == "lora":
        changes["model.backbone.lora_rank"] = 2
    assert main(["run", str(write_experiment({**changes, "data.image_size": 32}))]) == 0
    run = only_run(tmp_path / "runs")
    for path in (run / "part-0.ckpt", run / "checkpoints" / "part-0" / "last.ckpt"):
        state = torch.load(path, weights_only=True)["state_dict"]
        backbone = [key for key in state if key.startswith("backbone.")]
        assert any(key.startswith("head.") for key in state)
        if tuning == "frozen":
            assert backbone == []
        elif tuning == "lora":
            assert backbone and all("lora_" in key for key in backbone)
        else:
            assert "backbone.net.conv1.weight" in backbone or len(backbone) > 20


@pytest.mark.parametrize("tuning", ["lora", "full"])
def test_a_run_of_0_1_is_read(write_experiment: Write, tmp_path: Path, tuning: str) -> None:
    """Its checkpoints name the backbone `trunk`: they score, and other runs start from them, as if written today."""
    changes = {"model.backbone.tuning": tuning, "trainer.max_epochs": 1, "data.image_size": 32}
    if tuning == "lora":
        changes["model.backbone.lora_rank"] = 2
    assert main(["run", str(write_experiment(changes))]) == 0
    run = only_run(tmp_path / "runs")
    images = torch.rand(2, 3, 32, 32)
    today = load_finished(run)(images, images.flip(0))
    saved = torch.load(run / "part-0.ckpt", weights_only=True)
    old = {key.replace("backbone.net.", "trunk.trunk."): value for key, value in saved["state_dict"].items()}
    assert old.keys() != saved["state_dict"].keys()
    torch.save({**saved, "state_dict": old}, run / "part-0.ckpt")
    assert torch.equal(load_finished(run)(images, images.flip(0)), today)
    module = GlobalRegressor(
        build_backbone("timm", {"model": "test_resnet", "pretrained": "none", "tuning": tuning, "lora_rank": 2}),
        {"name": "lpips_linear", "depth": 2},
    )
    before = module.state_dict()
    renamed = {key.replace("backbone.net.", "trunk.trunk."): torch.ones_like(value) for key, value in before.items()}
    module.load_state_dict(renamed)
    assert all(bool((value == 1).all()) for value in module.state_dict().values())


@pytest.mark.parametrize("tuning", ["frozen", "lora"])
def test_loading_is_strict(tuning: str) -> None:
    """Frozen weights may be absent from a checkpoint; a renamed or missing head key may not (notes 4.9)."""
    keywords = {"model": "test_resnet", "pretrained": "none", "tuning": tuning, "lora_rank": 2}

    def module() -> GlobalRegressor:
        return GlobalRegressor(build_backbone("timm", keywords), {"name": "lpips_linear", "depth": 1})

    state = module().state_dict()
    module().load_state_dict(state)
    for broken in (
        {("head.wait" if k == "head.weight" else k): v for k, v in state.items()},
        {k: v for k, v in state.items() if k != "head.weight"},
        {**state, "head.more": torch.zeros(1)},
    ):
        with pytest.raises(RuntimeError, match=r"head\."):
            module().load_state_dict(broken)
    if tuning == "lora":
        key = next(key for key in state if "lora_A" in key)
        with pytest.raises(RuntimeError, match="lora_A"):
            module().load_state_dict({k: v for k, v in state.items() if k != key})


def test_a_checkpoint_refuses_another_backbone() -> None:
    def module(seed: int) -> GlobalRegressor:
        backbone = build_backbone("timm", {"model": "test_resnet", "pretrained": "none", "init_seed": seed})
        return GlobalRegressor(backbone, {"name": "cosine"})

    checkpoint: dict[str, Any] = {}
    module(0).on_save_checkpoint(checkpoint)
    module(0).on_load_checkpoint(checkpoint)
    with pytest.raises(UserError, match=r"belongs to the backbone timm\.test_resnet-\w+, not timm\.test_resnet-\w+"):
        module(1).on_load_checkpoint(checkpoint)
    with pytest.raises(UserError, match="belongs to the backbone None"):
        module(0).on_load_checkpoint({})


def test_what_a_frozen_backbone_is_stays_as_it_was(write_experiment: Write, tmp_path: Path) -> None:
    """Through images, BatchNorm included (notes 4.6)."""
    from engine.runs.ablation import ablate

    context = RunContext()
    sweep = read_sweep(write_experiment({"trainer.accumulate_grad_batches": 1, "data.image_size": 32}), [])
    backbone = context.backbone(sweep.variants[0].config)
    before = copy.deepcopy(backbone.net.state_dict())
    results, failures = ablate(sweep, context=context)
    assert results and not failures
    assert context.backbone(sweep.variants[0].config) is backbone
    for name, value in backbone.net.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_nan_becomes_null(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.write_json("x.json", {"a": float("nan"), "b": [1.0, float("nan")], "c": {"d": (2, float("nan"))}})
    assert json.loads((tmp_path / "x.json").read_text()) == {"a": None, "b": [1.0, None], "c": {"d": [2, None]}}
    assert RunFolder(tmp_path / "none").state == "new"
    (tmp_path / "status.json").write_text('{"sta')
    assert folder.state == "new"


def test_names_of_runs_are_safe_and_tell_variants_apart() -> None:
    choices = {"model.head": {"name": "a/../b", "k": [1, 2]}, "data.table": "/x/y z.csv"}
    config = merged(BASE, {"output": "out"})
    folder = RunFolder.of(Variant(typed(config), choices), "d").path
    assert folder.parent == Path("out/x") and "/" not in folder.name and " " not in folder.name
    assert (
        np.unique(
            [RunFolder.of(Variant(typed(merged(config, {"seed": s})), choices), "d").path.name for s in range(5)]
        ).size
        == 5
    )


def test_an_edited_plugin_file_is_another_run(tmp_path: Path) -> None:
    plugin = tmp_path / "some_plugin.py"
    plugin.write_text("A = 1\n")
    config = {**copy.deepcopy(BASE), "plugins": [str(plugin)]}
    before = run_hash(typed(config), "d")
    assert run_hash(typed(config), "d") == before
    plugin.write_text("A = 22\n")
    assert run_hash(typed(config), "d") != before
