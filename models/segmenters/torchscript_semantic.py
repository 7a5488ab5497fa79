"""Semantic segmentation by any network that is saved as TorchScript: its file needs none of its code."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from models.hub import device_of, first_line
from models.segmenters.contract import Segmentation, Segmenter
from registry import SEGMENTERS
from semfid.errors import UserError
from semfid.io.images import file_hash, to_planes
from semfid.keywords import Fixed


@SEGMENTERS.register(
    "torchscript_semantic",
    summary="any semantic network in a TorchScript file: (1, 3, H, W) to logits (1, classes, h, w)",
    source="pytorch.org/docs, torch.jit",
)
class TorchScriptSemantic(Segmenter):
    """One class a pixel. Two objects of a class that touch are one region; `label maps` takes those apart that do not.

    Each image passes the network alone, squashed to its input size; logits are enlarged to the image's size before the best one
    is taken.

    Args:
        weights: path of the TorchScript file.
        classes: name of each channel of the logits, in order.
        void: names of classes that are no region, such as ``background``.
        image_size: height and width of the network's input in pixels, or one number for both.
        mean, std: of the network's input, in units of [0, 1] RGB.
        device: auto, cpu, cuda, cuda:1, ...
    """

    batch_size = 1

    def __init__(
        self,
        weights: str,
        classes: list[str],
        void: list[str] | None = None,
        image_size: int | list[int] = 384,
        mean: list[float] | None = None,
        std: list[float] | None = None,
        device: str = "auto",
        *,
        name: Fixed[str] = "torchscript_semantic",
    ) -> None:
        self._what = f"segmenter: {name}"
        self._path = Path(weights)
        if not self._path.is_file():
            raise UserError(f"{self._what}: no file {weights}; give weights: path/to/network.torchscript.pt")
        if not classes or len(set(classes)) < len(classes):
            raise UserError(
                f"{self._what} needs classes, each name once; give one for every channel of the logits, in order"
            )
        unknown = [name for name in void or () if name not in classes]
        if unknown:
            raise UserError(f"{self._what}: void has '{unknown[0]}', which is none of the classes")
        sides = [image_size] * 2 if isinstance(image_size, int) else image_size
        if len(sides) != 2 or min(sides) < 1:
            raise UserError(f"{self._what}: image_size={image_size} must be one number of pixels, or [height, width]")
        self._size = sides[0], sides[1]
        self._mean, self._std = (
            self._triple("mean", mean or [0.485, 0.456, 0.406]),
            self._triple("std", std or [0.229, 0.224, 0.225]),
        )
        if min(self._std) <= 0:
            raise UserError(f"{self._what}: std={list(self._std)} must be above 0")
        self._classes, self._void = tuple(classes), tuple(name in (void or ()) for name in classes)
        self._device = device_of(self._what, device)
        settings = f"{self._size}-{self._mean}-{self._std}-{self._classes}-{self._void}"
        self.identity = f"{name}-1-{file_hash(self._path).hex()[:16]}-{settings}"
        self._net: Any = None

    def release(self) -> None:
        self._net = None

    def _segment(self, images: Sequence[Image.Image]) -> list[Segmentation]:
        return [self._one(image) for image in images]

    @torch.inference_mode()
    def _one(self, image: Image.Image) -> Segmentation:
        net = self._load()
        height, width = self._size
        squashed = image.resize((width, height), Image.Resampling.BILINEAR)
        planes = torch.from_numpy(to_planes(squashed)).to(self._device).float()[None] / 255.0  # (1, 3, h, w)
        logits = self._logits(net, (planes - self._planes(self._mean)) / self._planes(self._std))  # (1, C, h', w')
        best = _best(logits[0], (image.height, image.width))  # (H, W)
        confidence, coarse = logits[0].softmax(dim=0).max(dim=0)  # (h', w')
        ids = (best + 1).cpu().numpy().astype(np.int32)
        present = [int(one) for one in np.unique(ids)]
        ids[np.isin(ids, [one for one in present if self._void[one - 1]])] = 0
        kept = [one for one in present if not self._void[one - 1]]
        scores = {one: float(confidence[coarse == one - 1].mean()) for one in kept if bool((coarse == one - 1).any())}
        return Segmentation(ids, {one: self._classes[one - 1] for one in kept}, scores)

    def _planes(self, values: Sequence[float]) -> Tensor:
        return torch.tensor(values, device=self._device).view(1, 3, 1, 1)

    def _triple(self, name: str, values: Sequence[float]) -> tuple[float, ...]:
        if len(values) != 3:
            raise UserError(f"{self._what}: {name}={list(values)} must hold three numbers: red, green, blue")
        return tuple(float(value) for value in values)

    def _load(self) -> Any:
        """The network, loaded and tried once.

        Raises:
            UserError: not a TorchScript file, or one of another signature.
        """
        if self._net is None:
            try:
                net = torch.jit.load(str(self._path), map_location=self._device).eval()
            except (RuntimeError, ValueError, OSError) as error:
                raise UserError(
                    f"{self._what}: {self._path} is no TorchScript file ({first_line(error)}); "
                    "save it with torch.jit.save, or give another"
                ) from error
            self._logits(net, torch.zeros(1, 3, *self._size, device=self._device))
            self._net = net
        return self._net

    def _logits(self, net: Any, planes: Tensor) -> Tensor:
        """(1, C, h, w) float32 of the network."""
        count, shape = len(self._classes), tuple(planes.shape)
        wanted = f"it must give logits (1, {count}, h, w) for images {shape}"
        try:
            found = net(planes)
        except RuntimeError as error:
            # TorchScript's own trace stands before the reason
            reason = (str(error).strip().splitlines() or ["RuntimeError"])[-1]
            raise UserError(
                f"{self._what}: {self._path} cannot take images {shape} ({reason[:200]}); set image_size to the size that it "
                "was traced at"
            ) from error
        if not isinstance(found, Tensor):
            raise UserError(
                f"{self._what}: {self._path} gives a {type(found).__name__}; {wanted}: trace a wrapper that returns them alone"
            )
        if found.dim() != 4 or found.shape[0] != 1 or not found.is_floating_point():
            raise UserError(f"{self._what}: {self._path} gives {found.dtype} {tuple(found.shape)}; {wanted}")
        if found.shape[1] != count:
            raise UserError(
                f"{self._what}: {self._path} gives {found.shape[1]} channels, but classes has {count} names; {wanted}"
            )
        return found.float()


def _best(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """The channel of the largest logit at every pixel, (H, W), of (C, h, w) enlarged bilinearly.

    One channel at a time: all of them at the size of a large photo would fill the memory.
    """
    top, best = (
        torch.full(size, -torch.inf, device=logits.device),
        torch.zeros(size, dtype=torch.long, device=logits.device),
    )
    for channel, plane in enumerate(logits):
        values = F.interpolate(plane[None, None], size, mode="bilinear", align_corners=False)[0, 0]
        better = values > top
        top, best = torch.where(better, values, top), best.masked_fill_(better, channel)
    return best


SEGMENTERS.preset(
    "torchscript_voc",
    of="torchscript_semantic",
    summary="the same with the 21 classes of Pascal VOC, 384 px, such as ESPNetv2's",
    source="Mehta et al. 2019, arXiv 1811.11431",
    defaults={
        "classes": [
            "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "dining table",
            "dog", "horse", "motorbike", "person", "potted plant", "sheep", "sofa", "train", "tv monitor",
        ],
    },
    name="torchscript_voc",
)  # fmt: skip
