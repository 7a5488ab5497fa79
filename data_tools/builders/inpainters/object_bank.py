"""Objects of other photos, to be put in an object's place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from data_tools.builders.core.coco import Instance, Photos
from data_tools.builders.core.errors import UnitError
from data_tools.builders.core.instance_filters import Filters, connected_share, fault_of_annotation
from data_tools.builders.core.masks import box_of
from semfid.errors import ImageError

CONNECTED = 0.8  # least share of a donor's largest part: a donor in pieces is a picture of what stood before it


@dataclass
class ObjectBank:
    """Which objects may be donors, by category.

    A donor is whole: no crowd, away from the border, large enough to be scaled up a little.
    """

    photos: Photos
    filters: Filters
    _pool: Mapping[str, list[Instance]] = field(init=False)

    def __post_init__(self) -> None:
        pool: dict[str, list[Instance]] = {}
        for photo, instances in sorted(self.photos.instances.items()):
            for instance in instances:
                if fault_of_annotation(self.photos.photos[photo], instance, self.filters) is None:
                    pool.setdefault(instance.category, []).append(instance)
        self._pool = pool

    def has(self, category: str, photo: int) -> bool:
        """Whether another photo has a donor of a category."""
        pool = self._pool.get(category, [])
        return any(instance.photo != photo for instance in pool)

    def of(self, category: str, photo: int) -> Sequence[Instance]:
        """ObjectBank of a category in other photos, in order of photos and ids."""
        return [instance for instance in self._pool.get(category, []) if instance.photo != photo]

    def cut(self, instance: Instance) -> tuple[NDArray[np.uint8], NDArray[np.bool_], NDArray[np.uint8]]:
        """The box around a donor: picture (h, w, 3) and mask (h, w); and the whole of its photo (H, W, 3).

        Raises:
            UnitError, ImageError: its photo cannot be read, or it lies in pieces.
        """
        picture, mask = self.photos.picture(instance.photo), self.photos.mask(instance)
        if connected_share(mask) < CONNECTED:
            raise UnitError(f"donor {instance.id} lies in pieces")
        x0, y0, x1, y1 = box_of(mask)
        return picture[y0:y1, x0:x1], mask[y0:y1, x0:x1], picture


DONOR_FAULTS = (UnitError, ImageError)
