"""Captions by any model that transformers' image-text-to-text class loads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PIL import Image

from captioners.contract import Captioner
from hub import Precision, device_of, obtaining, pin, resolve_precision
from registry import CAPTIONERS, UserError


@CAPTIONERS.register(
    "image_text_to_text",
    summary="any image-text-to-text model of transformers that has a chat template",
    source="huggingface.co/docs/transformers, AutoModelForImageTextToText",
)
class ImageTextToText(Captioner):
    """A vision-language model that is asked one question about one picture, decoded greedily.

    Sampling, penalties and lengths of the checkpoint's own generation settings are put aside.

    Args:
        model: id on the hub, or a local folder.
        revision: branch, tag or commit of the hub; None: the newest.
        max_new_tokens: a caption is cut there.
        batch_size: pictures at a time; they are padded on the left, so that a picture's caption does not depend on its
            company (but for rounding).
        device: auto, cpu, cuda, cuda:1, ...
        precision: of weights and activations; auto: bfloat16 on a GPU, float32 elsewhere.
    """

    name = "image_text_to_text"
    model_type: str | None = None

    def __init__(
        self,
        model: str,
        revision: str | None = None,
        max_new_tokens: int = 64,
        batch_size: int = 8,
        device: str = "auto",
        precision: Precision = "auto",
    ) -> None:
        self._what = f"captioner: {self.name}"
        for key, value in (("max_new_tokens", max_new_tokens), ("batch_size", batch_size)):
            if value < 1:
                raise UserError(f"{self._what} needs {key} >= 1, not {value}")
        self.batch_size, self.max_new_tokens = batch_size, max_new_tokens
        self._source = pin(self._what, model, revision)
        found = self._source.config.model_type
        if self.model_type not in (None, found):
            raise UserError(f"{self._what}: '{model}' is a {found} model; use image_text_to_text for it")
        self._device = device_of(self._what, device)
        self._dtype = resolve_precision(precision, self._device)
        self.identity = f"{self.name}-1-{self._source.identity}-greedy{max_new_tokens}-{self._dtype}"
        self._loaded: tuple[Any, Any] | None = None

    def release(self) -> None:
        self._loaded = None

    def _caption(self, images: Sequence[Image.Image], prompt: str) -> list[str]:
        import torch

        model, processor = self._load()
        inputs = self._inputs(processor, images, prompt).to(self._device, getattr(torch, self._dtype))
        with torch.inference_mode():
            tokens = model.generate(
                **inputs, max_new_tokens=self.max_new_tokens, do_sample=False, num_beams=1, repetition_penalty=1.0
            )  # (B, prompt + new)
        new = tokens[:, inputs["input_ids"].shape[1] :]
        return list(processor.tokenizer.batch_decode(new, skip_special_tokens=True))

    def _inputs(self, processor: Any, images: Sequence[Image.Image], prompt: str) -> Any:
        """What the model takes, padded on the left."""
        if not getattr(processor, "chat_template", None):
            raise UserError(f"{self._what}: '{self._source.model}' has no chat template; choose an instruction-tuned model")
        asked = [
            [{"role": "user", "content": [{"type": "image", "image": image}, {"type": "text", "text": prompt}]}]
            for image in images
        ]
        texts = processor.apply_chat_template(asked, add_generation_prompt=True, tokenize=False)
        return processor(text=list(texts), images=[[image] for image in images], padding=True, return_tensors="pt")

    def _load(self) -> tuple[Any, Any]:
        """Model and processor, loaded once."""
        if self._loaded is None:
            import torch

            source = self._source
            with obtaining(self._what, source.model):
                from transformers import AutoModelForImageTextToText, AutoProcessor, GenerationConfig

                model = AutoModelForImageTextToText.from_pretrained(
                    source.model, revision=source.revision, dtype=getattr(torch, self._dtype)
                )
                processor = AutoProcessor.from_pretrained(source.model, revision=source.revision)
                processor.tokenizer.padding_side = "left"
                own = model.generation_config
                pad = own.pad_token_id if own.pad_token_id is not None else processor.tokenizer.pad_token_id
                model.generation_config = GenerationConfig(
                    bos_token_id=own.bos_token_id, eos_token_id=own.eos_token_id, pad_token_id=pad
                )
            self._loaded = model.eval().to(self._device), processor
        return self._loaded
