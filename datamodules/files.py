"""What datamodules do with many files: digest them, decode them all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from datamodules.dataset import PairDataset
from difference_maps import MapError
from images import ImageError, file_hash, read_image
from registry import UserError

Progress = Callable[[int, int], None]
Judge = Callable[[int, NDArray[np.float32]], str | None]


def hash_files(paths: Iterable[str], progress: Progress | None = None) -> dict[str, bytes]:
    """Content digest of every distinct file, by path.

    Raises:
        ImageError: a file is missing.
    """
    distinct, hashes = sorted({*paths}), {}
    with ThreadPoolExecutor(4) as pool:
        for number, (path, digest) in enumerate(zip(distinct, pool.map(file_hash, distinct), strict=True)):
            hashes[path] = digest
            if progress is not None:
                progress(number + 1, len(distinct))
    return hashes


def decode_files(paths: Iterable[str], progress: Progress) -> dict[str, tuple[int, int]]:
    """Decode every distinct image; returns (width, height) by path.

    Raises:
        UserError: names the first bad image and says how many there are.
    """
    distinct = sorted({*paths})
    bad: list[ImageError] = []
    sizes: dict[str, tuple[int, int]] = {}

    def check(path: str) -> tuple[str, tuple[int, int] | ImageError]:
        try:
            return path, read_image(path).size
        except ImageError as error:
            return path, error

    with ThreadPoolExecutor(2) as pool:
        for number, (path, found) in enumerate(pool.map(check, distinct)):
            if isinstance(found, ImageError):
                bad.append(found)
            else:
                sizes[path] = found
            progress(number + 1, len(distinct))
    if bad:
        more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
        raise UserError(f"{bad[0]}{more}")
    return sizes


def decode_maps(
    dataset: PairDataset, names: Sequence[str], sizes: Mapping[str, tuple[int, int]], judge: Judge, progress: Progress
) -> None:
    """Decode every distinct map and hold it against the images of its pairs.

    Args:
        names: pair_id of each row.
        sizes: (width, height) of each image, by path.
        judge: what is wrong with the map of a row, or None.

    Raises:
        UserError: names the first bad pair or map and says how many there are.
    """
    rows: dict[str, list[int]] = {}
    for row, path in enumerate(dataset.map):
        if path:
            rows.setdefault(path, []).append(row)

    def check(path: str) -> str | None:
        try:
            values = dataset.read_map(path)
            for row in rows[path]:
                dataset.fit_map(row, values, sizes[dataset.candidate[row]], sizes[dataset.reference[row]])
        except MapError as error:
            return str(error)
        faults = ((row, judge(row, values)) for row in rows[path])
        return next((f"pair {names[row]!r}: {fault}" for row, fault in faults if fault), None)

    bad: list[str] = []
    with ThreadPoolExecutor(2) as pool:
        for number, fault in enumerate(pool.map(check, rows)):
            if fault:
                bad.append(fault)
            progress(number + 1, len(rows))
    if bad:
        more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
        raise UserError(f"{bad[0]}{more}")
