"""Arrays of numpy's own files, which may be damaged in all the ways that images are."""

from __future__ import annotations

from pathlib import Path
from tokenize import TokenError
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from semfid.io.decoding import FAULTS

ARRAY_FAULTS: tuple[type[Exception], ...] = (*FAULTS, TokenError, BadZipFile)
"""What numpy raises on damaged files: it reads their head as Python."""


def load_array(path: str | Path) -> NDArray[Any]:
    """One array of a .npy, without Python objects.

    Raises:
        ValueError: missing, damaged, or an archive of arrays; one line.
    """
    try:
        values = np.load(path, allow_pickle=False)
    except ARRAY_FAULTS as error:
        raise ValueError((str(error).strip() or type(error).__name__).splitlines()[0]) from error
    if not isinstance(values, np.ndarray):
        raise ValueError("it is an archive of arrays")
    return values
