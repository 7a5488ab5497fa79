"""The embedded world as single images: rendered once, each with the class of its largest object and a caption."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from data_tools.synthetic import SceneSetConfig, write_image_folder
from datamodules.image_base import ImageDataModule, ImageLoader, ImageTable
from registry import DATAMODULES


@dataclass(frozen=True)
class SceneImageLoader(ImageLoader):
    """As `ImageLoader`; scenes are small."""

    image_size: int = 96


@DATAMODULES.register(
    "scene_images", summary="the embedded world as captioned photos with a class each", shared=SceneImageLoader
)
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
        *,
        loader: SceneImageLoader,
    ) -> None:
        super().__init__(loader)
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
