"""Any open_clip visual tower as a backbone: ResNets, vision transformers, and towers that open_clip takes from timm."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from backbones.contract import Backbone, TuningOptions
from backbones.weights import load_weights
from models.dual_encoders.open_clip_models import create, weights_of
from registry import BACKBONES
from semfid.errors import UserError


@BACKBONES.register(
    "open_clip",
    summary="any open_clip visual tower; a ViT by the token maps of its blocks",
    source="github.com/mlfoundations/open_clip",
    shared=TuningOptions,
)
class OpenClipBackbone(Backbone):
    """The image tower of a CLIP model; `embed` is its projected image embedding.

    Args:
        model: architecture name, such as ``ViT-B-32`` or ``RN50``.
        pretrained: an open_clip tag (``openai``, ``laion2b_s34b_b79k``), ``none``, or the path of the tower's weights.
    """

    def __init__(self, model: str = "RN50", pretrained: str = "openai", *, options: TuningOptions) -> None:
        tower, mean, std = _create(model, pretrained, options.init_seed)
        taps, channels, strides = _taps(tower, model)
        super().__init__(
            tower,
            name=f"open_clip.{model}",
            channels=channels,
            strides=strides,
            embed_dim=_embed_dim(tower),
            mean=mean,
            std=std,
            tuning=options.tuning,
            lora_rank=options.lora_rank,
            batch_norm=options.batch_norm,
        )
        self._taps = taps
        self._image_size = tower.image_size if isinstance(tower.image_size, tuple) else (tower.image_size,) * 2
        self.image_size = int(self._image_size[0])
        self._model_name = model

    def _stages(self, images: Tensor) -> list[Tensor]:
        return self._run(images)[0]

    def _embed(self, images: Tensor) -> Tensor:
        return self._run(images)[1]

    def features_and_embedding(self, images: Tensor, taps: str = "stages") -> tuple[list[Tensor], Tensor]:
        if taps != "stages":
            return self.features(images, "blocks"), self.embed(images)
        return self._run(self._normalise(images))

    def _run(self, images: Tensor) -> tuple[list[Tensor], Tensor]:
        if tuple(images.shape[-2:]) != tuple(self._image_size):
            raise UserError(
                f"{self._model_name} takes {self._image_size[0]}x{self._image_size[1]} images, not "
                f"{images.shape[-2]}x{images.shape[-1]}; set data.image_size={self._image_size[0]}"
            )
        taken: list[Tensor] = []
        modules = dict(self.net.named_modules())
        hooks = [modules[name].register_forward_hook(lambda _m, _i, out: taken.append(out)) for name in self._taps]
        try:
            embedding = self.net(images)  # (B, D)
        finally:
            for hook in hooks:
                hook.remove()
        maps = [_to_map(tensor, images.shape, stride) for tensor, stride in zip(taken, self.strides, strict=True)]
        return maps, embedding


def _create(model: str, pretrained: str, init_seed: int) -> tuple[Any, Any, Any]:
    tag, path = weights_of("backbone", model, pretrained)
    tower = create("backbone", model, tag, init_seed, "pretrained: path/to/visual_tower.safetensors").visual.float()
    if path is not None:
        load_weights(tower, path, head_prefixes=("classifier.",))
    return tower, tower.image_mean, tower.image_std


def _taps(tower: Any, model: str) -> tuple[list[str], list[int], list[int]]:
    """Names, channels and strides of the taps of a tower, shallow to deep."""
    if hasattr(tower, "layer4"):  # ModifiedResNet: act3 ends the stem
        channels = [
            tower.conv3.out_channels,
            *(getattr(tower, f"layer{i}")[-1].conv3.out_channels for i in range(1, 5)),
        ]
        return ["act3", "layer1", "layer2", "layer3", "layer4"], channels, [2, 4, 8, 16, 32]
    if hasattr(tower, "transformer"):  # VisionTransformer
        depth = len(tower.transformer.resblocks)
        names = [f"transformer.resblocks.{i}" for i in range(depth)]
        return names, [tower.transformer.width] * depth, [tower.patch_size[0]] * depth
    info = getattr(getattr(tower, "trunk", None), "feature_info", None)
    if not isinstance(info, list):
        raise UserError(f"backbone: open_clip's {model} gives no intermediate features; choose another tower")
    return [f"trunk.{i['module']}" for i in info], [i["num_chs"] for i in info], [i["reduction"] for i in info]


def _embed_dim(tower: nn.Module) -> int:
    size = tower.image_size if isinstance(tower.image_size, tuple) else (tower.image_size,) * 2
    with torch.no_grad():
        return int(tower.eval()(torch.zeros(1, 3, *size)).shape[-1])


def _to_map(tensor: Tensor, image_shape: torch.Size, stride: int) -> Tensor:
    """Tokens (B, N, C) to a map (B, C, h, w) without the class tokens; maps pass through."""
    if tensor.dim() == 4:
        return tensor
    height, width = image_shape[-2] // stride, image_shape[-1] // stride
    patches = tensor[:, tensor.shape[1] - height * width :]  # class and register tokens stand in front
    return patches.transpose(1, 2).reshape(tensor.shape[0], tensor.shape[2], height, width)
