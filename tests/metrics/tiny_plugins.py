"""Keywords for every metric that would download weights: models of the real classes, tiny and random."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import open_clip
from tiny_captioners import save_qwen2_vl

CLIP = "tiny-metric-clip"


@dataclass(frozen=True)
class Tiny:
    """Where the tiny models lie."""

    captioner: Path

    @property
    def tower(self) -> dict[str, Any]:
        return {"name": "open_clip", "model": CLIP, "pretrained": "none", "device": "cpu"}

    @property
    def captions(self) -> dict[str, Any]:
        return {"name": "qwen2_vl", "model": str(self.captioner), "max_new_tokens": 6, "device": "cpu"}


CASES: dict[str, Callable[[Tiny], dict[str, Any]]] = {
    "ms_ssim": lambda tiny: {"scales": 2},
    "lpips": lambda tiny: {"net": "squeeze", "pretrained": "none"},
    "tower_cosine": lambda tiny: {"tower": tiny.tower, "cache": False},
    "i2i": lambda tiny: {"tower": tiny.tower, "cache": False},
    "clip_cosine": lambda tiny: {"model": CLIP, "pretrained": "none", "cache": False},
    "siglip_cosine": lambda tiny: {"model": CLIP, "pretrained": "none", "cache": False},
    "backbone_cosine": lambda tiny: {
        "backbone": {"name": "timm", "model": "test_resnet", "pretrained": "none"}, "cache": False
    },
    "dinov2_cosine": lambda tiny: {"model": "test_vit", "pretrained": "none", "image_size": 64, "cache": False},
    "c2c": lambda tiny: {"captioner": tiny.captions, "embedder": "hashed_words", "cache": False},
    "c2i": lambda tiny: {"captioner": tiny.captions, "tower": tiny.tower, "cache": False},
    "splice": lambda tiny: {"tower": tiny.tower, "image_mean": "none", "size": 60, "l1": 0.1, "cache": False},
    "text_difference": lambda tiny: {"side": 64},
    "pyiqa": lambda tiny: {"metric": "lopsided", "device": "cpu"},
}  # fmt: skip


def tiny_plugins(folder: Path) -> Tiny:
    """Make the tiny models in a folder."""
    config = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8},
        "text_cfg": {"context_length": 32, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
    }
    (folder / f"{CLIP}.json").write_text(json.dumps(config))
    open_clip.add_model_config(folder / f"{CLIP}.json")
    return Tiny(save_qwen2_vl(folder / "qwen"))
