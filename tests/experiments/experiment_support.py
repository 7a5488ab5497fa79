"""What the tests of experiments/ share: an experiment's sections, and the overrides that take its size."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from run_support import ROOT


@pytest.fixture(autouse=True)
def in_the_clone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths of the YAMLs are relative to the clone; no hub is reached."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def content(path: Path) -> dict[str, Any]:
    """An experiment's sections, those that it extends included; its own replace them whole."""
    own = yaml.safe_load(path.read_text())
    parent = own.pop("extends", None)
    return {**(content(path.parent / parent) if parent else {}), **own}


def few_of(heads: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The first head of a sweep and the last of each name, with whatever options it has: tests/heads has them all."""
    last = {head["name"]: head for head in heads}
    return [heads[0], *(head for head in last.values() if head != heads[0])]


def one_axis_at_a_time(sweep: dict[str, list[Any]]) -> list[list[str]]:
    """Overrides that try every value of every axis, with the first value of the other axes: a sum of runs, not a product."""
    axes = [key for key in sweep if key != "seed"]
    return [
        [f"sweep.{other}={json.dumps(sweep[other][:1])}" for other in axes if other != axis]
        for axis in axes or ["none"]
    ]


@pytest.fixture
def shrink(tmp_path: Path, scene_folder: Path) -> Callable[[Path], list[str]]:
    """Overrides that leave an experiment its shape and take its size."""

    def overrides(path: Path) -> list[str]:
        config = content(path)
        sweep: dict[str, list[Any]] = config.get("sweep", {})
        words = [f"output={tmp_path / 'runs'}", f"cache.folder={tmp_path / 'cache'}", "evaluation.bootstraps=5"]
        words += ["data.image_size=64", "trainer.max_epochs=1", "trainer.devices=1", "trainer.accelerator=cpu"]
        if "seed" in sweep:
            words.append(f"sweep.seed={sweep['seed'][:1]}")
        if config["data"].get("name") == "scenes":
            words += ["data.scenes=12", "data.candidates_per_scene=3", "data.size=64", "data.batch_size=8"]
            words += [f"data.folder={scene_folder}", "data.split={val: 0.2, test: 0.3}"]
        for name in config.get("pretraining", {}):
            small = {"scenes": 96, "size": 64, "image_size": 32, "folder": scene_folder.with_name("scene_images")}
            words += [f"pretraining.{name}.data.{key}={value}" for key, value in small.items()]
            words.append(f"pretraining.{name}.trainer.max_epochs=1")
        return words

    return overrides


def tables(output: Path, name: str) -> pd.DataFrame:
    folder = output / name
    for ending in ("csv", "md", "tex"):
        assert (folder / f"results.{ending}").stat().st_size > 0
    return pd.read_csv(folder / "results.csv")
