"""Captions by any model that answers questions about pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PIL import Image

from models.captioners.greedy import GreedyCaptioner, GreedyOptions
from models.catalogue.ids import QWEN2_VL
from registry import CAPTIONERS
from semfid.errors import UserError
from semfid.keywords import Fixed


@CAPTIONERS.register(
    "image_text_to_text",
    summary="any image-text-to-text model of transformers that has a chat template",
    source="huggingface.co/docs/transformers, AutoModelForImageTextToText",
    shared=GreedyOptions,
)
class ImageTextToText(GreedyCaptioner):
    """A vision-language model that answers one prompt about one picture, decoded greedily.

    Pictures of a batch are padded on the left, so that a picture's caption depends on the others of its batch by rounding alone.
    Keywords as `GreedyCaptioner`.
    """

    otherwise = "image_text_to_text"

    def __init__(
        self,
        model: str,
        *,
        options: GreedyOptions,
        name: Fixed[str] = "image_text_to_text",
        model_type: Fixed[str | None] = None,
    ) -> None:
        super().__init__(model, options, name, model_type)

    def _caption(self, images: Sequence[Image.Image], prompt: str) -> list[str]:
        _, processor = self._load()
        inputs = self._inputs(processor, images, prompt)
        new = self._generate(inputs)[:, inputs["input_ids"].shape[1] :]
        return list(processor.tokenizer.batch_decode(new, skip_special_tokens=True))

    def _inputs(self, processor: Any, images: Sequence[Image.Image], prompt: str) -> Any:
        """What the model takes, padded on the left."""
        if not getattr(processor, "chat_template", None):
            raise UserError(
                f"{self._what}: '{self._source.model}' has no chat template; choose an instruction-tuned model, or "
                "image_to_text for one that only captions"
            )
        asked = [
            [{"role": "user", "content": [{"type": "image", "image": image}, {"type": "text", "text": prompt}]}]
            for image in images
        ]
        texts = processor.apply_chat_template(asked, add_generation_prompt=True, tokenize=False)
        return processor(text=list(texts), images=[[image] for image in images], padding=True, return_tensors="pt")

    def _processor(self) -> Any:
        from transformers import AutoProcessor

        processor = AutoProcessor.from_pretrained(self._source.model, revision=self._source.revision)
        processor.tokenizer.padding_side = "left"
        return processor


CAPTIONERS.preset(  # large pictures become many tokens, about 1,000 at 1024x768
    "qwen2_vl",
    of="image_text_to_text",
    summary="Qwen2-VL-7B-Instruct (downloads 17 GB; Apache-2.0)",
    source="Wang et al. 2024, arXiv 2409.12191",
    defaults={"model": QWEN2_VL},
    name="qwen2_vl",
    model_type="qwen2_vl",
)
