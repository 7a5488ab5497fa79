"""Tiny models of the real classes with random weights, saved as folders that `model:` takes."""

from __future__ import annotations

import json
from pathlib import Path

import torch
import transformers as T
from tokenizers import pre_tokenizers

BYTES = sorted(pre_tokenizers.ByteLevel.alphabet())
CLASSES = (("cat", 1), ("dog", 1), ("sky", 0), ("road", 0))
SIDES = {"size": {"shortest_edge": 64, "longest_edge": 128}}


def swin() -> T.SwinConfig:
    return T.SwinConfig(
        image_size=64, patch_size=4, embed_dim=16, depths=[1] * 4, num_heads=[1, 1, 2, 2], window_size=4,
        drop_path_rate=0.0, out_features=["stage1", "stage2", "stage3", "stage4"],
    )  # fmt: skip


def save_oneformer(folder: Path) -> Path:
    folder.mkdir(parents=True)
    classes = {str(number): {"name": name, "isthing": thing} for number, (name, thing) in enumerate(CLASSES)}
    (folder / "classes.json").write_text(json.dumps(classes))
    pictures = T.OneFormerImageProcessor(
        repo_path=str(folder),
        class_info_file="classes.json",
        num_text=6,
        num_labels=len(CLASSES),
        ignore_index=255,
        **SIDES,
    )
    symbols = [*BYTES, *(f"{one}</w>" for one in BYTES), "<|startoftext|>", "<|endoftext|>"]
    words = T.CLIPTokenizer(vocab={one: i for i, one in enumerate(symbols)}, merges=[], model_max_length=77)
    torch.manual_seed(0)
    config = T.OneFormerConfig(
        backbone_config=swin(), num_queries=10, text_encoder_vocab_size=len(words), text_encoder_width=64,
        text_encoder_num_layers=1, text_encoder_n_ctx=4, hidden_dim=64, mask_dim=64, conv_dim=64, encoder_feedforward_dim=32,
        dim_feedforward=64, encoder_layers=2, decoder_layers=2, num_attention_heads=4,
        id2label={number: name for number, (name, _) in enumerate(CLASSES)},
    )  # fmt: skip
    T.OneFormerForUniversalSegmentation(config).save_pretrained(folder)
    T.OneFormerProcessor(
        image_processor=pictures, tokenizer=words, max_seq_length=77, task_seq_length=77
    ).save_pretrained(folder)
    return folder


def save_mask2former(folder: Path) -> Path:
    torch.manual_seed(0)
    config = T.Mask2FormerConfig(
        backbone_config=swin(), num_queries=10, hidden_dim=64, mask_feature_size=64, feature_size=64,
        encoder_feedforward_dim=32, dim_feedforward=64, encoder_layers=2, decoder_layers=2, num_attention_heads=4,
        id2label={number: f"class {number}" for number in range(133)},
    )  # fmt: skip
    T.Mask2FormerForUniversalSegmentation(config).save_pretrained(folder)
    T.Mask2FormerImageProcessor(num_labels=133, ignore_index=255, **SIDES).save_pretrained(folder)
    return folder


def save_eomt(folder: Path) -> Path:
    torch.manual_seed(0)
    config = T.EomtConfig(
        hidden_size=32, num_hidden_layers=4, num_attention_heads=2, mlp_ratio=2, image_size=64, patch_size=16,
        num_blocks=1, num_upscale_blocks=1, num_queries=6, num_register_tokens=1,
        id2label={number: name for number, (name, _) in enumerate(CLASSES)},
    )  # fmt: skip
    T.EomtForUniversalSegmentation(config).save_pretrained(folder)
    T.EomtImageProcessor(
        size={"shortest_edge": 64, "longest_edge": 64}, do_split_image=False, do_pad=True
    ).save_pretrained(folder)
    return folder
