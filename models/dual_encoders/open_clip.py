"""Any CLIP model of open_clip: both towers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.dual_encoders.contract import DualEncoder
from models.dual_encoders.open_clip_models import create, weights_of
from models.hub import Precision, check_positive, device_of, first_line
from registry import DUAL_ENCODERS
from semfid.errors import UserError
from semfid.io.images import file_hash

WEIGHTS = (
    "open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "open_clip_pytorch_model.bin"
)  # fmt: skip


@DUAL_ENCODERS.register(
    "open_clip",
    summary="any model of open_clip (CLIP, SigLIP, ...); ViT-B-32 of LAION-2B by default (downloads 0.6 GB)",
    source="github.com/mlfoundations/open_clip",
)
class OpenClipDualEncoder(DualEncoder):
    """A model of open_clip, with mean and std of its weights.

    Args:
        model: architecture, such as ``ViT-B-32``; see ``open_clip.list_models()``.
        pretrained: a tag of open_clip (``openai``, ``laion2b_s34b_b79k``), the path of a checkpoint of the whole model or of
            a folder that holds one (as a repository of the hub does), or ``none``: random weights. A checkpoint gets the mean
            and std of the model's first tag.
        init_seed: of random weights.
        batch_size: pictures or sentences at a time.
        device: auto, cpu, cuda, cuda:1, ...
        precision: of the arithmetic; auto: float32, so that a GPU's vectors are a CPU's.
    """

    def __init__(
        self,
        model: str = "ViT-B-32",
        pretrained: str = "laion2b_s34b_b79k",
        init_seed: int = 0,
        batch_size: int = 32,
        device: str = "auto",
        precision: Precision = "auto",
    ) -> None:
        import open_clip

        self._what = "dual encoder: open_clip"
        check_positive(self._what, batch_size=batch_size)
        self.batch_size, self._model, self._seed = batch_size, model, init_seed
        self._tag, self._path = weights_of(self._what, model, pretrained)
        config: dict[str, Any] = open_clip.get_model_config(model) or {}
        self.dim = int(config["embed_dim"])
        self.image_size = int(config["vision_cfg"]["image_size"])
        self._length = int(config["text_cfg"].get("context_length", 77))
        self.device = device_of(self._what, device)
        self._dtype = "float32" if precision == "auto" else precision
        if self._path is not None and self._path.is_dir():
            self._path = _checkpoint(self._what, self._path)
        weights = self._tag or (f"files:{file_hash(self._path).hex()[:16]}" if self._path else f"none-seed{init_seed}")
        self.identity = f"open_clip-1-{model}-{weights}-{self._dtype}"
        self._loaded: tuple[Any, Tensor, Tensor] | None = None
        self._tokenizer: Any = None

    def cut(self, texts: Sequence[str]) -> list[str]:
        return [text for text in texts if self._tokens(text) > self._length]

    def release(self) -> None:
        self._loaded = None

    def _embed_pixels(self, images: Tensor) -> Tensor:
        model, mean, std = self._load()
        with self._arithmetic():
            return model.encode_image((images - mean) / std)  # (B, D)

    def _embed_texts(self, texts: Sequence[str]) -> Tensor:
        model, _, _ = self._load()
        tokens = self._words()(list(texts)).to(self.device)  # (B, context length)
        with self._arithmetic():
            return model.encode_text(tokens)

    def _arithmetic(self) -> torch.autocast:
        """Autocast to the chosen precision; weights stay in float32."""
        return torch.autocast(
            self.device.partition(":")[0], getattr(torch, self._dtype), enabled=self._dtype != "float32"
        )

    def _tokens(self, text: str) -> int:
        """Length of a sentence with its marks of beginning and end."""
        words = self._words()
        if hasattr(words, "tokenizer"):  # one of transformers
            return len(words.tokenizer(words.clean_fn(text))["input_ids"])
        return len(words.encode(text)) + 2

    def _words(self) -> Any:
        if self._tokenizer is None:
            import open_clip

            try:
                self._tokenizer = open_clip.get_tokenizer(self._model)
            except (OSError, ValueError) as error:
                raise UserError(
                    f"{self._what}: cannot get the tokenizer of {self._model} ({first_line(error)}); connect, fill HF_HUB_CACHE, "
                    "or choose a model that brings its own, such as ViT-B-32"
                ) from error
        return self._tokenizer

    def _load(self) -> tuple[Any, Tensor, Tensor]:
        """Model, mean and std (1, 3, 1, 1), loaded once."""
        if self._loaded is None:
            weights = self._tag or self._path
            model = create(self._what, self._model, weights, self._seed, "pretrained: path/to/checkpoint")
            model = model.float().eval().requires_grad_(False).to(self.device)
            mean, std = self._mean_and_std(model)
            self._loaded = model, *(torch.tensor(values, device=self.device).view(1, 3, 1, 1) for values in (mean, std))
        return self._loaded

    def _mean_and_std(self, model: Any) -> tuple[Sequence[float], Sequence[float]]:
        import open_clip

        tags = open_clip.list_pretrained_tags_by_model(self._model)
        if self._path is not None and tags:
            config = open_clip.get_pretrained_cfg(self._model, tags[0])
            if config.get("mean") and config.get("std"):
                return config["mean"], config["std"]
        return model.visual.image_mean, model.visual.image_std


def _checkpoint(what: str, folder: Path) -> Path:
    for name in WEIGHTS:
        if (folder / name).is_file():
            return folder / name
    raise UserError(
        f"{what}: folder {folder} holds none of {', '.join(WEIGHTS)}; give the path of the checkpoint itself"
    )
