"""Decoders of segmentation_models_pytorch (MIT) over squared feature differences, for any backbone.

Their library builds them for encoders of its own; here the backbone's stages take the place of the encoder's (`pyramid`). What
such a decoder gives becomes one channel through a 1x1 convolution, grown to the size of the images.
"""

from __future__ import annotations

import importlib
from typing import Any

from torch import Tensor, nn

from heads.contract import BackboneShape
from heads.decoders.base import DecoderHead, MapOptions, one_channel
from heads.decoders.pyramid import LEVELS, levels_of, resampled
from heads.decoders.unet import grown
from registry import HEADS
from semfid.errors import UserError


class _LibraryDecoder(DecoderHead):
    """Common part: the pyramid in, the last layer out. A subclass hands its decoder to `_hold`."""

    def __init__(self, backbone: BackboneShape, options: MapOptions) -> None:
        super().__init__(backbone, options)
        self.levels = levels_of(backbone.strides)
        self.encoder_channels = [1, *(backbone.channels[stage] for stage in self.levels)]

    def _hold(self, decoder: nn.Module, width: int) -> None:
        self.decoder, self.last = decoder, one_channel(width)

    def decode(self, pixel: Tensor, differences: list[Tensor]) -> Tensor:
        deepest = LEVELS[-1]
        # of the deepest level; some decoders normalise over positions, so one alone will not do
        rows, columns = (max(2, -(-side // deepest)) for side in pixel.shape[-2:])
        pyramid = [pixel]
        for level, stage in zip(LEVELS, self.levels, strict=True):  # each level exactly twice the size of the next
            grow = deepest // level
            pyramid.append(resampled(differences[stage], (rows * grow, columns * grow)))
        return grown(self.last(self._decoded(pyramid)), pixel)  # (B, 1, H, W)

    def _decoded(self, pyramid: list[Tensor]) -> Tensor:
        return self.decoder(pyramid)  # (B, width, H / 4 or so, W / 4 or so)


def _of_library(room: str, name: str, width: int) -> Any:
    """A decoder class of the library, imported when a head of it is built; its layers need widths of whole groups."""
    if width < 32 or width % 32:
        raise UserError(f"head: width={width} must be a multiple of 32")
    try:
        module = importlib.import_module(f"segmentation_models_pytorch.decoders.{room}.decoder")
    except ImportError as error:
        raise UserError(
            f"head: this decoder needs segmentation-models-pytorch ({error}); pip install -r requirements.txt"
        ) from error
    return getattr(module, name)


def _halving(width: int) -> list[int]:
    """Channels of five blocks, deepest first: each half of the one before, none below 16."""
    return [max(16, width >> place) for place in range(len(LEVELS))]


@HEADS.register(
    "unetplusplus",
    summary="UNet++ decoder (nested skip connections) over squared differences",
    source="arXiv 1807.10165; segmentation_models_pytorch",
    shared=MapOptions,
)
class UNetPlusPlus(_LibraryDecoder):
    """UNet++ over squared differences. `width` is that of the deepest block; each further one has half of it."""

    def __init__(self, backbone: BackboneShape, width: int = 256, *, options: MapOptions) -> None:
        super().__init__(backbone, options)
        made = _of_library("unetplusplus", "UnetPlusPlusDecoder", width)
        self._hold(made(self.encoder_channels, _halving(width)), _halving(width)[-1])


@HEADS.register(
    "manet",
    summary="MA-Net decoder (attention over positions and scales) over squared differences",
    source="Fan et al. 2020; segmentation_models_pytorch",
    shared=MapOptions,
)
class MAnet(_LibraryDecoder):
    """MA-Net over squared differences. `width` is that of the deepest block; each further one has half of it."""

    def __init__(self, backbone: BackboneShape, width: int = 256, *, options: MapOptions) -> None:
        super().__init__(backbone, options)
        made = _of_library("manet", "MAnetDecoder", width)
        self._hold(made(self.encoder_channels, _halving(width)), _halving(width)[-1])


@HEADS.register(
    "linknet",
    summary="LinkNet decoder (adds skip connections, light) over squared differences",
    source="arXiv 1707.03718; segmentation_models_pytorch",
    shared=MapOptions,
)
class Linknet(_LibraryDecoder):
    """LinkNet over squared differences. `width` is that of the last block; the others have their stages' channels."""

    def __init__(self, backbone: BackboneShape, width: int = 32, *, options: MapOptions) -> None:
        super().__init__(backbone, options)
        self._hold(_of_library("linknet", "LinknetDecoder", width)(self.encoder_channels, width), width)


@HEADS.register(
    "fpn",
    summary="feature pyramid decoder over squared differences",
    source="arXiv 1901.02446; segmentation_models_pytorch",
    shared=MapOptions,
)
class FPN(_LibraryDecoder):
    """Feature pyramid over the differences at strides 4 to 32, summed."""

    def __init__(
        self,
        backbone: BackboneShape,
        width: int = 128,
        pyramid_width: int = 256,
        dropout: float = 0.2,
        *,
        options: MapOptions,
    ) -> None:
        super().__init__(backbone, options)
        made = _of_library("fpn", "FPNDecoder", width)
        if pyramid_width < 1 or not 0 <= dropout < 1:
            raise UserError(
                f"head: fpn: pyramid_width={pyramid_width} must be positive and dropout={dropout:g} in [0, 1)"
            )
        self._hold(made(self.encoder_channels, len(LEVELS), pyramid_width, width, dropout), width)


@HEADS.register(
    "upernet",
    summary="UPerNet decoder (pyramid pooling and feature pyramid) over squared differences",
    source="arXiv 1807.10221; segmentation_models_pytorch",
    shared=MapOptions,
)
class UPerNet(_LibraryDecoder):
    """UPerNet over the differences at strides 4 to 32."""

    def __init__(self, backbone: BackboneShape, width: int = 256, *, options: MapOptions) -> None:
        super().__init__(backbone, options)
        self._hold(_of_library("upernet", "UPerNetDecoder", width)(self.encoder_channels, len(LEVELS), width), width)


@HEADS.register(
    "segformer",
    summary="SegFormer decoder (one linear layer per stage, then one over all) over squared differences",
    source="arXiv 2105.15203; segmentation_models_pytorch",
    shared=MapOptions,
)
class SegFormer(_LibraryDecoder):
    """SegFormer's decoder over squared differences: nearly no context of its own."""

    def __init__(self, backbone: BackboneShape, width: int = 256, *, options: MapOptions) -> None:
        super().__init__(backbone, options)
        made = _of_library("segformer", "SegformerDecoder", width)
        self._hold(made(self.encoder_channels, len(LEVELS), width), width)


@HEADS.register(
    "dpt",
    summary="DPT decoder (for token maps of transformers, and any backbone) over squared differences",
    source="arXiv 2103.13413; segmentation_models_pytorch",
    shared=MapOptions,
)
class DPT(_LibraryDecoder):
    """DPT over the differences at strides 4 to 32, without readout tokens: differences have none."""

    def __init__(self, backbone: BackboneShape, width: int = 256, *, options: MapOptions) -> None:
        super().__init__(backbone, options)
        made = _of_library("dpt", "DPTDecoder", width)
        channels = self.encoder_channels[2:]
        self._hold(made(channels, LEVELS[1:], False, "ignore", [width] * len(channels), width), width)

    def _decoded(self, pyramid: list[Tensor]) -> Tensor:
        return self.decoder(pyramid[2:], [None] * (len(pyramid) - 2))
