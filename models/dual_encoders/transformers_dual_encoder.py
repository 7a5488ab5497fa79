"""Any CLIP-like model of transformers: both towers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from models.catalogue.ids import CLIP_VIT_L14, SIGLIP
from models.dual_encoders.contract import DualEncoder
from models.hub import Precision, check_positive, device_of, obtaining, pin
from registry import DUAL_ENCODERS
from semfid.errors import UserError
from semfid.keywords import Fixed


class Loaded(NamedTuple):
    """A model on its device; mean and std are (1, 3, 1, 1)."""

    model: Any
    mean: Tensor
    std: Tensor


@DUAL_ENCODERS.register(
    "transformers",
    summary="any model of transformers with an image and a text tower: CLIP, SigLIP, MetaCLIP 2, ALIGN, ...",
    source="huggingface.co/docs/transformers, AutoModel",
)
class TransformersDualEncoder(DualEncoder):
    """A model that gives image features and text features, with mean and std of its image processor.

    Args:
        model: id on the hub, or a local folder.
        revision: branch, tag or commit of the hub; None: the newest.
        batch_size: pictures or sentences at a time.
        device: auto, cpu, cuda, cuda:1, ...
        precision: of weights and activations; auto: float32, so that a GPU's vectors are a CPU's.
    """

    def __init__(
        self,
        model: str,
        revision: str | None = None,
        batch_size: int = 32,
        device: str = "auto",
        precision: Precision = "auto",
        *,
        name: Fixed[str] = "transformers",
        model_type: Fixed[str | None] = None,
    ) -> None:
        self._what = f"dual encoder: {name}"
        check_positive(self._what, batch_size=batch_size)
        self.batch_size = batch_size
        self._source = pin(self._what, model, revision, "scenes_tower", model_type, otherwise="transformers")
        found = self._source.config
        if not hasattr(found, "text_config") or not hasattr(found, "vision_config"):
            raise UserError(f"{self._what}: '{model}' ({found.model_type}) has no two towers; give a CLIP-like model")
        self.image_size = _image_size(self._what, model, found.vision_config)
        self.dim = _dim(found)
        self.device = device_of(self._what, device)
        self._dtype = "float32" if precision == "auto" else precision
        self.identity = f"{name}-1-{self._source.identity}-{self._dtype}"
        self._loaded: Loaded | None = None
        self._tokenizer: Any = None

    def cut(self, texts: Sequence[str]) -> list[str]:
        words, longest = self._words()
        return [text for text in texts if len(words(text, verbose=False)["input_ids"]) > longest]

    def release(self) -> None:
        self._loaded = None

    def _embed_pixels(self, images: Tensor) -> Tensor:
        model, mean, std = self._load()
        return _pooled(model.get_image_features(pixel_values=((images - mean) / std).to(model.dtype)))  # (B, D)

    def _embed_texts(self, texts: Sequence[str]) -> Tensor:
        model = self._load().model
        words, longest = self._words()
        # SigLIP was trained on sentences that are padded to the end, and without a mask
        tokens = words(list(texts), padding="max_length", max_length=longest, truncation=True, return_tensors="pt")
        ids = tokens["input_ids"].to(self.device)
        if self._source.config.model_type.startswith("siglip"):
            return _pooled(model.get_text_features(input_ids=ids))
        return _pooled(model.get_text_features(input_ids=ids, attention_mask=tokens["attention_mask"].to(self.device)))

    def _words(self) -> tuple[Any, int]:
        """The tokenizer, and how many tokens the text tower reads."""
        if self._tokenizer is None:
            with obtaining(self._what, self._source.model, instead="scenes_tower"):
                from transformers import AutoTokenizer

                self._tokenizer = AutoTokenizer.from_pretrained(self._source.model, revision=self._source.revision)
        longest = int(getattr(self._source.config.text_config, "max_position_embeddings", 77))
        return self._tokenizer, min(longest, self._tokenizer.model_max_length)

    def _load(self) -> Loaded:
        """Loaded once."""
        if self._loaded is None:
            source = self._source
            with obtaining(self._what, source.model, instead="scenes_tower"):
                from transformers import AutoImageProcessor, AutoModel

                model = AutoModel.from_pretrained(
                    source.model, revision=source.revision, dtype=getattr(torch, self._dtype)
                )
                processor = AutoImageProcessor.from_pretrained(source.model, revision=source.revision)
            if not hasattr(model, "get_image_features") or not hasattr(model, "get_text_features"):
                raise UserError(
                    f"{self._what}: '{source.model}' gives no image and text features; give a CLIP-like model"
                )
            mean, std = (
                torch.tensor(values, dtype=torch.float32, device=self.device).view(1, 3, 1, 1)
                for values in (processor.image_mean, processor.image_std)
            )
            self._loaded = Loaded(model.eval().requires_grad_(False).to(self.device), mean, std)
        return self._loaded


DUAL_ENCODERS.preset(
    "clip",
    of="transformers",
    summary="CLIP ViT-L/14 of OpenAI through transformers (downloads 1.7 GB); others through model",
    source="Radford et al. 2021, arXiv 2103.00020",
    defaults={"model": CLIP_VIT_L14},
    name="clip",
    model_type="clip",
)
DUAL_ENCODERS.preset(  # models with a fixed image size, not the naflex ones
    "siglip",
    of="transformers",
    summary="SigLIP base, 224 px, through transformers (downloads 0.8 GB); others, SigLIP 2 too, through model",
    source="Zhai et al. 2023, arXiv 2303.15343",
    defaults={"model": SIGLIP},
    name="siglip",
    model_type="siglip",
)


def _pooled(found: Any) -> Tensor:
    """(B, D), which newer versions of the library wrap."""
    return found if isinstance(found, Tensor) else found.pooler_output


def _image_size(what: str, model: str, vision: Any) -> int:
    size = getattr(vision, "image_size", None)
    if isinstance(size, (list, tuple)) and len({*size}) == 1:
        size = size[0]
    if not isinstance(size, int):
        raise UserError(f"{what}: '{model}' has no fixed square image size ({size}); give a model that has one")
    return size


def _dim(config: Any) -> int:
    """D of the shared space."""
    text = config.text_config
    # CLIP-like models, then SigLIP, then towers without a projection
    return int(getattr(config, "projection_dim", None) or getattr(text, "projection_size", None) or text.hidden_size)
