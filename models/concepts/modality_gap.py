"""The mean of a tower's image embeddings, subtracted before an embedding is decomposed.

Image and text embeddings lie in two cones of the space; without this centring the same few words explain every picture.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from models.concepts.dictionary import ConceptEncoder, normalized
from semfid.errors import UserError
from semfid.io.arrays import load_array
from semfid.io.images import file_hash, read_image
from semfid.io.listing import list_images
from semfid.io.pair_table import read_pairs
from semfid.io.torch_files import load_whole
from semfid.io.vector_cache import EMBEDDINGS, VectorCache, cached_rows
from semfid.progress import Advance

BATCH = 64  # images that are held at a time
NONE = "none"
UNREADABLE = frozenset(
    (
        "DamagedFileError",
        "RuntimeError",
        "ValueError",
        "TypeError",
        "EOFError",
        "OSError",
        "KeyError",
        "IndexError",
        "error",
    )
)
"""What torch and numpy raise on bytes that are none of theirs; ``error`` is struct's."""
NAMED = {"scenes": Path(__file__).parents[2] / "assets" / "towers" / "scenes_mean.safetensors"}
"""Means that come with the repository: of rendered scenes, in scenes_tower."""
FIX = "give image_mean= a folder of photos, a pair table, a file of the SpLiCE project (.pt), or none"


@dataclass(frozen=True)
class ImageMean:
    """Mean of unit-length image embeddings.

    Attributes:
        tower: identity of the tower; empty where a file has none.
        source: what it was computed from, for reports.
        vector: (d,) float32; zeros take nothing away.
    """

    tower: str
    source: str
    vector: NDArray[np.float32]

    def of(self, tower: ConceptEncoder) -> ImageMean:
        """Itself.

        Raises:
            UserError: it is of another tower, by name or by its size.
        """
        if self.tower and self.tower != tower.identity:
            raise UserError(
                f"splice: the image mean {self.source} is of the tower {self.tower}, not {tower.identity}; {FIX}"
            )
        if self.vector.shape != (tower.dim,):
            raise UserError(
                f"splice: the image mean {self.source} has {self.vector.size} numbers, {tower.identity} has {tower.dim} "
                f"dimensions: it is of another tower; {FIX}"
            )
        return self

    def content(self) -> bytes:
        """As a ``.safetensors`` file, whose metadata name the tower."""
        return save({"mean": self.vector}, {"tower": self.tower, "source": self.source})


def image_mean(
    tower: ConceptEncoder, source: str | Path, cache: Path | None = EMBEDDINGS, advance: Advance | None = None
) -> ImageMean:
    """The mean by what a user writes.

    Args:
        source: ``none``; a folder of images; a pair table, whose references are taken; a ``.pt`` or ``.npy`` file of one vector,
            or a ``.safetensors`` file of `ImageMean.content`; ``scenes``, in scenes_tower.
        cache: folder where each image's embedding is kept by the file's content; None: nothing is kept.

    Raises:
        UserError: nothing there, no images, not a vector, another tower's size.
    """
    if str(source) == NONE:
        return ImageMean(tower.identity, NONE, np.zeros(tower.dim, dtype=np.float32))
    path = NAMED.get(str(source), Path(source))
    if path.is_dir():
        listing = list_images(path)
        files = listing.paths
        if listing.summary():
            warnings.warn(listing.summary(), stacklevel=2)
        if not files:
            raise UserError(f"splice: no images in {path}; {FIX}")
        return mean_of_files(tower, files, str(source), cache, advance)
    if not path.is_file():
        raise UserError(f"splice: image_mean: no file or folder {path}; {FIX}")
    if path.suffix in (".pt", ".npy"):
        return ImageMean("", str(source), _vector(path)).of(tower)
    if path.suffix == ".safetensors":
        return _own(path).of(tower)
    if path.suffix in (".csv", ".parquet"):
        references = list(dict.fromkeys(read_pairs(path).paths("reference")))
        return mean_of_files(tower, references, str(source), cache, advance)
    raise UserError(f"splice: image_mean: {path} is none of the kinds known; {FIX}")


def mean_of_files(
    tower: ConceptEncoder, files: Sequence[Path], source: str, cache: Path | None, advance: Advance | None = None
) -> ImageMean:
    """The mean over image files; a file that was embedded before by this tower is not read again.

    Raises:
        UserError: an image that cannot be read.
    """
    rows = cached_rows(
        None if cache is None else VectorCache(cache),
        f"{tower.identity}-files",
        [file_hash(file) for file in files],
        lambda places: tower.embed_images([read_image(files[place]) for place in places]),
        tower.dim,
        BATCH,
        advance,
    )
    return ImageMean(tower.identity, source, mean_of_rows(rows))


def mean_of_rows(embeddings: NDArray[np.floating]) -> NDArray[np.float32]:
    """(d,) mean of (N, d) embeddings, each brought to length 1."""
    return normalized(embeddings).mean(axis=0).astype(np.float32)


def _own(path: Path) -> ImageMean:
    try:
        with safe_open(path, framework="np") as file:
            facts = file.metadata() or {}
            return ImageMean(facts["tower"], str(path), file.get_tensor("mean").astype(np.float32))
    except (SafetensorError, OSError, KeyError) as error:
        raise UserError(f"splice: image_mean: {path} is not a mean that was written here; {FIX}") from error


def _vector(path: Path) -> NDArray[np.float32]:
    try:
        # the SpLiCE project's were saved on a GPU
        found = load_array(path) if path.suffix == ".npy" else load_whole(path)
        if isinstance(found, torch.Tensor):
            found = found.detach().float().numpy()
        vector = np.asarray(found, dtype=np.float32).squeeze()
    except Exception as error:
        if type(error).__name__ not in UNREADABLE:
            raise
        raise UserError(f"splice: image_mean: {path} does not hold one vector; {FIX}") from error
    if vector.ndim != 1 or not np.isfinite(vector).all():
        raise UserError(f"splice: image_mean: {path} must hold one vector of finite numbers; {FIX}")
    return vector
