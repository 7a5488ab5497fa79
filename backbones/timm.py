"""Any timm model as a backbone, convolutional or transformer."""

from __future__ import annotations

import contextlib
import copy
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from backbones.contract import Backbone, TuningOptions
from backbones.weights import load_weights
from models.catalogue.lock import pinned_revision
from registry import BACKBONES
from semfid.errors import UserError, did_you_mean
from semfid.keywords import Fixed

# where timm's families keep their residual blocks: ResNet, ByobNet / RegNet, ConvNeXt
_BLOCK = re.compile(r"^(layer\d+\.\d+|stages\.\d+\.(blocks\.)?\d+)$")


@BACKBONES.register(
    "timm",
    summary="any timm model by its arch.tag name",
    source="github.com/huggingface/pytorch-image-models",
    shared=TuningOptions,
)
class TimmBackbone(Backbone):
    """A timm model's own stages (`forward_intermediates`); a ViT's "stages" are the token maps of its blocks.

    Args:
        image_size: of a ViT: the size of images that it shall take, where that is not its own (DINOv2's is 518); its position
            embeddings are interpolated.
    """

    def __init__(
        self,
        model: str,
        pretrained: str = "hub",
        *,
        options: TuningOptions,
        image_size: int | None = None,
    ) -> None:
        net = self._net(model, pretrained, options.init_seed)
        if image_size is not None:
            _set_image_size(net, model, image_size)
        cfg = net.pretrained_cfg
        info = [(entry["num_chs"], entry["reduction"]) for entry in net.feature_info]
        blocks = [module for name, module in net.named_modules() if _BLOCK.match(name)]
        super().__init__(
            net,
            name=f"timm.{model}",
            channels=[channels for channels, _ in info],
            strides=[stride for _, stride in info],
            embed_dim=net.num_classes or net.head_hidden_size,
            mean=cfg["mean"],
            std=cfg["std"],
            block_channels=_block_channels(blocks),
            tuning=options.tuning,
            lora_rank=options.lora_rank,
            batch_norm=options.batch_norm,
        )
        self._block_names = [name for name, _ in net.named_modules() if _BLOCK.match(name)]
        self._model_name = model
        self._own_size = tuple(cfg["input_size"][-2:]) if image_size is None else (image_size, image_size)
        expected = getattr(getattr(net, "patch_embed", None), "img_size", None)
        self.image_size = None if expected is None else int(expected[0])

    @classmethod
    def _net(cls, model: str, pretrained: str, init_seed: int) -> Any:
        return create_net(model, pretrained, init_seed)

    def _stages(self, images: Tensor) -> list[Tensor]:
        return self._intermediates(images)[1]

    def _embed(self, images: Tensor) -> Tensor:
        return self._pool(self._intermediates(images)[0])

    def features_and_embedding(self, images: Tensor, taps: str = "stages") -> tuple[list[Tensor], Tensor]:
        if taps != "stages":
            return self.features(images, "blocks"), self.embed(images)
        final, stages = self._intermediates(self._normalise(images))
        return stages, self._pool(final)

    def _intermediates(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        expected = getattr(getattr(self.net, "patch_embed", None), "img_size", None)
        if expected is not None and tuple(images.shape[-2:]) != tuple(expected):
            raise UserError(
                f"{self._model_name} takes {expected[0]}x{expected[1]} images, not {images.shape[-2]}x{images.shape[-1]}; "
                f"set data.image_size={expected[0]}"
            )
        with self._size_explained(images):
            final, stages = self.net.forward_intermediates(images)  # stages: (B, C_l, H_l, W_l)
        return final, stages

    @contextlib.contextmanager
    def _size_explained(self, images: Tensor) -> Iterator[None]:
        """Tell a size that the model cannot take from other faults; families with windows or tables for one size say it in
        many ways, some of them from inside torch.

        Raises:
            UserError: names the size that the model is made for.
        """
        try:
            yield
        except (AssertionError, RuntimeError) as error:
            height, width = images.shape[-2:]
            why = _refusal(self._model_name, self._own_size, height, width)
            if not why:
                raise
            raise UserError(
                f"{self._model_name} cannot take {height}x{width} images ({why}); set data.image_size={self._own_size[0]}"
            ) from error

    def _pool(self, final: Tensor) -> Tensor:
        return self.net.forward_head(final, pre_logits=self.net.num_classes == 0)  # (B, D)

    def _blocks(self, images: Tensor) -> list[Tensor]:
        taken: list[Tensor] = []
        modules = dict(self.net.named_modules())
        hooks = [
            modules[name].register_forward_hook(lambda _m, _i, out: taken.append(out)) for name in self._block_names
        ]
        try:
            with self._size_explained(images):
                self.net.forward_features(images)
        finally:
            for hook in hooks:
                hook.remove()
        if any(block.shape[1] != width for block, width in zip(taken, self.block_channels, strict=True)):
            raise UserError(
                f"{self._model_name} keeps its channels last inside, so its blocks cannot be tapped; use lpips_linear"
            )
        return taken


def _refusal(model: str, own: tuple[int, int], height: int, width: int) -> str:
    """Why a model takes no images of a size although it takes those of its own; empty where it takes both, or neither."""
    import timm

    with torch.device("meta"):  # shapes alone: no weights, no arithmetic
        net = timm.create_model(model, pretrained=False, **_without_classifier(model)).eval()
        if hasattr(net, "set_input_size") and own != tuple(net.pretrained_cfg["input_size"][-2:]):
            net.set_input_size(img_size=own)
    return "" if _fault(net, *own) else _fault(net, height, width)


def _fault(net: Any, height: int, width: int) -> str:
    """What a network on the meta device says of images of a size; empty where it takes them."""
    try:
        net.forward_intermediates(torch.zeros(1, 3, height, width, device="meta"))
    except (AssertionError, RuntimeError) as error:
        return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
    return ""


def _without_classifier(model: str) -> dict[str, int]:
    """A CLIP tower's projection is its embedding; any other model's classifier is dropped."""
    return {} if "clip" in model.split(".")[0] else {"num_classes": 0}


def create_net(model: str, pretrained: str, init_seed: int) -> Any:
    """A timm model without classifier, in timm's own weights (``hub``), random ones (``none``) or those of a file.

    Raises:
        UserError: no such model or file, weights that cannot be had, or a model without intermediate features.
    """
    import timm  # not needed to list what is registered

    architecture = model.split(".")[0]
    if not timm.is_model(architecture):
        raise UserError(
            f"backbone: timm has no model '{architecture}'{did_you_mean(architecture, timm.list_models())} "
            "(timm.list_models() names them all)"
        )
    keywords = _without_classifier(model)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(init_seed)  # random weights belong to `init_seed`, not to the run's seed
        try:
            net = timm.create_model(
                model, pretrained=pretrained == "hub", pretrained_cfg_overlay=_pinned(model, pretrained), **keywords
            )
        except (OSError, RuntimeError) as error:
            if pretrained != "hub":
                raise
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise UserError(
                f"backbone: cannot get the weights of '{model}' from the hub ({reason}); connect, or set HF_HUB_CACHE to a "
                "filled cache, or give pretrained: path/to/weights (pretrained: none trains from random weights)"
            ) from error
    if not hasattr(net, "forward_intermediates") or not isinstance(net.feature_info, list):
        raise UserError(f"backbone: timm's '{model}' gives no intermediate features; choose another model")
    if pretrained not in ("hub", "none"):
        load_weights(net, Path(pretrained), head_prefixes=("fc.", "head.", "classifier."))
    return net


def _pinned(model: str, pretrained: str) -> dict[str, str]:
    """What makes timm take the revision of a model's weights that is pinned or recorded; empty where none is."""
    import timm

    found = timm.get_pretrained_cfg(model, allow_unregistered=True) if pretrained == "hub" else None
    revision = pinned_revision(found.hf_hub_id) if found is not None and found.hf_hub_id else None
    return {} if found is None or revision is None else {"hf_hub_id": f"{found.hf_hub_id}@{revision}"}


def _set_image_size(net: Any, model: str, image_size: int) -> None:
    if not hasattr(net, "set_input_size"):
        raise UserError(f"backbone: timm's '{model}' takes images of any size; remove image_size")
    given = getattr(getattr(net, "patch_embed", None), "patch_size", 1)
    patch = given if isinstance(given, int) else given[0]
    if image_size < patch or image_size % patch:
        near = max(1, round(image_size / patch)) * patch
        raise UserError(
            f"backbone: image_size={image_size} is no multiple of the {patch} pixels of {model}'s patches; try {near}"
        )
    size = (image_size, image_size)
    try:
        net.set_input_size(img_size=size)
        why = _fault(copy.deepcopy(net).to("meta").eval(), *size)
    except (AssertionError, RuntimeError, ValueError) as error:
        why = (str(error).strip() or type(error).__name__).splitlines()[0]
    if why:
        own = net.pretrained_cfg["input_size"][-1]
        raise UserError(f"backbone: {model} cannot take image_size={image_size} ({why}); its own size is {own}")


def _block_channels(blocks: list[nn.Module]) -> list[int]:
    """Output channels of residual blocks, read off their last weight layer; empty where that cannot be told."""
    widths = []
    for block in blocks:
        convolutions = [
            module
            for name, module in block.named_modules()
            if isinstance(module, nn.Conv2d) and not re.search(r"shortcut|downsample|se\.|attn", name)
        ]
        if not convolutions:
            return []
        widths.append(convolutions[-1].out_channels)
    return widths


@BACKBONES.register(
    "resnet50_imagenet",
    summary="ResNet-50 trained on ImageNet classes",
    source="timm resnet50.a1_in1k, arXiv 2110.00476",
    shared=TuningOptions,
)
def resnet50(
    pretrained: str = "hub",
    tag: str = "a1_in1k",
    *,
    options: TuningOptions,
    architecture: Fixed[str] = "resnet50",
) -> TimmBackbone:
    """A ResNet-50; `tag` is any that timm has for it (a1_in1k, tv_in1k, ...). Strides 2 to 32, channels 64 to 2048."""
    return TimmBackbone(f"{architecture}.{tag}", pretrained, options=options)


BACKBONES.preset(  # `embed` gives CLIP's image embedding: attention pooling, 1024 values
    "resnet50_clip",
    of="resnet50_imagenet",
    summary="CLIP's ResNet-50 image tower",
    source="timm resnet50_clip.openai, arXiv 2103.00020",
    defaults={"tag": "openai"},
    architecture="resnet50_clip",
)
