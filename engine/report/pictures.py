"""Pictures of pairs as data URIs: a photo that many pairs or variants show is embedded once."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from semfid.errors import ImageError
from semfid.io.images import read_image

LONG_SIDE = 192
QUALITY = 82

Pixels = NDArray[np.uint8]  # (H, W, 3)
DrawMap = Callable[[int, Path, Path], Pixels]
"""From the fold that a pair was tested in, and the paths of its reference and candidate, to the candidate with its
difference map laid over."""


@dataclass
class Album:
    """The pictures of one report.

    Attributes:
        uris: name to data URI.
        pixels: name to what the URI shows.
    """

    uris: dict[str, str] = field(default_factory=dict)
    pixels: dict[str, Pixels] = field(default_factory=dict)
    _of_path: dict[Path, str | None] = field(default_factory=dict)
    _of_content: dict[str, str] = field(default_factory=dict)

    def add_file(self, path: Path) -> str | None:
        """Name of an image file's thumbnail; None where the file is missing or broken."""
        if path not in self._of_path:
            try:
                self._of_path[path] = self.add(thumbnail(path))
            except ImageError:
                self._of_path[path] = None
        return self._of_path[path]

    def add(self, pixels: Pixels) -> str:
        """Name of a picture; the same for the same picture."""
        uri = data_uri(pixels)
        name = self._of_content.setdefault(uri, f"p{len(self._of_content)}")
        self.uris[name], self.pixels[name] = uri, pixels
        return name


def thumbnail(path: Path) -> Pixels:
    """An image file, scaled down to `LONG_SIDE` where it is larger.

    Raises:
        ImageError: missing or broken.
    """
    image = read_image(path)
    image.thumbnail((LONG_SIDE, LONG_SIDE))
    return np.asarray(image)


def data_uri(pixels: Pixels) -> str:
    """An image as WebP in a ``data:`` URI."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "WEBP", quality=QUALITY, method=2)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def add_pairs(album: Album, rows: Iterable[int], paths: Mapping[int, tuple[Path, Path]]) -> dict[int, list[str | None]]:
    """Thumbnails of pairs.

    Args:
        rows: of the pairs wanted.
        paths: row to reference and candidate.

    Returns:
        row to the names of both pictures, None for one that cannot be shown.
    """
    return {row: [album.add_file(path) for path in paths[row]] if row in paths else [None, None] for row in rows}


def add_maps(
    album: Album, rows: Iterable[int], paths: Mapping[int, tuple[Path, Path]], folds: Sequence[int], draw: DrawMap
) -> dict[int, str | None]:
    """Heat maps of pairs.

    Args:
        folds: of every row of the table.

    Returns:
        row to the name of the picture, None where an image cannot be read.
    """
    result: dict[int, str | None] = {}
    for row in sorted(rows, key=lambda row: str(paths.get(row, ""))):  # a reference's pairs follow each other
        readable = row in paths and None not in [album.add_file(path) for path in paths[row]]
        result[row] = album.add(draw(folds[row], *paths[row])) if readable else None
    return result
