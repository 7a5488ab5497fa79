"""The heads of a sweep share passes through their backbone, whatever they consume."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from run_support import Write, predictions, run_folders

import engine.training.feature_pass
from semfid.cli import main

HEADS = [{"name": "lpips_linear", "depth": 1}, {"name": "cosine"}, {"name": "embedding_mlp"}, {"name": "pooled_mlp"}]


def test_every_image_passes_once_for_all_heads(
    write_experiment: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed: list[int] = []
    once = engine.training.feature_pass.backbone_features

    def counted(backbone: Any, batch: Any, needs: Any) -> Any:
        passed.append(len(batch))
        return once(backbone, batch, needs)

    monkeypatch.setattr(engine.training.feature_pass, "backbone_features", counted)
    together = write_experiment({"sweep": {"model.head": HEADS}, "output": str(tmp_path / "together")})
    assert main(["ablate", str(together)]) == 0
    whole = sum(passed)
    assert 12 + 36 >= whole > 12  # 12 references and 36 candidates, some of them equal
    for head in HEADS:  # the figures are those of each head alone, without a cache to share
        alone = {"model.head": head, "output": str(tmp_path / "alone"), "cache.enabled": False}
        assert main(["run", str(write_experiment(alone))]) == 0
    assert sum(passed) == 5 * whole
    by_head = {run.name.split("seed=")[0]: predictions(run) for run in run_folders(tmp_path / "together")}
    alone_runs = [predictions(run)["predicted"].tolist() for run in run_folders(tmp_path / "alone")]
    assert len(by_head) == 4
    for table in by_head.values():
        assert any(table["predicted"].tolist() == pytest.approx(other, abs=1e-6) for other in alone_runs)


def test_a_head_that_cannot_be_built_stops_its_own_run_alone(write_experiment: Write, tmp_path: Path) -> None:
    heads = [{"name": "lpips_linear", "depth": 1}, {"name": "lpips_linear", "depth": 40}]
    file = write_experiment({"sweep": {"model.head": heads}})
    assert main(["ablate", str(file)]) == 1
    assert len([run for run in run_folders(tmp_path / "runs") if (run / "metrics.json").exists()]) == 1
