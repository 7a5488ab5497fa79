"""From a raw segmentation to regions: connected, none too small, numbered from 1.

Linear in pixels: components come from runs of equal pixels, small ones are merged on the graph of who borders whom, and
the image is touched once more to write the result.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from models.captioners.errors import LabelError

Ids = NDArray[np.int32]


@dataclass(frozen=True)
class Regions:
    """Regions of one image.

    Attributes:
        ids: (H, W) int32; 0 = void, 1 .. R = regions, numbered by their first pixel in reading order.
        raw: the raw id of each region 1 .. R: that of the component which took in the others.
    """

    ids: Ids
    raw: tuple[int, ...]

    @property
    def count(self) -> int:
        return len(self.raw)


def find_regions(raw: NDArray[np.integer], min_area: float = 0.005) -> Regions:
    """Split ids into connected components and merge the small ones into their neighbours.

    Components are 4-connected. Those smaller than `min_area` join the neighbour with the longest common border (counted in
    sides of pixels), the smallest first; each counts with what it has taken in, so two small ones can make a large one.
    Void is no neighbour: a small component amid void stays. Ties, of size as of border, go to the component whose first
    pixel comes first in reading order (a component that takes in another keeps its place).

    Args:
        raw: (H, W); 0 = void.
        min_area: share of the image, in [0, 1).

    Raises:
        LabelError: not an (H, W) map of ids >= 0; void everywhere.
    """
    if raw.ndim != 2 or raw.size == 0:
        raise LabelError(f"a segmentation is (H, W), not {raw.shape}")
    if not 0 <= min_area < 1:
        raise LabelError(f"min_area={min_area:g} must lie in [0, 1), as a share of the image")
    if raw.min() < 0:
        raise LabelError(f"a segmentation holds ids from 0 (void) on; there is {int(raw.min())}")
    if not raw.any():
        raise LabelError("the segmentation is void everywhere: no region was found")
    ids, raw_of = _components(raw)
    areas = np.bincount(ids.ravel(), minlength=len(raw_of))  # (K + 1,)
    root = _merge(areas.tolist(), _borders(ids, len(raw_of)), min_area * raw.size)
    # components are numbered in reading order, so a region begins where its lowest member does
    kept, first = np.unique(root[1:], return_index=True)
    order = kept[np.argsort(first)]
    number = np.zeros(len(raw_of), dtype=np.int32)
    number[order] = np.arange(1, len(order) + 1)
    return Regions(number[root][ids], tuple(int(value) for value in raw_of[order]))


def _components(raw: NDArray[np.integer]) -> tuple[Ids, NDArray[np.integer]]:
    """(H, W) component ids, 0 = void, 1 .. K in reading order of their first pixels; and the raw id of each, from 0 on."""
    start = np.ones(raw.shape, dtype=np.bool_)  # where a run of equal pixels of a row begins
    np.not_equal(raw[:, 1:], raw[:, :-1], out=start[:, 1:])
    run = np.cumsum(start.ravel(), dtype=np.int32).reshape(raw.shape) - 1  # (H, W)
    value = raw[start]  # (runs,)
    # two runs touch where equal pixels lie one above the other; once per pair is enough, at the later of their beginnings
    touching = (raw[1:] == raw[:-1]) & (start[1:] | start[:-1])
    above, below = run[:-1][touching], run[1:][touching]
    graph = coo_array((np.ones(len(above), dtype=np.bool_), (above, below)), shape=(len(value), len(value)))
    _, component = connected_components(graph, directed=False)  # (runs,)
    _, first = np.unique(component, return_index=True)
    solid = np.flatnonzero(value[first] != 0)
    solid = solid[np.argsort(first[solid])]
    number = np.zeros(len(first), dtype=np.int32)
    number[solid] = np.arange(1, len(solid) + 1)
    return number[component][run], np.concatenate([[0], value[first[solid]]])


def _borders(ids: Ids, count: int) -> list[dict[int, int]]:
    """Of each component, its neighbours and the sides of pixels that they share; void is left out."""
    keys = []
    for one, other in ((ids[:, :-1], ids[:, 1:]), (ids[:-1], ids[1:])):
        where = (one != other) & (one != 0) & (other != 0)
        a, b = one[where].astype(np.int64), other[where].astype(np.int64)
        keys.append(np.minimum(a, b) * count + np.maximum(a, b))
    pairs, lengths = np.unique(np.concatenate(keys), return_counts=True)
    borders: list[dict[int, int]] = [{} for _ in range(count)]
    for pair, length in zip(pairs.tolist(), lengths.tolist(), strict=True):
        low, high = divmod(pair, count)
        borders[low][high] = borders[high][low] = length
    return borders


def _merge(areas: list[int], borders: list[dict[int, int]], least: float) -> NDArray[np.int32]:
    """Which component each one ends up in. Changes its arguments."""
    parent = np.arange(len(areas), dtype=np.int32)
    queue = [(area, number) for number, area in enumerate(areas) if number and area < least]
    heapq.heapify(queue)
    while queue:
        area, small = heapq.heappop(queue)
        if area != areas[small] or parent[small] != small or not borders[small]:  # grown, gone, or amid void
            continue
        target = max(borders[small], key=lambda other: (borders[small][other], -other))
        parent[small] = target
        areas[target] += area
        for other, length in borders[small].items():
            del borders[other][small]
            if other != target:
                borders[other][target] = borders[target][other] = borders[target].get(other, 0) + length
        if areas[target] < least:
            heapq.heappush(queue, (areas[target], target))
    while (parent[parent] != parent).any():
        parent = parent[parent]
    return parent
