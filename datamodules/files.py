"""What datamodules do with many files: digest them, decode them all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from datamodules.pair_dataset import PairDataset, ReadMap
from semfid.errors import ImageError, UserError
from semfid.io.images import file_hash, read_photo
from semfid.io.maps import MapError
from semfid.io.profiles import profile_name
from semfid.progress import Advance

Figure = Callable[[NDArray[np.float32]], float]


def hash_files(paths: Iterable[str], progress: Advance | None = None) -> dict[str, bytes]:
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


class Checked(NamedTuple):
    """What is known of an image that was decoded: (width, height), and what its colour profile is called."""

    size: tuple[int, int]
    profile: str


def decode_files(paths: Iterable[str], progress: Advance) -> dict[str, Checked]:
    """Decode every distinct image; returns what is known of each by path.

    Raises:
        UserError: names the first bad image and says how many there are.
    """
    distinct = sorted({*paths})
    bad: list[ImageError] = []
    checked: dict[str, Checked] = {}

    def check(path: str) -> tuple[str, Checked | ImageError]:
        try:
            photo = read_photo(path)
            return path, Checked(photo.image.size, profile_name(photo.profile))
        except ImageError as error:
            return path, error

    with ThreadPoolExecutor(2) as pool:
        for number, (path, found) in enumerate(pool.map(check, distinct)):
            if isinstance(found, ImageError):
                bad.append(found)
            else:
                checked[path] = found
            progress(number + 1, len(distinct))
    if bad:
        more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
        raise UserError(f"{bad[0]}{more}")
    return checked


def decode_maps(dataset: PairDataset, sizes: Mapping[str, tuple[int, int]], progress: Advance) -> None:
    """Decode every distinct map and hold it against the images of its pairs.

    Args:
        sizes: (width, height) of each image, by path.

    Raises:
        UserError: names the first bad map and says how many there are.
    """
    rows = dataset.map_files()

    def check(path: str) -> MapError | None:
        try:
            values = dataset.read_map(path)
            for row in rows[path]:
                dataset.fit_map(row, values, sizes[dataset.candidate[row]], sizes[dataset.reference[row]])
        except MapError as error:
            return error
        return None

    bad: list[MapError] = []
    with ThreadPoolExecutor(2) as pool:
        for number, fault in enumerate(pool.map(check, rows)):
            if fault is not None:
                bad.append(fault)
            progress(number + 1, len(rows))
    if bad:
        more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
        raise UserError(f"{bad[0]}{more}")


def map_figures(paths: Iterable[str], read_map: ReadMap, figure: Figure) -> dict[str, float]:
    """One number from every distinct map, by path.

    Raises:
        MapError: the first map that cannot be read.
    """
    distinct = sorted({*paths})
    with ThreadPoolExecutor(2) as pool:
        return dict(zip(distinct, pool.map(lambda path: figure(read_map(path)), distinct), strict=True))
