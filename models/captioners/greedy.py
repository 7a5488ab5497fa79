"""What captioners of the transformers library share: the pinned model, where it runs, and greedy decoding."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Any

from models.captioners.contract import Captioner
from models.hub import Precision, check_positive, device_of, obtaining, pin, resolve_precision
from semfid.errors import UserError


@dataclass(frozen=True)
class GreedyOptions:
    """Keywords of every captioner of the library.

    Attributes:
        revision: branch, tag or commit of the hub; None: the newest.
        max_new_tokens: a caption is cut there.
        batch_size: pictures at a time.
        device: auto, cpu, cuda, cuda:1, ...
        precision: of weights and activations; auto: bfloat16 on a GPU, float32 elsewhere.
        device_map: how to spread a model that is too large for one GPU, such as ``auto``; needs accelerate. None: all of it on
            `device`.
    """

    revision: str | None = None
    max_new_tokens: int = 64
    batch_size: int = 8
    device: str = "auto"
    precision: Precision = "auto"
    device_map: str | None = None


class GreedyCaptioner(Captioner):
    """A model whose captions are decoded greedily.

    Sampling, penalties and lengths of the checkpoint's own generation settings are ignored.

    Args:
        model: id on the hub, or a local folder.
        name: of the captioner; part of the identity.
        model_type: the only kind of model that it takes; None: any.
        settings: what else the captions depend on; part of the identity.
    """

    otherwise: str  # the captioner that takes other kinds of model

    def __init__(
        self, model: str, options: GreedyOptions, name: str, model_type: str | None = None, settings: str = ""
    ) -> None:
        self._what = f"captioner: {name}"
        device_map, self.batch_size, self.max_new_tokens = (
            options.device_map,
            options.batch_size,
            options.max_new_tokens,
        )
        check_positive(self._what, max_new_tokens=self.max_new_tokens, batch_size=self.batch_size)
        if device_map is not None and importlib.util.find_spec("accelerate") is None:
            raise UserError(
                f"{self._what}: device_map={device_map} needs the library accelerate; pip install accelerate, or leave "
                "device_map out"
            )
        self._source = pin(self._what, model, options.revision, model_type=model_type, otherwise=self.otherwise)
        self._device, self._device_map = device_of(self._what, options.device), device_map
        self._dtype = resolve_precision(options.precision, self._device)
        self.identity = f"{name}-1-{self._source.identity}-greedy{self.max_new_tokens}{settings}-{self._dtype}"
        self._loaded: tuple[Any, Any] | None = None

    def release(self) -> None:
        self._loaded = None

    def _generate(self, inputs: Any) -> Any:
        """(B, tokens) of what the processor made."""
        import torch

        model, _ = self._load()
        with torch.inference_mode():
            return model.generate(
                **inputs.to(model.device, getattr(torch, self._dtype)),
                max_new_tokens=self.max_new_tokens,
                do_sample=False,
                num_beams=1,
                repetition_penalty=1.0,
            )

    def _load(self) -> tuple[Any, Any]:
        """Model and processor, loaded once."""
        if self._loaded is None:
            import torch

            source = self._source
            with obtaining(self._what, source.model):
                from transformers import AutoModelForImageTextToText, GenerationConfig

                spread = {"device_map": self._device_map} if self._device_map is not None else {}
                model = AutoModelForImageTextToText.from_pretrained(
                    source.model, revision=source.revision, dtype=getattr(torch, self._dtype), **spread
                )
                processor = self._processor()
                own = model.generation_config
                pad = own.pad_token_id if own.pad_token_id is not None else self._pad(processor)
                model.generation_config = GenerationConfig(
                    bos_token_id=own.bos_token_id,
                    eos_token_id=own.eos_token_id,
                    pad_token_id=pad,
                    decoder_start_token_id=own.decoder_start_token_id,
                )
            self._loaded = (model.eval() if spread else model.eval().to(self._device)), processor
        return self._loaded

    def _processor(self) -> Any:
        """What prepares pictures and text, loaded from `self._source`."""
        raise NotImplementedError(f"{type(self).__name__} must implement _processor")

    def _pad(self, processor: Any) -> int | None:
        """The token that fills up finished captions, where the model's settings name none."""
        return processor.tokenizer.pad_token_id
