"""A small super-resolution network trained with or without a semantic loss.

The question is whether a trained metric of semantic difference, put into the loss, makes a network keep meaning better, as
a *different* metric sees it. (The source document names this as future work.)
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save as save_tensors
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

from backbones import Backbone
from datamodules.batches import ImageBatch, ImageList
from lightning_modules.image_module import ImageTask
from lightning_modules.projects.sr_network import SmallEdsr, shrunk
from lightning_modules.scorer import open_scorer
from registry import LIGHTNING_MODULES
from semfid.errors import UserError
from semfid.io.files import write_whole
from semfid.scoring.scorer import Scorer, keep_out_of_checkpoints

EXAMPLES = 8


@LIGHTNING_MODULES.register(
    "super_resolution",
    summary="a small EDSR trained with L1 and, if wanted, a semantic loss; judged by another run",
    source="EDSR, arXiv 1707.02921; source document's future work",
)
class SuperResolution(ImageTask):
    """Photos are made small (bicubic, antialiased) and noisy; the network makes them large again.

    Loss: ``L1 + semantic_weight * semantic difference(photo, output)``. Figures on the held-out images: ``psnr`` in dB and
    ``ssim`` of outputs, ``bicubic_psnr``, ``judged`` (mean semantic difference by `judge`), ``bicubic_judged``, and
    ``own`` (by `semantic`, where it is in the loss).

    Args:
        backbone: None; the network is `sr_network.SmallEdsr`.
        semantic: scorer of the loss: ``default`` for the default metric, a run folder, an exported file, or a pattern that fits
            one of them.
        semantic_weight: 0 leaves the scorer out of the loss, and unread.
        judge: scorer that measures, named as `semantic` is; its weights must not be those of `semantic`.
        scale: 2 or 4; the image size must be divisible by it.
        noise: standard deviation of the Gaussian noise on small images, of [0, 1].
        channels, blocks: of the network.
        optimizer: as in `global_regressor`.
    """

    needs_backbone: ClassVar[bool] = False
    monitors: ClassVar[Mapping[str, Literal["min", "max"]]] = {"val_psnr": "max", "val_judged": "min"}

    def __init__(
        self,
        backbone: Backbone | None,
        judge: str,
        semantic: str | None = None,
        semantic_weight: float = 0.0,
        scale: int = 4,
        noise: float = 0.02,
        channels: int = 32,
        blocks: int = 6,
        optimizer: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(backbone, optimizer)
        self.check({"semantic": semantic, "semantic_weight": semantic_weight, "noise": noise})
        self.network = SmallEdsr(scale, channels, blocks)
        self.scale, self.noise, self.semantic_weight = scale, float(noise), float(semantic_weight)
        self.judge: Scorer = open_scorer(judge)
        self.semantic: Scorer | None = None
        if semantic is not None and self.semantic_weight > 0:
            self.semantic = open_scorer(semantic)
            if self.semantic.facts.weights_hash == self.judge.facts.weights_hash:
                raise UserError(f"model.judge: {judge} is the scorer of the loss too; judge by another run")
            keep_out_of_checkpoints(self, "semantic")
        keep_out_of_checkpoints(self, "judge")
        self._examples: dict[int, Tensor] = {}
        self._drawn: tuple[int, ...] = ()

    @classmethod
    def check(cls, keywords: Mapping[str, Any]) -> None:
        weight, noise = keywords.get("semantic_weight", 0.0), keywords.get("noise", 0.02)
        if weight < 0:
            raise UserError(f"model.semantic_weight is {weight:g}; it must be at least 0")
        if weight > 0 and keywords.get("semantic") is None:
            raise UserError("model.semantic_weight needs model.semantic: the scorer of the loss")
        if not 0 <= noise < 1:
            raise UserError(f"model.noise is {noise:g}; it must be in [0, 1)")

    def prepare(self, listed: ImageList) -> None:
        self._drawn = tuple(int(row) for row in listed.test[:EXAMPLES])

    def train(self, mode: bool = True) -> SuperResolution:
        """Scorers stay in eval mode."""
        super().train(mode)
        self.judge.eval()
        if self.semantic is not None:
            self.semantic.eval()
        return self

    def forward(self, low: Tensor) -> Tensor:
        """(B, 3, h, w) to (B, 3, s h, s w), in [0, 1]."""
        return self.network(low).clamp(0.0, 1.0)  # type: ignore[no-any-return]

    def shrink(self, images: Tensor, rows: Tensor | None) -> Tensor:
        """Small noisy images (B, 3, H / s, W / s) of images (B, 3, H, W).

        Args:
            rows: (B,) seeds of the noise, so that figures repeat; None: the step's random state.

        Raises:
            UserError: a side that `scale` does not divide.
        """
        height, width = images.shape[-2:]
        if height % self.scale or width % self.scale:
            raise UserError(f"data.image_size: {width}x{height} is not divisible by model.scale {self.scale}")
        return shrunk(images, self.scale, self.noise, rows)

    def training_step(self, batch: ImageBatch, batch_index: int) -> Tensor:
        raw = self.network(self.shrink(batch.image, None))
        pixel = (raw - batch.image).abs().flatten(1).mean(dim=1)  # (B,)
        total = pixel
        if self.semantic is not None:
            with torch.no_grad():  # nothing about the photo trains
                reference = self.semantic.describe(batch.image)
            meaning = self.semantic.compare(reference, self.semantic.describe(raw.clamp(0.0, 1.0)))  # (B,)
            self.log("train/semantic", meaning.detach().mean(), on_step=True, on_epoch=False, batch_size=len(raw))
            total = pixel + self.semantic_weight * meaning
        self.log("train/l1", pixel.detach().mean(), on_step=True, on_epoch=False, batch_size=len(raw))
        return self.step_loss(total.sum(), batch)

    def evaluate(self, batch: ImageBatch) -> None:
        photos, low = batch.image, self.shrink(batch.image, batch.row)
        output = self(low)
        plain = F.interpolate(low, scale_factor=self.scale, mode="bicubic", align_corners=False).clamp(0.0, 1.0)
        reference = self.judge.describe(photos)
        columns = {
            "psnr": _psnr(output, photos),
            "ssim": structural_similarity_index_measure(output, photos, data_range=1.0, reduction="none"),
            "judged": self.judge.compare(reference, self.judge.describe(output)),
            "bicubic_psnr": _psnr(plain, photos),
            "bicubic_judged": self.judge.compare(reference, self.judge.describe(plain)),
        }
        if self.semantic is not None:
            columns["own"] = self.semantic(photos, output)
        self.collect(batch.row, {name: torch.as_tensor(values).reshape(-1) for name, values in columns.items()})
        for index, row in enumerate(batch.row.tolist()):
            if row in self._drawn:
                self._examples[row] = torch.cat(
                    [plain[index], output[index], photos[index]], dim=2
                ).cpu()  # (3, H, 3 W)

    def summary(self, found: dict[str, Tensor]) -> tuple[dict[str, float], dict[str, Tensor]]:
        return {name: float(values.mean()) for name, values in found.items() if name != "row"}, found

    def save(self, folder: Path) -> None:
        """``network.safetensors``; ``examples.png``: bicubic, output, photo of some held-out images."""
        weights = {name: tensor.contiguous().cpu() for name, tensor in self.network.state_dict().items()}
        write_whole(folder / "network.safetensors", save_tensors(weights))
        if self._examples:
            strips = torch.cat([self._examples[row] for row in sorted(self._examples)], dim=1)  # (3, n H, 3 W)
            pixels = (strips.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
            buffer = io.BytesIO()
            Image.fromarray(pixels).save(buffer, "PNG")
            write_whole(folder / "examples.png", buffer.getvalue())


def _psnr(output: Tensor, photos: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each image in dB, (B,); at most 100."""
    error = (output - photos).square().flatten(1).mean(dim=1)
    return -10.0 * torch.log10(error.clamp(min=1e-10))
