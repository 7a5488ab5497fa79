"""Captions by models that only describe: BLIP, GIT, and a vision encoder with a language decoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from PIL import Image

from models.captioners.greedy import GreedyCaptioner, GreedyOptions
from models.catalogue.ids import BLIP
from registry import CAPTIONERS
from semfid.errors import UserError
from semfid.keywords import Fixed


class Preparation(NamedTuple):
    """What prepares pictures, and what reads and writes text."""

    pictures: Any
    tokenizer: Any


@dataclass(frozen=True)
class ImageToTextOptions(GreedyOptions):
    """As `GreedyOptions`; these models are small."""

    batch_size: int = 16


@CAPTIONERS.register(
    "image_to_text",
    summary="any model of transformers that captions without being asked: BLIP, GIT, ViT-GPT2, ...",
    source="huggingface.co/docs/transformers, BlipForConditionalGeneration, GitForCausalLM, VisionEncoderDecoderModel",
    shared=ImageToTextOptions,
)
class ImageToText(GreedyCaptioner):
    """Captions without a prompt, which these models do not take. They can be given a caption's beginning.

    Other keywords as `GreedyCaptioner`.

    Args:
        prefix: each caption begins with it, such as ``a photo of``; not for vision-encoder-decoder models.
    """

    otherwise = "image_to_text"

    def __init__(
        self,
        model: str,
        prefix: str = "",
        *,
        options: ImageToTextOptions,
        name: Fixed[str] = "image_to_text",
        model_type: Fixed[str | None] = None,
    ) -> None:
        self.prefix = prefix.strip()
        settings = f"-prefix:{self.prefix}" if self.prefix else ""
        super().__init__(model, options, name, model_type, settings)
        kind = self._source.config.model_type
        if self.prefix and kind == "vision-encoder-decoder":
            raise UserError(f"{self._what}: '{model}' is a {kind} model, which takes no beginning; leave prefix out")

    def _caption(self, images: Sequence[Image.Image], prompt: str) -> list[str]:
        _, prepared = self._load()
        inputs = prepared.pictures(list(images), return_tensors="pt")
        if self.prefix:  # the same for all: nothing is padded
            # BLIP starts with its own mark and drops the last token; GIT goes on from what it is given
            whole = self._source.config.model_type == "blip"
            ids = prepared.tokenizer(
                [self.prefix] * len(images), add_special_tokens=whole, return_tensors="pt"
            ).input_ids
            if not whole:
                import torch

                start = torch.full((len(ids), 1), prepared.tokenizer.cls_token_id)
                ids = torch.cat([start, ids], dim=1)
            inputs["input_ids"] = ids
        tokens = self._generate(inputs)[:, 1:]  # without the mark of a beginning, which tokenizers need not know
        return list(prepared.tokenizer.batch_decode(tokens, skip_special_tokens=True))

    def _processor(self) -> Any:
        from transformers import AutoImageProcessor, AutoTokenizer

        where = {"revision": self._source.revision}
        return Preparation(
            AutoImageProcessor.from_pretrained(self._source.model, **where),
            AutoTokenizer.from_pretrained(self._source.model, **where),
        )

    def _pad(self, processor: Any) -> int | None:
        words = processor.tokenizer
        return words.pad_token_id if words.pad_token_id is not None else words.eos_token_id


CAPTIONERS.preset(  # Salesforce/blip-image-captioning-large through model
    "blip",
    of="image_to_text",
    summary="BLIP base, captions of a dozen words (downloads 1 GB; BSD-3)",
    source="Li et al. 2022, arXiv 2201.12086",
    defaults={"model": BLIP},
    name="blip",
    model_type="blip",
)
