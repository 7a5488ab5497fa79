"""Experiments on edits, on a table of the same columns: rendered scenes, one epoch, a small backbone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
from experiment_support import content, tables
from run_support import ROOT

from scenes import SceneSetConfig, write_pair_set
from semfid.cli import main


def test_local_evidence_beside_linear_heads(shrink: Callable[[Path], list[str]], tmp_path: Path) -> None:
    table = write_pair_set(tmp_path / "pairs", SceneSetConfig(scenes=8, candidates_per_scene=3, size=64))
    path = ROOT / "experiments" / "local_evidence.yaml"
    words = [*shrink(path), f"data.table={table}", "data.batch_size=8", "data.split={folds: 2, val: 0}"]
    words.append("model.backbone={name: timm, model: test_resnet, pretrained: none}")
    heads = content(path)["sweep"]["model.head"]
    words.append(
        f"sweep.model.head={json.dumps([{**head, 'depth': 3} if 'depth' in head else head for head in heads])}"
    )
    assert main(["ablate", str(path), *words]) == 0
    results = tables(tmp_path / "runs", path.stem)
    assert len(results) == 3 + 2 and (results["n"] == 24).all()
    maps = pd.read_csv(tmp_path / "runs" / path.stem / "results_maps.csv")
    assert len(maps) == 5 and maps["average_precision"].between(0, 1).all()
