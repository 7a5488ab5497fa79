"""The contract of a feature extractor. Everything that a head, a cache or a checkpoint may rely on stands here."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from backbones.lora import attach_lora
from semfid.errors import UserError, deprecated

Tuning = Literal["frozen", "lora", "full"]
BatchNormMode = Literal["frozen", "train"]
Taps = Literal["stages", "blocks"]

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class TuningOptions:
    """Keywords of every backbone that a library builds.

    Attributes:
        tuning: what of it trains; see `Backbone`.
        lora_rank: of the adapters under ``tuning: lora``.
        batch_norm: ``frozen`` keeps BatchNorm's statistics also under ``tuning: full``.
        init_seed: of random weights; they do not depend on the run's seed.
    """

    tuning: Tuning = "frozen"
    lora_rank: int = 32
    batch_norm: BatchNormMode = "frozen"
    init_seed: int = 0


class Backbone(nn.Module):
    """Images in, features out; the backbone below knows nothing of pairs, labels or heads.

    A subclass builds its network, hands it to this constructor and implements `_stages` and `_embed` (and `_blocks`,
    where it has residual blocks). Images are RGB float32 in [0, 1], (B, 3, H, W): normalisation by the backbone's own mean
    and std happens here, so that a caller cannot get it wrong.

    Tuning:
        ``frozen``: no weight wants a gradient (so none is tracked, but for images that want theirs), eval mode that
        survives ``.train()`` (BatchNorm keeps its statistics), left out of
        checkpoints. ``lora``: low-rank adapters on linear and convolution layers through peft; the rest is frozen and
        left out of checkpoints. ``full``: all weights train.

    Attributes:
        channels: C_l of each stage, shallow to deep, stem first.
        strides: input pixels per feature position of each stage.
        block_channels: C_l of each residual block; empty where `features(..., "blocks")` is not available.
        embed_dim: D of `embed`.
        identity: name and weights hash; equal identities give equal features.
        image_size: the one size, in pixels a side, of images that it takes; None: any.
        why_not: why it cannot be exported to a file of its own; empty where it can.
    """

    image_size: int | None = None
    why_not: ClassVar[str] = ""

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        net: nn.Module,
        *,
        name: str,
        channels: Sequence[int],
        strides: Sequence[int],
        embed_dim: int,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        block_channels: Sequence[int] = (),
        tuning: Tuning = "frozen",
        lora_rank: int = 32,
        batch_norm: BatchNormMode = "frozen",
    ) -> None:
        super().__init__()
        self.channels, self.strides, self.embed_dim = tuple(channels), tuple(strides), embed_dim
        self.block_channels = tuple(block_channels)
        self.tuning: Tuning = tuning
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)
        # float32 convolutions on channels-last memory are 1.3-1.6 times faster on CPUs, and faster in bf16 on GPUs
        self.net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.identity = f"{name}-{weights_hash(net)}"
        self._quiet_batch_norm = tuning != "full" or batch_norm == "frozen"
        if tuning != "full":
            self.net.requires_grad_(False)
        if tuning == "lora":
            attach_lora(self.net, lora_rank)
        self._register_frozen_keys()
        self.train(True)

    def features(self, images: Tensor, taps: Taps = "stages") -> list[Tensor]:
        """Feature maps, shallow to deep: one (B, C_l, H_l, W_l) per stage, or per residual block.

        Raises:
            UserError: the backbone has no residual blocks to tap, or does not take images of this size.
        """
        if taps == "blocks" and not self.block_channels:
            raise UserError(f"{self.identity} has no residual blocks to tap; use a head on stages (lpips_linear)")
        return self._stages(self._normalise(images)) if taps == "stages" else self._blocks(self._normalise(images))

    def embed(self, images: Tensor) -> Tensor:
        """One vector per image, (B, D)."""
        return self._embed(self._normalise(images))

    def features_and_embedding(self, images: Tensor, taps: Taps = "stages") -> tuple[list[Tensor], Tensor]:
        """Both; subclasses that can share one pass override it."""
        return self.features(images, taps), self.embed(images)

    def forward(self, images: Tensor, taps: Taps = "stages") -> list[Tensor]:
        """The same as `features`."""
        return self.features(images, taps)

    @property
    def exportable(self) -> bool:
        """Whether a graph of tensor operations can stand for it."""
        return not self.why_not

    @property
    def batch_matters(self) -> bool:
        """Whether the images of a batch change each other's features now: BatchNorm that trains takes its statistics there."""
        return self.training and not self._quiet_batch_norm

    def train(self, mode: bool = True) -> Backbone:
        """Training mode as far as `tuning` lets it: a frozen backbone stays in eval mode, BatchNorm too where frozen."""
        super().train(mode)
        if self.tuning == "frozen":
            self.net.eval()
        elif self._quiet_batch_norm:
            for module in self.net.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self

    def _stages(self, images: Tensor) -> list[Tensor]:
        raise NotImplementedError(f"{type(self).__name__} must implement _stages")

    def _blocks(self, images: Tensor) -> list[Tensor]:
        raise NotImplementedError(f"{type(self).__name__} declares block_channels but has no _blocks")

    def _embed(self, images: Tensor) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} must implement _embed")

    def _normalise(self, images: Tensor) -> Tensor:
        return ((images - self.mean) / self.std).contiguous(memory_format=torch.channels_last)

    @property
    def trunk(self) -> nn.Module:
        """The name of `net` until 0.1."""
        deprecated("Backbone.trunk is now Backbone.net")
        return self.net

    def _register_frozen_keys(self) -> None:
        """Keep what never trains out of state dicts, and fill it in on loading, so that `strict` stays on."""
        self.register_load_state_dict_pre_hook(_take_old_keys)
        if self.tuning == "full":
            return
        trained = {name for name, parameter in self.net.named_parameters() if parameter.requires_grad}
        self._frozen_keys = tuple(key for key in self.net.state_dict() if key not in trained)
        self.register_state_dict_post_hook(_drop_frozen_keys)
        self.register_load_state_dict_pre_hook(_fill_frozen_keys)


def current_key(key: str) -> str:
    """A key of a module's state dict as it is called now: until 0.1, `backbone` was `trunk`, and so was its `net`."""
    return key.replace("trunk.trunk.", "backbone.net.", 1) if key.startswith("trunk.trunk.") else key


def rename_keys(state: dict[str, Any], old: str, new: str) -> None:
    """Give the keys that begin with `old` the beginning `new`, in place."""
    for key in [key for key in state if key.startswith(old)]:
        state[new + key.removeprefix(old)] = state.pop(key)


def _take_old_keys(_module: Any, state: dict[str, Any], prefix: str, *_: Any) -> None:
    rename_keys(state, f"{prefix}trunk.", f"{prefix}net.")


def _drop_frozen_keys(module: Any, state: dict[str, Any], prefix: str, _metadata: Any) -> None:
    for key in module._frozen_keys:
        state.pop(f"{prefix}net.{key}", None)


def _fill_frozen_keys(module: Any, state: dict[str, Any], prefix: str, *_: Any) -> None:
    own = module.net.state_dict()
    for key in module._frozen_keys:
        state.setdefault(f"{prefix}net.{key}", own[key])


def weights_hash(module: nn.Module) -> str:
    """First 16 hex digits of sha256 over names, shapes and bytes of all weights and buffers."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        value = tensor.detach().cpu().contiguous()
        digest.update(f"{name}{tuple(value.shape)}{value.dtype}".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().tobytes() if value.numel() else b"")
    return digest.hexdigest()[:16]
