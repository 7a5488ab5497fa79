"""Networks that spandrel knows (ESRGAN, SwinIR, and some forty more), from a checkpoint on disk."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from data_tools.builders.core.errors import UnitError
from data_tools.builders.upscalers.contract import FACTOR, Bytes, Upscaler
from models.hub import device_of
from registry import UPSCALERS
from semfid.errors import UserError

if TYPE_CHECKING:  # imported where it is used: whoever only interpolates does not wait for it
    from torch import Tensor


@UPSCALERS.register(
    "spandrel",
    summary="any x4 checkpoint of an architecture that spandrel knows (ESRGAN, SwinIR, HAT, DAT, ...), by path",
    source="chaiNNer-org/spandrel",
)
class SpandrelUpscaler(Upscaler):
    """A network from a checkpoint. Images of one size that follow each other run together, `batch_size` at most. In a batch a GPU
    may choose another algorithm: a pixel then differs by a grey level now and then.

    Args:
        weights: .pth, .pt or .ckpt with a state dict (nothing else is unpickled), or .safetensors.
        tile: side of square tiles in input pixels; 0: the whole image. Refused where the architecture tiles by itself.
        overlap: input pixels that a tile sees beyond each of its sides.
        half: 16-bit floats on a GPU; refused where the architecture is known to break.
        licence: of the weights.
        device: ``auto``, ``cpu``, ``cuda:1``, ...
        architecture: what the checkpoint must hold, such as ``ESRGAN``; empty: anything.
        batch_size: images of one size in a pass.
    """

    def __init__(
        self,
        weights: str,
        tile: int = 0,
        overlap: int = 16,
        half: bool = False,
        licence: str = "",
        device: str = "auto",
        architecture: str = "",
        batch_size: int = 1,
    ) -> None:
        if batch_size < 1:
            raise UserError(f"upscaler: batch_size={batch_size} must be 1 or more")
        if tile and tile < 16:
            raise UserError(f"upscaler: tile={tile} must be 16 or more, or 0 for none")
        if overlap < 0:
            raise UserError(f"upscaler: overlap={overlap} must be 0 or more")
        self.weights, self.tile, self.overlap, self.half = Path(weights), tile, overlap, half
        self.licence, self.device, self.architecture = licence, device_of("build", device), architecture
        self.weights_sha256, self.batch_size = sha256_of(self.weights), batch_size
        self._model: Any = None
        self._check()

    @property
    def identity(self) -> str:
        tiles = f" tile={self.tile} overlap={self.overlap}" if self.tile else ""
        return f"spandrel weights={self.weights_sha256[:16]}{tiles}{' half' if self.half else ''}"

    def upscale(self, images: Sequence[Bytes]) -> list[Bytes | UnitError]:
        model = self._loaded()
        found: list[Bytes | UnitError] = []
        for _, group in itertools.groupby(images, key=lambda image: image.shape):
            same = list(group)
            for start in range(0, len(same), self.batch_size):
                found += self._together(model, same[start : start + self.batch_size])
        return found

    def release(self) -> None:
        import torch

        self._model = None
        if self.device.startswith("cuda"):
            torch.cuda.empty_cache()

    def _together(self, model: Any, images: Sequence[Bytes]) -> list[Bytes]:
        """Images of one size in one pass."""
        import torch

        planes = torch.from_numpy(np.stack([image.transpose(2, 0, 1) for image in images]))  # (b, 3, H, W)
        planes = planes.to(self.device, torch.float16 if self.half else torch.float32) / 255
        with torch.inference_mode():
            large = tiled(model, planes, self.tile, self.overlap) if self.tile else model(planes)
        pixels = (large.float().clamp(0, 1) * 255).round().to(torch.uint8)  # (b, 3, 4 H, 4 W)
        return list(np.ascontiguousarray(pixels.permute(0, 2, 3, 1).cpu().numpy()))

    def _loaded(self) -> Any:
        if self._model is None:
            self._model = load_checkpoint(self.weights).to(self.device).eval()
            if self.half:
                self._model.half()
        return self._model

    def _check(self) -> None:
        """Refuse what would fail only after hours of other work."""
        from spandrel import ModelTiling

        model = load_checkpoint(self.weights)
        name = model.architecture.id
        if self.architecture and name != self.architecture:
            raise UserError(
                f"{self.weights} holds a {name}, not {self.architecture}; give another file, or the upscaler spandrel"
            )
        if model.scale != FACTOR or model.input_channels != 3 or model.output_channels != 3:
            raise UserError(
                f"{self.weights} holds a {name} for x{model.scale} of {model.input_channels} channels; x4 of RGB is needed"
            )
        if self.tile and model.tiling == ModelTiling.INTERNAL:
            raise UserError(f"{self.weights}: {name} tiles by itself; remove tile={self.tile}")
        if self.half and not model.supports_half:
            raise UserError(f"{self.weights}: {name} breaks in 16-bit floats; remove half")
        if self.half and not self.device.startswith("cuda"):
            raise UserError("upscaler: half needs a GPU; remove half, or set device")


UPSCALERS.preset(
    "bsrgan",
    of="spandrel",
    summary="BSRGAN (RRDB network), from its checkpoint",
    source="Zhang et al. 2021, BSRGAN.pth",
    licence="Apache-2.0",
    architecture="ESRGAN",
)
UPSCALERS.preset(  # 16-bit floats break it
    "swinir",
    of="spandrel",
    summary="SwinIR for real photos, from its checkpoint",
    source="Liang et al. 2021, 003_realSR_BSRGAN_DFO*_s64w8_SwinIR-{M,L}_x4_GAN.pth",
    defaults={"overlap": 32},
    half=False,
    licence="Apache-2.0",
    architecture="SwinIR",
)


def load_checkpoint(path: Path) -> Any:
    """A spandrel model descriptor on the CPU.

    Only tensors are unpickled: spandrel's own loader trusts more, and a ``.pt`` might be a program.

    Raises:
        UserError: missing, no checkpoint, or of an architecture that spandrel does not know.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file
    from spandrel import ModelLoader, UnsupportedModelError, canonicalize_state_dict

    from semfid.io.torch_files import DamagedFileError, load_whole

    try:
        plain = path.suffix == ".safetensors"
        state = load_file(path) if plain else load_whole(path)
        return ModelLoader("cpu").load_from_state_dict(canonicalize_state_dict(state))
    except FileNotFoundError as error:
        raise UserError(f"no weights {path}; docs/datasets.md says where to get them") from error
    except UnsupportedModelError as error:
        raise UserError(f"{path} is of an architecture that spandrel does not know; give another checkpoint") from error
    except (DamagedFileError, SafetensorError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"{path} is no plain state dict ({reason}); save it again with torch.save(state_dict)"
        ) from error
    except (RuntimeError, OSError, EOFError, KeyError, TypeError, AttributeError, ValueError) as error:
        reason = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        raise UserError(f"{path} cannot be read as a checkpoint ({reason}); download it again") from error


def sha256_of(path: Path) -> str:
    """Raises a UserError where there is no such file."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"no weights {path} ({error.strerror}); docs/datasets.md says where to get them") from error


def tiled(model: Callable[[Tensor], Tensor], planes: Tensor, tile: int, overlap: int) -> Tensor:
    """The model over square tiles, each seen with a margin that is cut off again.

    Args:
        planes: (B, 3, H, W).

    Returns:
        (B, 3, 4 H, 4 W).
    """
    height, width = planes.shape[2:]
    large = planes.new_zeros((len(planes), 3, FACTOR * height, FACTOR * width))
    for top in range(0, height, tile):
        for left in range(0, width, tile):
            bottom, right = min(top + tile, height), min(left + tile, width)
            y, x = max(0, top - overlap), max(0, left - overlap)
            seen = planes[:, :, y : min(bottom + overlap, height), x : min(right + overlap, width)]
            out = model(seen)
            y, x = FACTOR * (top - y), FACTOR * (left - x)
            inner = out[:, :, y : y + FACTOR * (bottom - top), x : x + FACTOR * (right - left)]
            large[:, :, FACTOR * top : FACTOR * bottom, FACTOR * left : FACTOR * right] = inner
    return large
