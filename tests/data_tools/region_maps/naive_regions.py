"""Regions the slow way: one dilation of the whole image for every merge."""

import numpy as np
from scipy import ndimage

CROSS = ndimage.generate_binary_structure(2, 1)


def naive_regions(raw: np.ndarray, min_area: float) -> np.ndarray:
    """(H, W) ids: the smallest component below the limit joins the neighbour with most sides in common, until none is left."""
    ids, count = np.zeros(raw.shape, dtype=np.int64), 0
    for value in np.unique(raw[raw > 0]):
        labels, found = ndimage.label(raw == value)
        ids[labels > 0] = labels[labels > 0] + count
        count += found
    ids = in_reading_order(ids)
    stuck: set[int] = set()
    while True:
        areas = np.bincount(ids.ravel())
        small = [k for k in np.flatnonzero(areas) if k > 0 and areas[k] < min_area * raw.size and k not in stuck]
        if not small:
            return in_reading_order(ids)
        one = min(small, key=lambda k: (areas[k], k))
        mask = ids == one
        rows, columns = np.nonzero(ndimage.binary_dilation(mask, CROSS) & ~mask & (ids > 0))
        if len(rows) == 0:
            stuck.add(one)
            continue
        framed = np.pad(mask, 1)
        sides = sum(
            framed[rows + 1 + dy, columns + 1 + dx].astype(int) for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0))
        )
        ids[mask] = np.bincount(ids[rows, columns], weights=sides).argmax()


def in_reading_order(ids: np.ndarray) -> np.ndarray:
    """Ids renumbered from 1 by their first pixels; 0 stays."""
    values, first = np.unique(ids, return_index=True)
    solid = values > 0
    number = np.zeros(values.max() + 1, dtype=np.int64)
    number[values[solid][np.argsort(first[solid])]] = np.arange(1, solid.sum() + 1)
    return number[ids]
