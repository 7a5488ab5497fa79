"""What a super-resolution model is to the builder of SR outputs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_tools.builders.core.errors import UnitError
from registry import UPSCALERS

FACTOR = 4
Bytes = NDArray[np.uint8]


class Upscaler(ABC):
    """Makes images `FACTOR` times larger.

    Attributes:
        batch_size: how many images a call of `upscale` should get. Only commands gain by more than one.
        licence: of the outputs, as far as the model decides it; short, such as ``Apache-2.0``.
        weights_sha256: hex digest of the checkpoint; empty where there is none, or a program of its own holds it.
    """

    batch_size: int = 1
    licence: str = ""
    weights_sha256: str = ""

    @property
    @abstractmethod
    def identity(self) -> str:
        """Name, settings and weights that decide what comes out; not where files lie."""

    @abstractmethod
    def upscale(self, images: Sequence[Bytes]) -> list[Bytes | UnitError]:
        """Each (H, W, 3) uint8 RGB to (4 H, 4 W, 3), or why it cannot be; sizes may differ.

        What an image becomes does not depend on the others of the call, unless the class says so.

        Raises:
            UserError: a model that cannot be had.
        """

    def release(self) -> None:  # noqa: B027 - most have nothing to give back
        """Give memory back; `upscale` may be called again."""


def build_upscaler(name: str, keywords: Mapping[str, Any]) -> Upscaler:
    """Build a registered upscaler and hold it to its contract.

    Raises:
        RegistryError: unknown name or keyword, or a factory that returns something else.
        UserError: a model that cannot be had.
    """
    return UPSCALERS.build_as(Upscaler, name, keywords)  # type: ignore[type-abstract]


def of_right_size(output: Bytes, image: Bytes) -> Bytes:
    """The output, if it is what the contract promises.

    Raises:
        UnitError: another size, shape or type.
    """
    expected = (FACTOR * image.shape[0], FACTOR * image.shape[1], 3)
    if output.shape != expected or output.dtype != np.uint8:
        raise UnitError(
            f"the model made {_size(output)} of {output.dtype} from {_size(image)}; it must be {expected[1]}x{expected[0]} of "
            "uint8: use a model for x4"
        )
    return output


def _size(image: NDArray[np.generic]) -> str:
    return "x".join(str(length) for length in (image.shape[1], image.shape[0], *image.shape[2:]))
