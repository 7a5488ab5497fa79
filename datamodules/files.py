"""What datamodules do with many image files: digest them, decode them all."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from images import ImageError, file_hash, read_image
from registry import UserError

Progress = Callable[[int, int], None]


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
