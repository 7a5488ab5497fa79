"""Tiny captioners of the real classes with random weights, saved as folders that `model:` takes."""

from __future__ import annotations

import string
from pathlib import Path

import torch
import transformers as T
from tokenizers import pre_tokenizers

BYTES = sorted(pre_tokenizers.ByteLevel.alphabet())
LETTERS = string.ascii_lowercase + string.digits
CHAT = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% for c in m['content'] %}{% if c['type'] == 'image' %}"
    "<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ c['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def save_vip_llava(folder: Path) -> Path:
    symbols = ["<unk>", "<s>", "</s>", *(f"<0x{i:02X}>" for i in range(256)), "▁", *(chr(i) for i in range(33, 127))]
    words = T.LlamaTokenizer(
        vocab={one: i for i, one in enumerate(dict.fromkeys(symbols))},
        merges=[],
        pad_token="<pad>",
        padding_side="right",
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
        do_sample=True,
        temperature=0.1,
        top_p=0.001,
        top_k=1,
        repetition_penalty=1.05,
        eos_token_id=number["<|im_end|>"],
    )
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def bert_words() -> T.BertTokenizer:
    symbols = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]", *LETTERS, *(f"##{one}" for one in LETTERS)]
    return T.BertTokenizer(vocab={one: i for i, one in enumerate(symbols)}, model_max_length=64)


SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 37}


def save_blip(folder: Path) -> Path:
    words = bert_words()
    torch.manual_seed(0)
    config = T.BlipConfig(
        text_config={
            **SMALL, "vocab_size": len(words), "encoder_hidden_size": 32, "projection_dim": 32,
            "max_position_embeddings": 64, "bos_token_id": 5, "eos_token_id": 3, "sep_token_id": 3, "pad_token_id": 0,
        },
        vision_config={**SMALL, "image_size": 32, "patch_size": 16, "projection_dim": 32, "initializer_range": 0.02},
    )  # fmt: skip
    model = T.BlipForConditionalGeneration(config)
    loud(model)
    model.save_pretrained(folder)
    pictures = T.BlipImageProcessor(size={"height": 32, "width": 32})
    T.BlipProcessor(pictures, words).save_pretrained(folder)
    return folder


def save_git(folder: Path) -> Path:
    words = bert_words()
    torch.manual_seed(0)
    config = T.GitConfig(
        vision_config={**SMALL, "image_size": 32, "patch_size": 16}, vocab_size=len(words), **SMALL,
        max_position_embeddings=128, bos_token_id=2, eos_token_id=3, pad_token_id=0,
    )  # fmt: skip
    model = T.GitForCausalLM(config)
    loud(model)
    model.save_pretrained(folder)
    pictures = T.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    T.GitProcessor(pictures, words).save_pretrained(folder)
    return folder


def save_vit_gpt2(folder: Path) -> Path:
    words = T.GPT2Tokenizer(vocab={one: i for i, one in enumerate([*BYTES, "<|endoftext|>"])}, merges=[])
    torch.manual_seed(0)
    seen = T.ViTConfig(**SMALL, image_size=32, patch_size=16)
    said = T.GPT2Config(
        vocab_size=len(words), n_embd=32, n_layer=2, n_head=4, n_positions=64, bos_token_id=256, eos_token_id=256
    )
    config = T.VisionEncoderDecoderConfig.from_encoder_decoder_configs(
        seen, said, decoder_start_token_id=256, eos_token_id=256
    )
    model = T.VisionEncoderDecoderModel(config=config)
    loud(model)
    model.generation_config = T.GenerationConfig(
        decoder_start_token_id=256, eos_token_id=256, num_beams=3, max_length=5
    )
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    T.ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


def loud(model: torch.nn.Module) -> None:
    """Weights large enough that different pictures get different captions."""
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.mul_(8)
