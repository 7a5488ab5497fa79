"""The embedded world as data: rendered once into a folder, then pairs like any others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from data_tools.synthetic import SceneSetConfig, write_pair_set
from datamodules.base import LoaderConfig, PairDataModule, Weights
from datamodules.framing import PairAugment
from registry import DATAMODULES
from semfid.io.images import Resize
from semfid.io.pair_table import PairTable, read_pairs


@DATAMODULES.register("scenes", summary="the embedded world: rendered scenes, edits, degradations, a simulated panel")
class SceneData(PairDataModule):
    """Rendered pairs with simulated votes; needs no download.

    Args:
        folder: where the images are kept; a set that is there already is not rendered again.
        scenes: number of scenes (sources).
        candidates_per_scene: pairs per scene.
        size: side of the rendered images in pixels.
        votes: simulated answers per pair.
        seed: of the world.
    """

    def __init__(
        self,
        folder: str = "data/scenes",
        scenes: int = 200,
        candidates_per_scene: int = 5,
        size: int = 128,
        votes: int = 30,
        seed: int = 0,
        split: dict[str, Any] | None = None,
        image_size: int = 128,
        resize: Resize = "squash",
        batch_size: int = 32,
        workers: int = 0,
        weights: Weights = "none",
        in_memory: bool = False,
        augment: list[PairAugment] | None = None,
        least_crop: float = 0.5,
        object_crop: float | None = None,
    ) -> None:
        super().__init__(
            LoaderConfig(
                split, image_size, resize, batch_size, workers, weights, in_memory, augment, least_crop, object_crop
            )
        )
        self.config = SceneSetConfig(
            scenes=scenes, candidates_per_scene=candidates_per_scene, size=size, seed=seed, votes=votes
        )
        name = f"seed{seed}-{scenes}x{candidates_per_scene}-{size}px-{votes}votes"
        self.folder = Path(folder).expanduser() / name

    def load_table(self) -> PairTable:
        return read_pairs(write_pair_set(self.folder, self.config))
