"""The embedded world as data: rendered once into a folder, then pairs like any others."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from data_tools.synthetic import SceneSetConfig, write_pair_set
from datamodules.base import LoaderConfig, PairDataModule
from registry import DATAMODULES
from semfid.io.pair_table import PairTable, read_pairs


@dataclass(frozen=True)
class ScenePairLoader(LoaderConfig):
    """As `LoaderConfig`; scenes are small."""

    image_size: int = 128


@DATAMODULES.register(
    "scenes",
    summary="the embedded world: rendered scenes, edits, degradations, a simulated panel",
    shared=ScenePairLoader,
)
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
        *,
        loader: ScenePairLoader,
    ) -> None:
        super().__init__(loader)
        self.config = SceneSetConfig(
            scenes=scenes, candidates_per_scene=candidates_per_scene, size=size, seed=seed, votes=votes
        )
        name = f"seed{seed}-{scenes}x{candidates_per_scene}-{size}px-{votes}votes"
        self.folder = Path(folder).expanduser() / name

    def load_table(self) -> PairTable:
        return read_pairs(write_pair_set(self.folder, self.config))
