"""How a GPU multiplies float32 numbers: as float32, or in TF32, which keeps 10 of their 23 bits."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import torch


def exact_products(device: str | torch.device) -> AbstractContextManager[None]:
    """`float32_products` where work runs on a GPU; nothing elsewhere, so that threads on a CPU change no flags."""
    return float32_products() if torch.device(device).type == "cuda" else contextlib.nullcontext()


@contextlib.contextmanager
def float32_products(tf32: bool = False) -> Iterator[None]:
    """Inside, matrix products and convolutions of float32 are computed so on CUDA, whatever was chosen; afterwards as before.

    PyTorch runs convolutions in TF32 unless told otherwise, which leaves a cosine of embeddings 1e-3 and more from a CPU's.
    The flags are those of the process: not for threads that work side by side on a GPU.

    Args:
        tf32: take TF32 instead, for speed.
    """
    before = _Flags()
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    torch.backends.cudnn.allow_tf32 = tf32
    for operation in _operations():
        operation.fp32_precision = "tf32" if tf32 else "ieee"
    try:
        yield
    finally:
        before.restore()


def _operations() -> list[Any]:
    """What of CUDA has a precision of its own; nothing before PyTorch 2.9."""
    backends = torch.backends
    return [backends.cuda.matmul, backends.cudnn.conv, backends.cudnn.rnn] if hasattr(backends.cudnn, "conv") else []


class _Flags:
    """The process's flags as they are now.

    PyTorch keeps them twice since 2.9: by operation (`fp32_precision`), and by the older names, which set several at once.
    Reading an older name fails where the two were set apart; then the newer ones are all there is to restore.
    """

    def __init__(self) -> None:
        operations = _operations()
        if operations:
            operations.append(torch.backends.mkldnn.matmul)  # type: ignore[attr-defined]  # the older name of products sets it, too
        self.chosen = [(operation, operation.fp32_precision) for operation in operations]
        self.products: str | None = None
        self.convolutions: bool | None = None
        with contextlib.suppress(RuntimeError):
            self.products = torch.get_float32_matmul_precision()
        with contextlib.suppress(RuntimeError):
            self.convolutions = torch.backends.cudnn.allow_tf32

    def restore(self) -> None:
        """Set them again."""
        if self.products is not None:
            torch.set_float32_matmul_precision(self.products)
        if self.convolutions is not None:
            torch.backends.cudnn.allow_tf32 = self.convolutions
        for operation, precision in self.chosen:
            operation.fp32_precision = precision
