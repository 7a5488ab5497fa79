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
CHAT = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% for c in m['content'] %}{% if c['type'] == 'image' %}"
    "<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ c['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


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
        repo_path=str(folder), class_info_file="classes.json", num_text=6, num_labels=len(CLASSES), ignore_index=255, **SIDES
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
    T.OneFormerProcessor(image_processor=pictures, tokenizer=words, max_seq_length=77, task_seq_length=77).save_pretrained(
        folder
    )
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


def save_vip_llava(folder: Path) -> Path:
    symbols = ["<unk>", "<s>", "</s>", *(f"<0x{i:02X}>" for i in range(256)), "▁", *(chr(i) for i in range(33, 127))]
    words = T.LlamaTokenizer(
        vocab={one: i for i, one in enumerate(dict.fromkeys(symbols))}, merges=[], pad_token="<pad>", padding_side="right"
    )
    words.add_tokens(["<image>", "<pad>"], special_tokens=True)
    processor = T.LlavaProcessor(
        image_processor=T.CLIPImageProcessor(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}),
        tokenizer=words, patch_size=14, vision_feature_select_strategy="default", num_additional_image_tokens=1,
        image_token="<image>",
    )  # fmt: skip
    torch.manual_seed(0)
    seen = T.CLIPVisionConfig(
        hidden_size=32, intermediate_size=37, projection_dim=32, num_hidden_layers=6, num_attention_heads=4,
        image_size=28, patch_size=14,
    )  # fmt: skip
    said = T.LlamaConfig(
        vocab_size=len(words), hidden_size=32, intermediate_size=37, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=512, bos_token_id=1, eos_token_id=2, pad_token_id=words.pad_token_id,
    )  # fmt: skip
    config = T.VipLlavaConfig(
        vision_config=seen, text_config=said, image_token_index=words.convert_tokens_to_ids("<image>"),
        vision_feature_layer=[-2, -3, -4, -5, 2], image_seq_length=4,
    )  # fmt: skip
    model = T.VipLlavaForConditionalGeneration(config)
    loud(model)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def save_qwen2_vl(folder: Path) -> Path:
    special = [
        "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"
    ]  # fmt: skip
    number = {one: i for i, one in enumerate([*BYTES, *special])}
    words = T.Qwen2Tokenizer(vocab=number, merges=[], padding_side="right")
    words.add_tokens(special, special_tokens=True)
    processor = T.Qwen2VLProcessor(
        image_processor=T.Qwen2VLImageProcessor(min_pixels=28 * 28, max_pixels=56 * 56), tokenizer=words,
        video_processor=T.Qwen2VLVideoProcessor(), chat_template=CHAT,
    )  # fmt: skip
    torch.manual_seed(0)
    config = T.Qwen2VLConfig(
        text_config={
            "vocab_size": len(words), "hidden_size": 32, "intermediate_size": 37, "num_hidden_layers": 2,
            "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 512,
            "pad_token_id": number["<|endoftext|>"], "bos_token_id": number["<|endoftext|>"],
            "eos_token_id": number["<|im_end|>"],
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [1, 1, 2]},
        },
        vision_config={"depth": 2, "embed_dim": 32, "hidden_size": 32, "num_heads": 4, "mlp_ratio": 2},
        image_token_id=number["<|image_pad|>"], video_token_id=number["<|video_pad|>"],
        vision_start_token_id=number["<|vision_start|>"], vision_end_token_id=number["<|vision_end|>"],
        tie_word_embeddings=True,
    )  # fmt: skip
    model = T.Qwen2VLForConditionalGeneration(config)
    loud(model)
    # the settings that the real checkpoint brings, and that must not reach our captions
    model.generation_config = T.GenerationConfig(
        do_sample=True, temperature=0.1, top_p=0.001, top_k=1, repetition_penalty=1.05, eos_token_id=number["<|im_end|>"]
    )
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def loud(model: torch.nn.Module) -> None:
    """Weights large enough that different pictures get different captions."""
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.mul_(8)
