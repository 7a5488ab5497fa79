"""Difference maps and region post-processing at 1024x768, against the ways that take an array per pixel or per component.

    python benchmarks/region_maps.py [--regions 20 200] [--rounds 5]

Maps: the other side gives every pixel its region's 384-dimensional embedding, in both images, and takes the cosine. Regions:
the other side dilates the whole image for every component that it merges. Peak memory is what numpy holds at most, inputs
left out.
"""

import argparse
import statistics
import time
import tracemalloc
from collections.abc import Callable

import numpy as np
from scipy import ndimage

from data_tools.region_maps.difference_map import difference_map
from data_tools.region_maps.regions import find_regions

HEIGHT, WIDTH, DIM = 768, 1024, 384
CROSS = ndimage.generate_binary_structure(2, 1)


def per_pixel(ids_x: np.ndarray, ids_y: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(H, W) from two (H, W, D) arrays of unit vectors."""
    return np.clip(1 - (x[ids_x - 1] * y[ids_y - 1]).sum(axis=2), 0, 1)


def by_dilation(raw: np.ndarray, min_area: float) -> np.ndarray:
    """(H, W) ids: components by one labelling per raw id, then a dilation of the whole image for each merge."""
    ids, count = np.zeros(raw.shape, dtype=np.int64), 0
    for value in np.unique(raw[raw > 0]):
        labels, found = ndimage.label(raw == value)
        ids[labels > 0] = labels[labels > 0] + count
        count += found
    ids = in_reading_order(ids)
    areas = dict(enumerate(np.bincount(ids.ravel()).tolist()))
    open_ones = {k for k, area in areas.items() if k > 0 and area < min_area * raw.size}
    while open_ones:
        one = min(open_ones, key=lambda k: (areas[k], k))
        open_ones.discard(one)
        mask = ids == one
        rows, columns = np.nonzero(ndimage.binary_dilation(mask, CROSS) & ~mask & (ids > 0))
        if len(rows) == 0:  # amid void
            continue
        framed = np.pad(mask, 1)
        sides = sum(
            framed[rows + 1 + dy, columns + 1 + dx].astype(int) for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0))
        )
        target = int(np.bincount(ids[rows, columns], weights=sides).argmax())
        ids[mask] = target
        areas[target] += areas[one]
        if areas[target] >= min_area * raw.size:
            open_ones.discard(target)
    return in_reading_order(ids)


def in_reading_order(ids: np.ndarray) -> np.ndarray:
    values, first = np.unique(ids, return_index=True)
    solid = values > 0
    number = np.zeros(values.max() + 1, dtype=np.int64)
    number[values[solid][np.argsort(first[solid])]] = np.arange(1, solid.sum() + 1)
    return number[ids]


def segmentation(seed: int, classes: int = 8) -> np.ndarray:
    """(H, W) raw ids with ragged borders: the strongest of `classes` rough fields, the weakest of which (5 %) is void."""
    draw = np.random.default_rng(seed)
    best = np.full((HEIGHT, WIDTH), -np.inf)
    ids = np.zeros((HEIGHT, WIDTH), dtype=np.int32)
    for number in range(classes):
        coarse, fine = (ndimage.gaussian_filter(draw.normal(size=best.shape), width) for width in (40.0, 3.0))
        field = coarse / coarse.std() + 0.1 * fine / fine.std() - (0.8 if number == 0 else 0.0)
        ids[field > best] = number
        best = np.maximum(best, field)
    return ids


def seconds(work: Callable[[], object], rounds: int) -> float:
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def peak(work: Callable[[], object]) -> int:
    tracemalloc.start()
    work()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most


def maps(regions: int, rounds: int) -> None:
    draw = np.random.default_rng(0)
    blocks = [
        (np.add.outer(np.arange(HEIGHT) * side // HEIGHT * side, np.arange(WIDTH) * side // WIDTH) % regions + 1)
        for side in (5, 6)
    ]
    ids_x, ids_y = (one.astype(np.int32) for one in blocks)
    x, y = (draw.normal(size=(regions, DIM)).astype(np.float32) for _ in range(2))
    x, y = (one / np.linalg.norm(one, axis=1, keepdims=True) for one in (x, y))

    def fast() -> np.ndarray:
        return difference_map(ids_x, ids_y, x, y)

    def dense() -> np.ndarray:
        return per_pixel(ids_x, ids_y, x, y)

    apart = float(np.abs(fast() - dense()).max())
    a, b = seconds(fast, 4 * rounds), seconds(dense, rounds)
    m, n = peak(fast), peak(dense)
    print(
        f"map, {regions} regions a side: {a * 1e3:.1f} ms against {b * 1e3:.0f} ms, {b / a:.0f} times faster; peak "
        f"{m / 1e6:.1f} MB against {n / 1e6:.0f} MB, {n / m:.0f} times less; largest difference {apart:.1e}"
    )


def regions(rounds: int, seed: int) -> None:
    raw = segmentation(seed)
    whole = find_regions(raw, 0.0).count
    found = find_regions(raw, 0.005)
    start = time.perf_counter()
    wanted = by_dilation(raw, 0.005)
    b = time.perf_counter() - start
    a = seconds(lambda: find_regions(raw, 0.005), 3 * rounds)
    same = "equal" if np.array_equal(found.ids, wanted) else "DIFFERENT"
    print(
        f"regions, {whole} components to {found.count}: {a * 1e3:.1f} ms against {b:.2f} s, {b / a:.0f} times faster; {same}"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--regions", type=int, nargs="+", default=[20, 200])
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    for count in arguments.regions:
        maps(count, arguments.rounds)
    for seed in range(3):
        regions(arguments.rounds, seed)


if __name__ == "__main__":
    main()
