"""Super-resolution of photos with the default metric in the loss, and the metric that judges it: a few small ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from run_support import ROOT

from data_tools.synthetic import SceneSetConfig, write_pair_set
from semfid.cli import main

EXPERIMENTS = ROOT / "experiments"


def _photos(test_data: Callable[[str], Path], real: bool) -> list[Image.Image]:
    """Six of 64x64 pixels."""
    if not real:
        rng = np.random.default_rng(0)
        pixels = rng.integers(256, size=(6, 16, 16, 3), dtype=np.uint8)
        return [Image.fromarray(one).resize((64, 64), Image.Resampling.BICUBIC) for one in pixels]
    files = sorted(test_data("koniq_photos").glob("*.jpg"))[:6]
    return [Image.open(file).convert("RGB").resize((64, 64)) for file in files]


@pytest.mark.parametrize("real", [True, False], ids=["real", "made"])
def test_the_judge_and_what_it_judges(
    shrink: Callable[[Path], list[str]], test_data: Callable[[str], Path], tmp_path: Path, real: bool
) -> None:
    """The judge is found by the pattern of the YAML; photos of ``test`` are those that figures are of."""
    for number, photo in enumerate(_photos(test_data, real)):
        path = tmp_path / "photos" / ("test" if number % 2 else "train") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        photo.save(path)
    sets = {}
    for seed, name in enumerate(("koniq_sr", "coco128_sr")):
        config = SceneSetConfig(scenes=4, candidates_per_scene=2, size=64, seed=seed)
        sets[name] = {"name": "pairs", "table": str(write_pair_set(tmp_path / name, config))}
    judge, path = EXPERIMENTS / "ratings_judge.yaml", EXPERIMENTS / "sr_real_photos.yaml"
    words = [word for word in shrink(judge) if not word.startswith("data.")]
    words += [f"data.sets={json.dumps(sets)}", "data.split={folds: 2, val: 0}"]
    words += ["model.backbone={name: timm, model: test_resnet, pretrained: none}", "model.head.depth=2"]
    assert main(["ablate", str(judge), *words]) == 0
    words = [*shrink(path), f"data.path={tmp_path / 'photos'}", "data.workers=0", "model.channels=4", "model.blocks=1"]
    words.append(f"model.judge={tmp_path}/runs/ratings_judge/seed=0-*")
    words.append("sweep.model.semantic_weight=[0.0, 0.02]")
    assert main(["ablate", str(path), *words]) == 0
    table = pd.read_csv(tmp_path / "runs" / path.stem / "results.csv")
    assert (table["images"] == 3).all() and table["psnr"].nunique() == 2 and table["judged"].between(0, 1).all()
    for run in (tmp_path / "runs" / path.stem).glob("*/results.csv"):
        assert pd.read_csv(run)["image"].tolist() == ["test/1.png", "test/3.png", "test/5.png"]
