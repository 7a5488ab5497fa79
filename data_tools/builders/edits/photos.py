"""Several COCO folders as one set of photos and objects."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_tools.builders.core.coco import CocoSet, Instance, Photo
from semfid.errors import UserError
from semfid.settings import Settings


class CocoFolder(Settings):
    """Where the photos of one source are.

    Attributes:
        images: folder of the images.
        instances: COCO's instances_*.json.
        prefix: put before the names of its photos in source_id. Two sources with files of one name need it.
    """

    images: str
    instances: str
    prefix: str = ""


class CocoFolders:
    """All photos of all sources, numbered anew, with the interface of `CocoSet`.

    A source_id is the prefix and the path of the file without its ending. A photo that lies in two sources to the byte is taken
    from the first.

    Attributes:
        photos: by number.
        instances: by the photo's number; objects are numbered anew too.
        supercategory: of each category's name; the first source that has the category decides.
        source_ids: by the photo's number.
        sources: the label of its source by the photo's number.
        own_ids: the annotation's id in its JSON by the object's number.
        left_out: annotations and photos that are not used, by why.
        digest: of the JSON files, labels and prefixes.

    Raises:
        UserError: a source that cannot be read; two different photos of one source_id.
    """

    def __init__(self, folders: Mapping[str, CocoFolder]) -> None:
        self._sets = {label: _open(label, folder) for label, folder in folders.items()}
        self.photos: dict[int, Photo] = {}
        self.instances: dict[int, list[Instance]] = {}
        self.supercategory: dict[str, str] = {}
        self.source_ids: dict[int, str] = {}
        self.sources: dict[int, str] = {}
        self.own_ids: dict[int, Any] = {}
        self.left_out: Counter[str] = Counter()
        self._own: dict[int, tuple[CocoSet, int]] = {}  # a photo's set and its id there
        self._masks: dict[int, Instance] = {}  # objects as their set knows them
        taken: dict[str, Path] = {}
        for label, folder in folders.items():
            self._add(label, folder.prefix, taken)
        parts = [f"{label} {folder.prefix} {self._sets[label].digest}" for label, folder in folders.items()]
        self.digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def path(self, photo: int) -> Path:
        """Where the file of a photo should be."""
        own, id_ = self._own[photo]
        return own.path(id_)

    def picture(self, photo: int) -> NDArray[np.uint8]:
        """(H, W, 3) RGB of a photo; errors as `CocoSet.picture`."""
        own, id_ = self._own[photo]
        return own.picture(id_)

    def mask(self, instance: Instance) -> NDArray[np.bool_]:
        """(H, W) of an object; errors as `CocoSet.mask`."""
        return self._own[instance.photo][0].mask(self._masks[instance.id])

    def _add(self, label: str, prefix: str, taken: dict[str, Path]) -> None:
        own = self._sets[label]
        for why, number in own.unfit.items():
            if number:
                self.left_out[f"annotations of {label}: {why}"] += number
        for name, above in own.supercategory.items():
            self.supercategory.setdefault(name, above)
        for id_, photo in sorted(own.photos.items()):
            source_id = prefix + os.path.splitext(photo.file)[0].replace("/", "__")
            path = own.path(id_)
            if source_id in taken:
                if not _same_file(taken[source_id], path):
                    raise UserError(
                        f"photos.{label}: {path} and {taken[source_id]} are both called '{source_id}'; set photos.{label}.prefix"
                    )
                self.left_out[f"photos of {label}: another source has them too"] += 1
                continue
            taken[source_id] = path
            self._add_photo(label, own, id_, source_id)

    def _add_photo(self, label: str, own: CocoSet, id_: int, source_id: str) -> None:
        number = len(self.photos)
        self.photos[number] = replace(own.photos[id_], id=number)
        self.source_ids[number], self.sources[number], self._own[number] = source_id, label, (own, id_)
        for instance in own.instances.get(id_, []):
            index = len(self.own_ids)
            self.own_ids[index], self._masks[index] = own.own_ids.get(instance.id, instance.id), instance
            self.instances.setdefault(number, []).append(replace(instance, id=index, photo=number))


def _open(label: str, folder: CocoFolder) -> CocoSet:
    try:
        return CocoSet(folder.images, folder.instances)
    except UserError as error:
        text = str(error)
        raise UserError(
            text.replace("photos.", f"photos.{label}.", 1) if text.startswith("photos.") else text
        ) from error


def _same_file(one: Path, other: Path) -> bool:
    """Whether two files hold the same bytes; where one is missing they do not."""
    try:
        if one.stat().st_size != other.stat().st_size:
            return False
        return one.read_bytes() == other.read_bytes()
    except OSError:
        return False
