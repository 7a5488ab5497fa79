"""Tiny dual encoders of the real classes with random weights, saved as folders that `model:` takes."""

from __future__ import annotations

import json
import string
from pathlib import Path

import open_clip
import torch
import transformers as T
from tokenizers import pre_tokenizers

BYTES = sorted(pre_tokenizers.ByteLevel.alphabet())
SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 37}
OPEN_CLIP = "semfid-tiny-clip"


def loud(model: torch.nn.Module) -> None:
    """Weights large enough that different inputs get different vectors."""
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.mul_(8)


def save_clip(folder: Path) -> Path:
    symbols = [*BYTES, *(f"{one}</w>" for one in BYTES), "<|startoftext|>", "<|endoftext|>"]
    words = T.CLIPTokenizer(vocab={one: i for i, one in enumerate(symbols)}, merges=[], model_max_length=77)
    torch.manual_seed(0)
    said = {**SMALL, "vocab_size": len(words), "bos_token_id": 512, "eos_token_id": 513, "pad_token_id": 513}
    config = T.CLIPConfig(
        text_config={**said, "max_position_embeddings": 77},
        vision_config={**SMALL, "image_size": 32, "patch_size": 16},
        projection_dim=24,
    )
    model = T.CLIPModel(config)
    loud(model)
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    T.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


def save_siglip(folder: Path) -> Path:
    vocabulary = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    vocabulary += [(one, -3.0) for one in string.ascii_letters + string.digits + ".,"]
    words = T.T5Tokenizer(vocab=vocabulary, extra_ids=0, model_max_length=64)
    torch.manual_seed(0)
    config = T.SiglipConfig(
        text_config={**SMALL, "vocab_size": len(words), "max_position_embeddings": 64, "projection_size": 32,
                     "pad_token_id": 1, "eos_token_id": 1, "bos_token_id": 1},
        vision_config={**SMALL, "image_size": 32, "patch_size": 16},
    )  # fmt: skip
    model = T.SiglipModel(config)
    loud(model)
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    T.SiglipImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


def add_open_clip(folder: Path) -> Path:
    """A checkpoint of an architecture that is added to open_clip's list."""
    folder.mkdir(parents=True)
    if OPEN_CLIP not in open_clip.list_models():
        config = {
            "embed_dim": 16,
            "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 16},
            "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
        }
        (folder / f"{OPEN_CLIP}.json").write_text(json.dumps(config))
        open_clip.add_model_config(folder)
    torch.manual_seed(0)
    torch.save(open_clip.create_model(OPEN_CLIP).state_dict(), folder / "open_clip_pytorch_model.bin")
    return folder
