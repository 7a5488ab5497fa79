"""A folder of photos, one folder per class or none."""

from __future__ import annotations

import warnings
from collections import Counter
from pathlib import Path

from datamodules.base import existing
from datamodules.image_base import PARTS, ImageDataModule, ImageLoader, ImageTable
from registry import DATAMODULES
from semfid.errors import UserError
from semfid.io.listing import ENDINGS, list_images, nfc


@DATAMODULES.register(
    "image_folder",
    summary="photos, one folder per class (or a flat folder without classes)",
    source="torchvision ImageFolder",
    shared=ImageLoader,
)
class ImageFolderData(ImageDataModule):
    """Every image below a folder. The first folder on the way to an image is its class; photos that lie in the folder
    itself have none. Folders ``train``, ``val`` and ``test`` at the top are taken as the split.

    Args:
        path: the folder.
    """

    def __init__(
        self,
        path: str,
        *,
        loader: ImageLoader,
    ) -> None:
        super().__init__(loader)
        self.path = path

    def load_images(self) -> ImageTable:
        """List the folder.

        Raises:
            UserError: no folder, no image in it, photos beside class folders, a class with one image.
        """
        return list_folder(existing(self.path, "data.path"))


def list_folder(root: Path) -> ImageTable:
    """Images below a folder, sorted by name; what `semfid.io.listing` leaves out is left out, with a warning.

    Raises:
        UserError: not a folder, no image in it, photos beside class folders, a class with one image.
    """
    if not root.is_dir():
        raise UserError(f"data.path: {root} is a file; give a folder of images")
    listing = list_images(root)
    names = sorted(path.relative_to(root).as_posix() for path in listing.paths)
    if listing.summary():
        warnings.warn(listing.summary(), stacklevel=2)
    if not names:
        raise UserError(f"data.path: no image below {root} (looked for {', '.join(sorted(ENDINGS))})")
    tops = {name.split("/")[0] for name in names}
    given = tops <= {*PARTS}
    classes = [nfc(_class_of(name.split("/", 1)[1] if given else name)) for name in names]
    if len({*classes}) > 1 and "" in classes:
        raise UserError(
            f"data.path: {root} holds both folders and the photo {names[classes.index('')]}; move it into the folder of its class"
        )
    alone = [name for name, count in Counter(classes).items() if name and count < 2]
    if alone:
        raise UserError(
            f"data.path: {root}: the class '{alone[0]}' has one image; add more, or remove the folder ({len(alone)} such classes)"
        )
    return ImageTable(
        name=str(root),
        root=root,
        paths=names,
        classes=classes if any(classes) else (),
        split=[name.split("/")[0] for name in names] if given else (),
    )


def _class_of(name: str) -> str:
    return name.split("/")[0] if "/" in name else ""
