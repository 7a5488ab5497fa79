"""Pretraining by captions, as CLIP does it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backbones import Backbone
from datamodules.batches import ImageBatch, ImageList
from lightning_modules.backbone_file import write_backbone
from lightning_modules.gradient_gather import gather_with_gradient
from lightning_modules.image_module import ImageTask, backbone_of
from lightning_modules.losses.info_nce import info_nce
from lightning_modules.text_side import LEARNED, build_text_side, check_text
from registry import LIGHTNING_MODULES
from semfid.errors import UserError

HIGHEST_SCALE = 100.0  # CLIP's bound on one over the temperature


@LIGHTNING_MODULES.register(
    "contrastive",
    summary="pretrains a backbone on captions (symmetric InfoNCE); writes trunk.safetensors",
    source="CLIP, arXiv 2103.00020",
)
class Contrastive(ImageTask):
    """Projections of image and sentence meet in one space; matching ones must be nearest within the whole batch.

    The batch is that of all processes together. Rows whose sentences are equal are no negatives of each other.

    Figures on the held-out images: ``recall1_image_to_text`` and ``recall1_text_to_image`` (the nearest is a right one, among
    all held-out images), and ``zero_shot_top1`` (nearest class name) where images have classes.

    Args:
        backbone: a `backbones.Backbone` with ``tuning: full``.
        text: ``learned_tower`` (trained along, over the words of the training captions) or a registered text encoder
            (frozen, with a projection that trains); a name or ``{name: ..., keywords}``.
        dim: of the common space.
        temperature: to start from; it is learned.
        optimizer: as in `global_regressor`.
    """

    monitors: ClassVar[Mapping[str, Literal["min", "max"]]] = {"val_recall1": "max"}

    def __init__(
        self,
        backbone: Backbone,
        text: dict[str, Any] | str = "learned_tower",
        dim: int = 128,
        temperature: float = 0.07,
        optimizer: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(backbone, optimizer)
        self.text_config, self.dim = text, dim
        self.image_projection = nn.Linear(backbone.embed_dim, dim, bias=False)
        self.log_scale = nn.Parameter(torch.tensor(math.log(1.0 / temperature)))
        self.text_side: nn.Module | None = None
        self.classes: tuple[str, ...] = ()
        self._labels = torch.empty(0, dtype=torch.int64)

    @classmethod
    def check(cls, keywords: Mapping[str, Any]) -> None:
        check_text(keywords.get("text", LEARNED))
        if keywords.get("dim", 1) < 1:
            raise UserError(f"model.dim is {keywords['dim']}; it must be at least 1")
        if not 1 / HIGHEST_SCALE <= keywords.get("temperature", 1.0) <= 10:
            raise UserError(f"model.temperature is {keywords['temperature']:g}; it must be between 0.01 and 10")

    def prepare(self, listed: ImageList) -> None:
        """A text side that knows the sentences.

        Raises:
            UserError: an image without a caption.
        """
        lacking = [row for row, sentences in enumerate(listed.captions) if not sentences]
        if lacking:
            raise UserError(
                f"{listed.name}: {len(lacking)} of {len(listed.captions)} images have no caption and contrastive needs them; "
                "give data with captions (datamodule captions), or use the module supervised"
            )
        trained = [sentence for row in listed.train.tolist() for sentence in listed.captions[row]]
        others = [sentence for sentences in listed.captions for sentence in sentences]
        self.text_side = build_text_side(self.text_config, self.dim, trained, [*others, *listed.classes])
        self.classes, self._labels = listed.classes, listed.label

    def embed_images(self, images: Tensor) -> Tensor:
        """(B, dim), unit length, of images (B, 3, H, W) in [0, 1]."""
        return F.normalize(self.image_projection(backbone_of(self).embed(images)).float(), dim=1, eps=1e-6)

    def embed_texts(self, sentences: tuple[str, ...]) -> Tensor:
        """(B, dim), unit length."""
        if self.text_side is None:
            raise UserError("model: contrastive needs prepare(listed) before it sees a caption")
        return F.normalize(self.text_side(sentences).float(), dim=1, eps=1e-6)

    def training_step(self, batch: ImageBatch, batch_index: int) -> Tensor:
        image, own = gather_with_gradient(self.embed_images(batch.image))  # (N, dim) of all processes
        text, _ = gather_with_gradient(self.embed_texts(batch.caption))
        keys = torch.tensor([_key(sentence) for sentence in batch.caption], device=image.device)
        key, _ = gather_with_gradient(keys)
        fills_up = torch.full_like(keys, int(math.isinf(batch.total)))  # a share without a row of its own
        filler, _ = gather_with_gradient(fills_up)
        with torch.autocast(image.device.type, enabled=False):
            loss = info_nce(image, text, self.log_scale.exp(), key, filler == 0, own)
        # of a share without a row of its own the loss is 0 already
        loss = self.step_loss(loss, batch._replace(total=1.0) if math.isinf(batch.total) else batch)
        self.log("train/temperature", (-self.log_scale.detach()).exp(), on_step=True, batch_size=1)
        return loss

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_index: int) -> None:
        with torch.no_grad():
            self.log_scale.clamp_(max=math.log(HIGHEST_SCALE))

    def evaluate(self, batch: ImageBatch) -> None:
        keys = torch.tensor([_key(sentence) % (1 << 52) for sentence in batch.caption])  # exact as float64
        image, text = self.embed_images(batch.image), self.embed_texts(batch.caption)
        self.collect(batch.row, {"image": image, "text": text, "key": keys})

    def summary(self, found: dict[str, Tensor]) -> tuple[dict[str, float], dict[str, Tensor]]:
        image, text, key = found["image"], found["text"], found["key"]
        to_text, to_image = _first_is_right(image, text, key), _first_is_right(text, image, key)
        figures = {
            "recall1_image_to_text": float(to_text.double().mean()),
            "recall1_text_to_image": float(to_image.double().mean()),
        }
        labels = self._labels[found["row"]]
        if len(self.classes) > 1 and bool((labels >= 0).any()):
            with torch.no_grad():
                names = self.embed_texts(self.classes).double().cpu()  # (K, dim)
            nearest = (image @ names.T).argmax(dim=1)
            figures["zero_shot_top1"] = float((nearest == labels)[labels >= 0].double().mean())
        return figures, {"row": found["row"], "image_to_text": to_text.long(), "text_to_image": to_image.long()}

    def monitored(self, figures: Mapping[str, float]) -> dict[str, float]:
        return {"val_recall1": (figures["recall1_image_to_text"] + figures["recall1_text_to_image"]) / 2}

    def save(self, folder: Path) -> None:
        """``trunk.safetensors``, without projections and text side."""
        write_backbone(backbone_of(self), folder, "contrastive", self.figures)


def _key(sentence: str) -> int:
    """A number for a sentence, the same on every process."""
    return int.from_bytes(hashlib.blake2b(sentence.encode(), digest_size=7).digest(), "little")


def _first_is_right(query: Tensor, among: Tensor, key: Tensor) -> Tensor:
    """(N,) bool: whether the nearest of `among` has the same sentence; in pieces, so that memory stays small."""
    nearest = torch.cat([(piece @ among.T).argmax(dim=1) for piece in query.split(1024)])
    return key[nearest] == key
