"""Difference maps from regions and their embeddings.

Every pixel carries the embedding of its region, but there are only R_x x R_y pairs of regions: their cosines are computed
once and looked up by the two id maps. An (H, W, D) array is never made.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from models.captioners.errors import LabelError
from semfid.cosine import cosine_difference

Floats = NDArray[np.floating]


def region_differences(x: Floats, y: Floats) -> NDArray[np.float32]:
    """1 - cosine of every pair of regions, clipped to [0, 1].

    Args:
        x, y: (R_x, D) and (R_y, D); a row of zeros, or with a NaN, is unknown.

    Returns:
        (R_x, R_y), exactly 0 where the two vectors are equal, NaN where one is unknown.
    """
    columns = torch.from_numpy(np.asarray(y, dtype=np.float64))
    found = np.full((len(x), len(y)), np.nan, dtype=np.float32)
    known = np.any(y != 0, axis=1)
    for row, vector in enumerate(np.asarray(x, dtype=np.float64)):  # (R_x, R_y, D) at once would fill the memory
        if vector.any():
            found[row, known] = cosine_difference(torch.from_numpy(vector), columns[torch.from_numpy(known)]).numpy()
    return found


def difference_map(ids_x: NDArray[np.integer], ids_y: NDArray[np.integer], x: Floats, y: Floats) -> NDArray[np.float32]:
    """The difference of the regions that lie at each pixel.

    Args:
        ids_x, ids_y: (H, W) of the two images; 0 = void, k = row k - 1 of the embeddings.
        x, y: (R_x, D) and (R_y, D), as `region_differences`.

    Returns:
        (H, W) in [0, 1]; NaN, unknown, where a side is void or its region's embedding is unknown.

    Raises:
        LabelError: maps of different sizes, or an id without an embedding.
    """
    return look_up(ids_x, ids_y, region_differences(x, y))


def look_up(
    ids_x: NDArray[np.integer], ids_y: NDArray[np.integer], differences: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The (H, W) map of a (R_x, R_y) table of differences; as `difference_map`."""
    if ids_x.shape != ids_y.shape:
        raise LabelError(f"the id maps differ in size: {_size(ids_x)} and {_size(ids_y)}")
    for ids, count in zip((ids_x, ids_y), differences.shape, strict=True):
        low, high = int(ids.min(initial=0)), int(ids.max(initial=0))
        if low < 0 or high > count:
            raise LabelError(f"the id map holds {low if low < 0 else high}, but regions are numbered 1 to {count}")
    known = np.full((differences.shape[0] + 1, differences.shape[1] + 1), np.nan, dtype=np.float32)
    known[1:, 1:] = differences
    place = ids_x.astype(np.intp)  # (H, W), position in the raveled table
    place *= known.shape[1]
    place += ids_y
    return known.ravel()[place]


def overlapping(masks: NDArray[np.bool_], embeddings: Floats) -> tuple[NDArray[np.int32], Floats]:
    """An id map for masks that overlap: each combination that occurs is a region of its own, with the mean embedding.

    Args:
        masks: (R, H, W).
        embeddings: (R, D).

    Returns:
        (H, W) ids, 0 where no mask lies, and the (combinations, D) embeddings for `difference_map`.
    """
    if len(masks) != len(embeddings):
        raise LabelError(f"{len(masks)} masks, but {len(embeddings)} embeddings")
    height, width = masks.shape[1:]
    bits = np.packbits(masks.reshape(len(masks), -1), axis=0).T  # (H W, ceil(R / 8))
    kinds, inverse = np.unique(bits, axis=0, return_inverse=True)
    members = np.unpackbits(kinds, axis=1, count=len(masks)).astype(np.float64)  # (combinations, R)
    filled = members.any(axis=1)
    number = np.where(filled, np.cumsum(filled), 0).astype(np.int32)
    members = members[filled]
    means = members @ np.asarray(embeddings, dtype=np.float64) / members.sum(axis=1, keepdims=True)
    return number[inverse.reshape(height, width)], means


def _size(ids: NDArray[np.integer]) -> str:
    return "x".join(str(side) for side in reversed(ids.shape))
