"""The embedded world as single images: rendered once, each with the class of its largest object and a caption."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from data_tools.synthetic import SceneSetConfig, write_image_folder
from datamodules.image_base import ImageDataModule, ImageLoader, ImageTable
from datamodules.image_dataset import Augment
from registry import DATAMODULES
from semfid.io.images import Resize


@DATAMODULES.register("scene_images", summary="the embedded world as captioned photos with a class each")
class SceneImageData(ImageDataModule):
    """Rendered scenes; needs no download. The class is that of the object that takes most of the image.

    Args:
        folder: where the images are kept; a set that is there already is not rendered again.
        scenes: number of images.
        size: side of the rendered images in pixels.
        seed: of the world. Worlds of different seeds share no scene: not the default of the pairs, which is 0.
    """

    def __init__(
        self,
        folder: str = "data/scene_images",
        scenes: int = 2000,
        size: int = 96,
        seed: int = 2000,
        split: dict[str, Any] | None = None,
        image_size: int = 96,
        resize: Resize = "squash",
        batch_size: int = 64,
        workers: int = 0,
        in_memory: bool = False,
        augment: list[Augment] | None = None,
        least_crop: float = 0.5,
    ) -> None:
        super().__init__(ImageLoader(split, image_size, resize, batch_size, workers, in_memory, augment, least_crop))
        self.config = SceneSetConfig(scenes=scenes, size=size, seed=seed)
        self.folder = Path(folder).expanduser() / f"seed{seed}-{scenes}-{size}px"

    def load_images(self) -> ImageTable:
        write_image_folder(self.folder, self.config)
        listed = sorted(json.loads((self.folder / "images.json").read_text()), key=lambda entry: str(entry["path"]))
        return ImageTable(
            name=str(self.folder),
            root=self.folder,
            paths=[entry["path"] for entry in listed],
            classes=[entry["category"] for entry in listed],
            captions=[(entry["caption"],) for entry in listed],
        )
