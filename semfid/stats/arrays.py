"""Array types of the room and the checks that every file repeats.

Errors are of two kinds: a `ValueError` for a call that no data of a user could cause (wrong shapes), a `UserError` for
data that its owner can mend (a NaN prediction, an empty split).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

FloatArray: TypeAlias = npt.NDArray[np.float64]
IntArray: TypeAlias = npt.NDArray[np.int64]
BoolArray: TypeAlias = npt.NDArray[np.bool_]
StrArray: TypeAlias = npt.NDArray[np.str_]


def vector(name: str, values: npt.ArrayLike) -> FloatArray:
    """`values` as a float64 vector.

    Raises:
        ValueError: more or fewer than one dimension; an (n, 1) column is not flattened silently.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise ValueError(f"{name} must be 1-D, got shape {array.shape}")
    return array


def finite_pair(x: npt.ArrayLike, y: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Two float64 vectors of one length, every value finite.

    Raises:
        ValueError: wrong dimensions, different lengths, NaN or infinity.
    """
    a, b = vector("x", x), vector("y", y)
    if a.size != b.size:
        raise ValueError(f"x and y must have one length, got {a.size} and {b.size}")
    for name, array in (("x", a), ("y", b)):
        if not np.isfinite(array).all():
            raise ValueError(f"{name} holds {int((~np.isfinite(array)).sum())} value(s) that are not finite")
    return a, b


def text_vector(name: str, values: Sequence[str] | npt.NDArray[np.str_] | npt.NDArray[np.object_]) -> StrArray:
    """`values` as a vector of str.

    Raises:
        ValueError: more or fewer than one dimension.
    """
    array = np.asarray(values, dtype=np.str_)
    if array.ndim != 1:
        raise ValueError(f"{name} must be 1-D, got shape {array.shape}")
    return array


def is_constant(values: FloatArray) -> bool:
    """Whether all values are equal, bit by bit; true for none and for one value."""
    return bool(values.size < 2 or (values == values[0]).all())
