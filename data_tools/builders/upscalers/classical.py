"""Upscalers that were never trained."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import PIL
from PIL import Image

from data_tools.builders.core.errors import UnitError
from data_tools.builders.upscalers.contract import FACTOR, Bytes, Upscaler
from registry import UPSCALERS


class Interpolation(Upscaler):
    """Pillow's resize."""

    def __init__(self, name: str, kernel: Image.Resampling) -> None:
        self.name, self.kernel = name, kernel

    @property
    def identity(self) -> str:
        return f"{self.name} x4 pillow {PIL.__version__}"

    def upscale(self, images: Sequence[Bytes]) -> list[Bytes | UnitError]:
        return [
            np.asarray(Image.fromarray(image).resize((FACTOR * image.shape[1], FACTOR * image.shape[0]), self.kernel))
            for image in images
        ]


@UPSCALERS.register("bicubic", summary="bicubic interpolation (Pillow, a = -0.5)")
def bicubic() -> Upscaler:
    """Bicubic interpolation."""
    return Interpolation("bicubic", Image.Resampling.BICUBIC)


@UPSCALERS.register("lanczos", summary="Lanczos interpolation of three lobes (Pillow)")
def lanczos() -> Upscaler:
    """Lanczos interpolation."""
    return Interpolation("lanczos", Image.Resampling.LANCZOS)
