"""What heads are fed is the same in training, in the cache, in scoring and in an exported file; also of a kind from a plugin."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from run_support import Write, only_run, plugin_name

from backbones import build_backbone
from engine.config.trainer_section import TrainerSection
from engine.export import export_run
from engine.training.extract import extract
from engine.training.lightning_trainer import make_trainer
from lightning_modules.global_regressor import GlobalRegressor
from lightning_modules.scorer import RunScorer, load_run
from registry import DATAMODULES
from semfid.cli import main
from semfid.io.vector_cache import VectorCache
from semfid.scoring.exported import load_exported
from semfid.scoring.scorer import Facts

HEADS_OF: dict[str, dict[str, Any]] = {
    "pooled_squared_differences": {"name": "lpips_linear", "pooling": ["mean", "gained:max"], "normalize": "unit"},
    "pooled_features": {"name": "pooled_mlp", "hidden": [6]},
    "embeddings": {"name": "embedding_mlp", "hidden": [6]},
    "difference_grids": {"name": "local_evidence", "width": 6},
}

# a kind of input in one class, and a head on it
PLUGIN = """
from dataclasses import dataclass

import torch
from torch import nn

from engine.plugins import HEADS, Head, HeadInput, BackboneShape


@dataclass(frozen=True)
class Spreads(HeadInput, kind="KIND"):
    @classmethod
    def of(cls, head):
        return cls()

    def of_features(self, features):
        return tuple(tap.std(dim=(2, 3)) for tap in features["stages"])

    def compare(self, x, y):
        return torch.cat([(a - b).abs() for a, b in zip(x, y, strict=True)], dim=1)


@HEADS.register("KIND", summary="weights on differences of spreads")
class OfSpreads(Head):
    input_kind = "KIND"

    def __init__(self, backbone: BackboneShape) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((sum(backbone.channels),), 0.01))

    def forward(self, statistic: torch.Tensor) -> torch.Tensor:
        return torch.tanh(statistic @ self.weight)
"""


@pytest.fixture
def table(tmp_path: Path) -> Path:
    from PIL import Image

    rng, rows = np.random.default_rng(0), []
    for number in range(6):
        for name in ("r", "c"):
            Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(tmp_path / f"{name}{number}.png")
        row = {"pair_id": f"p{number}", "source_id": f"s{number}", "reference": f"r{number}.png"}
        rows.append({**row, "candidate": f"c{number}.png", "difference": number / 5})
    pd.DataFrame(rows).to_csv(tmp_path / "pairs.csv", index=False)
    return tmp_path / "pairs.csv"


@pytest.mark.parametrize("kind", HEADS_OF)
def test_training_cache_and_scoring_agree(kind: str, table: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    backbone = build_backbone("timm", {"model": "test_resnet", "pretrained": "none"})
    module = GlobalRegressor(backbone, HEADS_OF[kind]).eval()
    own = module.head_input
    assert own.kind == kind and own.cacheable
    data = DATAMODULES.build("pairs", table=str(table), image_size=64, batch_size=3, split={"test": 0.5})
    data.prepare()
    x, y = (
        torch.stack([data.dataset.image(path) for path in paths]).float() / 255
        for paths in (data.dataset.reference, data.dataset.candidate)
    )
    trainer = make_trainer(TrainerSection(accelerator="cpu", devices=1))
    for cache in (None, VectorCache(tmp_path / "cache", 10**9), VectorCache(tmp_path / "cache", 10**9)):
        found = extract(backbone, data, own.parts(), trainer, cache, lambda done, total: None)
        cached = own.joined([found[part] for part in own.parts()])
        with torch.no_grad():
            trained, scored = (
                module(x, y),
                RunScorer(backbone, [module.head], Facts("t/t", "", 64, "squash", False, False, {}))(x, y),
            )
            of_cache = module.head(cached)
        assert trained.std() > 1e-5
        torch.testing.assert_close(scored, trained, atol=1e-6, rtol=1e-5)
        tolerance = 1e-3 if kind == "difference_grids" else 1e-5  # kept in float16
        torch.testing.assert_close(of_cache, trained, atol=tolerance, rtol=tolerance)


def plugin(tmp_path: Path) -> tuple[Path, str]:
    """A file, whose names are this test's own, since a plugin is imported once per process."""
    kind = f"spreads_{zlib.crc32(str(tmp_path).encode()):x}"
    path = tmp_path / f"{kind}.py"
    path.write_text(PLUGIN.replace("KIND", kind))
    return path, kind


@pytest.mark.parametrize("through", ["cache", "images"])
def test_a_new_kind_is_one_class(
    write_experiment: Write, plugin_files: list[str], tmp_path: Path, through: str
) -> None:
    path, kind = plugin(tmp_path)
    more = {"trainer.gradient_clip_val": 1.0} if through == "images" else {}
    rendered = tmp_path / "scenes"  # of this test alone: its one table is found below
    file = write_experiment(
        {
            "plugins": [str(path), plugin_files[0]],
            "model.backbone": {"name": plugin_name(plugin_files, "two_stages")},  # small, so quick to export
            "model.head": {"name": kind},
            "data.folder": str(rendered),
            **more,
        }
    )
    assert main(["run", str(file)]) == 0
    run = only_run(tmp_path / "runs")
    fit = json.loads((run / "provenance.json").read_text())["fit"]
    assert fit == ("cached statistics" if through == "cache" else "images")
    folders = {path.parent.name for path in (tmp_path / "cache").rglob("*.safetensors")}
    assert folders == ({kind} if through == "cache" else set())
    scorer = load_run(run)
    predicted = pd.read_csv(run / "predictions.csv", dtype={"pair_id": str}).head(8)
    (scenes,) = {path.parent for path in rendered.rglob("pairs.csv")}
    pairs = pd.read_csv(scenes / "pairs.csv", dtype={"pair_id": str}).set_index("pair_id").loc[predicted["pair_id"]]
    data = DATAMODULES.build("pairs", table=str(scenes / "pairs.csv"), image_size=64)
    data.prepare()
    x, y = (
        torch.stack([data.dataset.image(str(scenes / name)) for name in pairs[side]]).float() / 255
        for side in ("reference", "candidate")
    )
    with torch.no_grad():
        scores = scorer(x, y)
    assert predicted["predicted"].std() > 1e-4
    np.testing.assert_allclose(scores, predicted["predicted"], atol=1e-5)
    if through == "cache":
        exported = load_exported(export_run(run, "torch", tmp_path / "s.pt2", None, False))
        with torch.no_grad():
            torch.testing.assert_close(exported(x, y), scores, atol=1e-5, rtol=0)
