"""Which files of a repository are taken: layouts of transformers, sentence-transformers, open_clip and diffusers."""

from __future__ import annotations

import pytest

from models.catalogue.remote import RemoteFile
from models.catalogue.selection import wanted

LAYOUTS: dict[str, tuple[list[str], list[str]]] = {
    "safetensors before pickled ones": (
        ["config.json", "model.safetensors", "vocab.txt"],
        ["pytorch_model.bin", "tf_model.h5", "flax_model.msgpack", "README.md", ".gitattributes", "onnx/model.onnx"],
    ),
    "pickled where there is nothing else": (["config.json", "pytorch_model.bin", "preprocessor_config.json"], []),
    "shards and their index": (
        ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json"],
        ["pytorch_model-00001-of-00002.bin"],
    ),
    "sentence-transformers": (
        ["1_Pooling/config.json", "config_sentence_transformers.json", "model.safetensors", "modules.json"],
        ["openvino/openvino_model.bin", "rust_model.ot", "pytorch_model.bin"],
    ),
    "open_clip": (["open_clip_config.json", "open_clip_model.safetensors"], ["open_clip_pytorch_model.bin"]),
    "a pipeline": (
        [
            "model_index.json",
            "scheduler/scheduler_config.json",
            "text_encoder/model.safetensors",
            "unet/diffusion_pytorch_model.safetensors",
            "vae/diffusion_pytorch_model.bin",
        ],
        [
            "flux1-fill-dev.safetensors",
            "sd-v1-5-inpainting.ckpt",
            "text_encoder/model.fp16.safetensors",
            "text_encoder/pytorch_model.bin",
            "unet/diffusion_pytorch_model.fp16.safetensors",
            "unet/diffusion_pytorch_model.non_ema.safetensors",
        ],
    ),
}


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_layouts(layout: str) -> None:
    needed, other = LAYOUTS[layout]
    files = [RemoteFile(name, 1, "0") for name in [*other, *needed]]
    assert [one.name for one in wanted(files)] == sorted(needed)


def test_patterns_replace_the_rule() -> None:
    files = [RemoteFile(name, 1, "0") for name in ("b.json", "a.json", "c.bin", "d.md")]
    assert [one.name for one in wanted(files, ("*.json", "*.md"))] == ["a.json", "b.json", "d.md"]
