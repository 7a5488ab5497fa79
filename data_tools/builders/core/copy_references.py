"""Copies of the photos that a table leads to, so that the set can be moved as one folder."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import PurePosixPath

from data_tools.builders.core.attempt import Made
from data_tools.builders.core.coco import CocoSet
from data_tools.builders.core.errors import UnitError
from data_tools.builders.core.work_items import Unit, make_unit
from semfid.errors import UserError

STAGE = "reference"


def copies(
    photos: CocoSet, ids: Collection[int]
) -> tuple[list[Unit], Callable[[Sequence[Unit]], list[Made | UnitError]]]:
    """A unit for each photo, and what makes it: the file's bytes as they are.

    Raises:
        UserError: a file_name that leads out of the folder of images, and would out of the set.
    """
    for photo in ids:
        file = PurePosixPath(photos.photos[photo].file)
        if file.is_absolute() or ".." in file.parts:
            raise UserError(
                f"photos.instances: the file_name {file} leads out of photos.images, so it cannot be copied into the set; set "
                "references: source"
            )

    def make(batch: Sequence[Unit]) -> list[Made | UnitError]:
        results: list[Made | UnitError] = []
        for unit in batch:
            try:
                content = photos.path(unit.work).read_bytes()
            except OSError as error:
                results.append(UnitError(f"cannot read {photos.path(unit.work)}: {error.strerror}"))
                continue
            results.append(Made({f"references/{photos.photos[unit.work].file}": content}))
        return results

    units = []
    for photo in sorted(ids):
        try:
            state = photos.path(photo).stat()
            inputs = [str(state.st_size), str(state.st_mtime_ns)]
        except OSError:
            inputs = ["absent"]
        units.append(make_unit(STAGE, str(photo), "", photos.photos[photo].file, inputs, photo))
    return units, make
