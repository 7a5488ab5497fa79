"""What the variants of one process share: the data and the backbone built last."""

from __future__ import annotations

from collections.abc import Sequence

from backbones import Backbone, build_backbone
from datamodules import ImageDataModule, PairDataModule
from engine.config.schema import RunConfig
from engine.config.trainer_section import TrainerSection
from engine.rank_zero import log, progress
from registry import DATAMODULES
from semfid.errors import UserError
from semfid.settings import PluginSpec


class RunContext:
    """Datamodules, their content hashes and a frozen backbone, each made once.

    Attributes:
        coming: configurations of the variants that are to run in this process.
        shared: data, backbone and trainer whose variants' statistics were all asked for in one pass.
    """

    def __init__(self) -> None:
        self.coming: Sequence[RunConfig] = ()
        self.shared: set[tuple[PluginSpec, PluginSpec, TrainerSection]] = set()
        self._data: dict[PluginSpec, PairDataModule | ImageDataModule] = {}
        self._data_hashes: dict[tuple[PluginSpec, bool], str] = {}
        self._backbone: tuple[PluginSpec, Backbone] | None = None

    def source(self, config: RunConfig) -> PairDataModule | ImageDataModule:
        """The prepared datamodule of a variant, of whichever kind."""
        spec = config.data
        if spec not in self._data:
            data = DATAMODULES.build(spec.name, **spec.keywords)
            if not isinstance(data, (PairDataModule, ImageDataModule)):
                raise UserError(
                    f"data: datamodule '{spec.name}' is neither a datamodules.PairDataModule nor a datamodules.ImageDataModule"
                )
            data.prepare()
            for note in data.notes if isinstance(data, PairDataModule) else ():
                log.info(f"{data.table.name}: {note}")
            self._data[spec] = data
        return self._data[spec]

    def data(self, config: RunConfig) -> PairDataModule:
        """The prepared datamodule of a variant that learns from pairs."""
        data = self.source(config)
        if not isinstance(data, PairDataModule):
            raise UserError(f"data: datamodule '{config.data.name}' is not a datamodules.PairDataModule")
        return data

    def images(self, config: RunConfig) -> ImageDataModule:
        """The prepared datamodule of a variant that learns from single images."""
        data = self.source(config)
        if not isinstance(data, ImageDataModule):
            raise UserError(f"data: datamodule '{config.data.name}' is not a datamodules.ImageDataModule")
        return data

    def data_hash(self, config: RunConfig, maps: bool | None = None) -> str:
        """Hash of the table's rows and of every image's bytes.

        Args:
            maps: of the maps' bytes too; None: where the variant trains on them.
        """
        maps = config.needs_maps if maps is None else maps
        key = config.data, maps
        if key not in self._data_hashes:
            data = self.source(config)
            with progress("hashing images") as advance:
                if isinstance(data, PairDataModule):
                    self._data_hashes[key] = data.content_digest(advance, maps=maps)
                else:
                    self._data_hashes[key] = data.content_digest(advance)
        return self._data_hashes[key]

    def backbone(self, config: RunConfig) -> Backbone:
        """The backbone of a variant; a frozen one is shared, one that trains is built anew each time."""
        spec = config.backbone
        if self._backbone is not None and self._backbone[0] == spec:
            return self._backbone[1]
        backbone = build_backbone(spec.name, spec.keywords)
        if backbone.tuning == "frozen":
            self._backbone = spec, backbone
        return backbone
