"""The section ``model`` of an experiment, and what a run's folder says of the run: typed, for training and for scoring."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from lightning_modules.optimizers import check_optimizer
from registry import Registry
from semfid.errors import UserError
from semfid.io.yaml_file import read_mapping
from semfid.settings import KeyFault, PluginSpec, Section


class OptimizerSection(Section):
    """An optimiser by name, its learning rates and schedule; see `lightning_modules.optimizers`."""

    name: str
    lr: int | float | None = None
    """Learning rate."""
    backbone_lr: int | float | None = None
    """Learning rate of the backbone, where it trains; left out: `lr`."""
    schedule: Literal["constant", "cosine"] = "constant"

    @classmethod
    def spelled_out(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            raise KeyFault(f"{{key}} must be a mapping such as {{name: adam, lr: 1e-4}}, not {value!r}")
        try:
            check_optimizer(value)
        except UserError as error:
            raise KeyFault(str(error)) from error
        return value


class ModelSection(PluginSpec):
    """A lightning module: its backbone, its other keywords as they are; or a training-free metric."""

    backbone: PluginSpec | None = None
    """Feature extractor."""
    head: PluginSpec | None = None
    """What turns features of a pair into a difference."""
    loss: PluginSpec = PluginSpec(name="mse")
    """Of the module's predictions against the labels."""
    optimizer: OptimizerSection | None = None
    """Left out: that of the module."""

    @property
    def module_keywords(self) -> dict[str, Any]:
        """The keywords of the lightning module, as the registry checks and passes them."""
        return {key: value for key, value in self.keywords.items() if key != "backbone"}

    @property
    def needed_backbone(self) -> PluginSpec:
        """The backbone of a model that has one.

        Raises:
            UserError: there is none.
        """
        return _needed(self.backbone, "backbone")

    @property
    def needed_head(self) -> PluginSpec:
        """The head of a model that has one.

        Raises:
            UserError: there is none.
        """
        return _needed(self.head, "head")

    @property
    def tuning(self) -> str:
        """What of the backbone trains: ``frozen``, ``lora`` or ``full``."""
        return "frozen" if self.backbone is None else str(self.backbone.keywords.get("tuning", "frozen"))

    def with_backbone(self, **keywords: Any) -> ModelSection:
        """The same model on a backbone with other values of some keywords."""
        return self.changed({"backbone": self.needed_backbone.changed(keywords).written})


def _needed(spec: PluginSpec | None, key: str) -> PluginSpec:
    if spec is None:
        raise UserError(f"model.{key} must be a name or a mapping with a name, not None")
    return spec


def filled(registry: Registry[Any], spec: PluginSpec) -> dict[str, Any]:
    """The keywords of a plugin with the defaults of what was left out."""
    parameters = registry.get(spec.name).keywords.values()
    return {**{one.name: one.default for one in parameters if one.default is not one.empty}, **spec.keywords}


class RunFile(BaseModel):
    """What scoring needs of a run's ``config.yaml``."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    model: ModelSection
    data: PluginSpec
    plugins: tuple[str, ...] = ()


def read_run_file(folder: Path) -> RunFile:
    """The configuration of a run's folder.

    Raises:
        UserError: a file that is gone, or is no configuration of a run.
    """
    try:
        return RunFile.model_validate(read_mapping(folder / "config.yaml"))
    except (UserError, ValidationError) as error:
        raise UserError(f"{folder / 'config.yaml'} cannot be read; train the run again") from error
