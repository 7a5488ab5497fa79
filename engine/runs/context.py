"""What the variants of one process share: the data and the trunk built last."""

from __future__ import annotations

from typing import Any

from backbones import Backbone, build_backbone
from datamodules import ImageDataModule, PairDataModule
from engine.config.module_types import needs_maps
from engine.rank_zero import log, progress
from registry import named
from registry import DATAMODULES
from semfid.errors import UserError


class Workbench:
    """Datamodules, their content hashes and a frozen trunk, each made once.

    Attributes:
        coming: configurations of the variants that are to run in this process.
        shared: trunks on data whose variants' statistics were all asked for in one pass.
    """

    def __init__(self) -> None:
        self.coming: list[dict[str, Any]] = []
        self.shared: set[str] = set()
        self._data: dict[str, PairDataModule | ImageDataModule] = {}
        self._data_hashes: dict[str, str] = {}
        self._trunk: tuple[str, Backbone] | None = None

    def source(self, config: dict[str, Any]) -> PairDataModule | ImageDataModule:
        """The prepared datamodule of a variant, of whichever kind."""
        key = repr(config["data"])
        if key not in self._data:
            name, keywords = named(config["data"], "data")
            data = DATAMODULES.build(name, **keywords)
            if not isinstance(data, (PairDataModule, ImageDataModule)):
                raise UserError(
                    f"data: datamodule '{name}' is neither a datamodules.PairDataModule nor a datamodules.ImageDataModule"
                )
            data.prepare()
            for note in data.notes if isinstance(data, PairDataModule) else ():
                log.info(f"{data.table.name}: {note}")
            self._data[key] = data
        return self._data[key]

    def data(self, config: dict[str, Any]) -> PairDataModule:
        """The prepared datamodule of a variant that learns from pairs."""
        data = self.source(config)
        if not isinstance(data, PairDataModule):
            raise UserError(f"data: datamodule '{config['data']['name']}' is not a datamodules.PairDataModule")
        return data

    def images(self, config: dict[str, Any]) -> ImageDataModule:
        """The prepared datamodule of a variant that learns from single images."""
        data = self.source(config)
        if not isinstance(data, ImageDataModule):
            raise UserError(f"data: datamodule '{config['data']['name']}' is not a datamodules.ImageDataModule")
        return data

    def data_hash(self, config: dict[str, Any], maps: bool | None = None) -> str:
        """Hash of the table's rows and of every image's bytes.

        Args:
            maps: of the maps' bytes too; None: where the variant trains on them.
        """
        maps = needs_maps(config) if maps is None else maps
        key = f"{config['data']!r} {maps}"
        if key not in self._data_hashes:
            data = self.source(config)
            with progress("hashing images") as advance:
                if isinstance(data, PairDataModule):
                    self._data_hashes[key] = data.content_digest(advance, maps=maps)
                else:
                    self._data_hashes[key] = data.content_digest(advance)
        return self._data_hashes[key]

    def trunk(self, config: dict[str, Any]) -> Backbone:
        """The trunk of a variant; a frozen one is shared, one that trains is built anew each time."""
        name, keywords = named(config["model"]["backbone"], "model.backbone")
        key = repr((name, sorted(keywords.items())))
        if self._trunk is not None and self._trunk[0] == key:
            return self._trunk[1]
        trunk = build_backbone(name, keywords)
        if trunk.tuning == "frozen":
            self._trunk = key, trunk
        return trunk
