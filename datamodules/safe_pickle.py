"""Pickled arrays and tensors, read without running what is in the file.

Unpickling calls whatever functions a file names. Here only those are looked up that numpy arrays and torch tensors are made
of; everything else is refused by name.
"""

from __future__ import annotations

import io
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from semfid.io.maps import MapError

_NUMPY = {
    ("multiarray", "_reconstruct"),
    ("multiarray", "scalar"),
    ("numeric", "_frombuffer"),
}
# what a broken stream makes half-read objects raise
_BROKEN = (
    pickle.UnpicklingError, EOFError, OSError, AttributeError, ImportError, LookupError, ValueError, TypeError, ArithmeticError,
    RuntimeError, MemoryError, struct.error,
)  # fmt: skip
_TORCH = {"_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_parameter"}


def read_pickled_array(path: str | Path) -> NDArray[np.generic]:
    """The array or tensor in a file written by `pickle.dump` or `torch.save`.

    Raises:
        MapError: missing or corrupt, holds something else, or names a function that arrays do not need.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise MapError(f"no map {path}: {error.strerror}; check the path in the table") from error
    try:
        if content[:4] == b"PK\x03\x04":  # torch.save
            value = torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
        else:
            value = _Arrays(io.BytesIO(content)).load()
        if isinstance(value, torch.Tensor):
            value = value.detach().to("cpu", torch.float32).numpy()
    except _BROKEN as error:
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise MapError(
            f"map {path} cannot be read as a pickled array: {why}; where you trust it, load it yourself and write "
            "np.save('map.npy', (1 - cosine).clip(0, 1)) for a pair table with the column map"
        ) from error
    if not isinstance(value, np.ndarray):
        raise MapError(f"map {path} holds a {type(value).__name__}, not an array or a tensor of shape (height, width)")
    return value


class _Arrays(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        last = module.rpartition(".")[2]
        if module in ("numpy.core." + last, "numpy._core." + last) and (last, name) in _NUMPY:
            return super().find_class(module, name)
        if (module, name) in (
            ("numpy", "ndarray"),
            ("numpy", "dtype"),
            ("_codecs", "encode"),
            ("collections", "OrderedDict"),
        ):
            return super().find_class(module, name)
        if module == "torch._utils" and name in _TORCH:
            return super().find_class(module, name)
        if (module, name) == ("torch.storage", "_load_from_bytes"):
            return _storage  # torch's own would unpickle anything
        raise pickle.UnpicklingError(f"it names {module}.{name}, which no array needs")

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("it refers to data outside of the file")


def _storage(content: bytes) -> Any:
    return torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
