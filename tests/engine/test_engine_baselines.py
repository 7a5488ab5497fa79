"""Training-free metrics as variants: what they are called, and what makes another run of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from run_support import SMALL, typed

from engine.config.expansion import Variant
from engine.runs.baselines import baseline_variants
from engine.runs.run_folder import run_hash
from models.dual_encoders import build_dual_encoder
from semfid.settings import PluginSpec

CONFIG = typed({**SMALL, "seed": 0, "output": "runs", "cache": {}, "plugins": [], "selection": {}})


def variants_of(metrics: list[Any], data_choices: dict[str, Any] | None = None) -> list[Variant]:
    return baseline_variants(CONFIG, [PluginSpec.model_validate(metric) for metric in metrics], data_choices)


def test_rows_are_told_apart() -> None:
    """Equal labels would be averaged as seeds of one variant."""
    backbone = {"name": "timm", "model": "resnet18", "pretrained": "a/trunk.safetensors"}
    metrics: list[Any] = ["psnr", {"name": "psnr", "peak_db": 60}, {"name": "i2i", "tower": "scenes_tower"}]
    metrics += [
        {"name": "backbone_cosine", "backbone": {**backbone, "pretrained": f"{x}/trunk.safetensors"}} for x in "ab"
    ]
    labels = [variant.label for variant in variants_of(metrics)]
    assert labels[:3] == ["psnr", "psnr peak_db=60", "i2i tower=scenes_tower"]
    assert labels[3] == "backbone_cosine backbone=timm/pretrained:trunk" and len(set(labels)) == 5
    (swept,) = variants_of(["psnr"], {"data.image_size": 32})
    assert swept.label == "psnr data.image_size=32"


def test_other_weights_are_another_run(tmp_path: Path) -> None:
    """By the identity of what it asks, and by the content of files that it names."""
    (variant,) = variants_of([{"name": "tower_cosine", "tower": {"name": "scenes_tower"}}])
    assert variant.config.identities == {"tower": build_dual_encoder("scenes_tower", {}).identity}
    other = variant.config.model_copy(update={"identities": {"tower": "scenes_tower of tomorrow"}})
    assert run_hash(other, "data") != run_hash(variant.config, "data")
    file = tmp_path / "squeeze.pth"
    hashes = set()
    for content in (b"one", b"other"):
        file.write_bytes(content)
        (lpips,) = variants_of([{"name": "lpips", "net": "squeeze", "pretrained": str(file)}])
        hashes.add(run_hash(lpips.config, "data"))
    assert len(hashes) == 2
    (broken,) = variants_of([{"name": "c2c", "captioner": {"name": "qwen2_vl", "model": str(tmp_path)}}])
    assert broken.config.identities == {}, "its run says what is wrong"
