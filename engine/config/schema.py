"""The experiment file as types: what it may say, and what a run is made from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_serializer, field_validator

from engine.config.sections import Cache, Evaluation, Pretraining, Selection, pretraining_entries
from engine.config.trainer_section import TrainerSection
from lightning_modules.experts import Experts
from lightning_modules.image_module import ImageTask
from lightning_modules.model_config import ModelSection
from lightning_modules.pair_module import PairModule
from registry import LIGHTNING_MODULES, RegistryError
from semfid.errors import UserError
from semfid.settings import KeyFault, PluginSpec, Settings, as_mapping, validate


def _text(value: Any) -> Any:
    """A number that stands where a text is wanted, such as a name 2024."""
    return str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


Text = Annotated[str, BeforeValidator(_text)]


class _Common(Settings):
    name: Text
    """Folder of the runs."""
    seed: int = 0
    """Of initial weights, order and dropout."""
    data: PluginSpec
    """Datamodule and its keywords."""
    model: ModelSection | None = None
    """Lightning module, backbone and keywords; left out where only baselines are compared."""
    fit: Literal["exact", "gradient"] | None = None
    """``exact`` solves for the weights of a linear head on a frozen backbone; ``gradient`` trains. Left out: exact where head,
    loss and trainer allow it."""
    penalty: float | None = None
    """Of an exact fit on squared weights, see `engine.training.exact`; null: chosen by leaving training photos out."""
    start: Literal["exact", "random"] | None = None
    """Of a training by gradient. ``exact``: a linear head starts from the exact fit on the features as they are before the
    training, of at most 4,096 training pairs; ``random``, the default, from its initial weights."""
    init_from: str | None = None
    """A finished run, or a pattern that fits one, whose weights a training starts from."""
    pretraining: Annotated[dict[str, Pretraining], BeforeValidator(pretraining_entries)] = Field(default_factory=dict)
    """Backbones that `model.backbone.pretrained` may name; each is trained first, on single images."""
    compile: bool | Literal["auto"] = "auto"
    """torch.compile the backbone's pass and the head's input. ``auto``: on a GPU, where a training is long enough to win back
    the minute that it takes."""
    selection: Selection = Selection()
    evaluation: Evaluation = Evaluation()
    cache: Cache = Cache()
    baselines: tuple[PluginSpec, ...] = ()
    """Training-free metrics beside the learned variants: names or ``{name: ..., keywords}``."""
    trainer: TrainerSection = TrainerSection()
    """Goes to `lightning.Trainer` as it is."""
    plugins: tuple[Text, ...] = ()
    """Modules or files to import."""
    output: Text = "runs"
    """Folder of all runs."""

    @property
    def folder(self) -> Path:
        """Of the experiment's runs."""
        return Path(self.output) / self.name

    @field_validator("data", "model", mode="before")
    @classmethod
    def _check_mapping(cls, value: Any) -> Any:
        if isinstance(value, str):
            raise KeyFault(f"{{key}} must be a mapping with a name, such as {{name: {value}}}")
        return None if value == {} else value

    @field_serializer("model")
    def _model(self, model: ModelSection | None) -> Any:
        return {} if model is None else model.model_dump(mode="json")

    @field_validator("fit", mode="before")
    @classmethod
    def _check_fit(cls, value: Any) -> Any:
        if value not in (None, "exact", "gradient"):
            raise KeyFault(f"{{key}} is {value!r}; choose exact or gradient, or leave it out")
        return value

    @field_validator("start", mode="before")
    @classmethod
    def _check_start(cls, value: Any) -> Any:
        if value not in (None, "exact", "random"):
            raise KeyFault(f"{{key}} is {value!r}; choose exact or random, or leave it out")
        return value

    @field_validator("penalty")
    @classmethod
    def _check_penalty(cls, value: float | None) -> float | None:
        if value is not None and not (value > 0 and math.isfinite(value)):
            raise KeyFault(f"{{key}} is {value:g}; it must be a positive number such as 0.01, or null to choose it")
        return value


class Experiment(_Common):
    """One experiment file, with what it extends and the overrides of the command line."""

    sweep: dict[str, Any] = Field(default_factory=dict)
    """Key -> list of values; every combination is a variant. Seeds are averaged."""
    sweep_mode: Literal["grid", "one_factor"] = "grid"
    """``grid``, or ``one_factor`` (each key varied alone around the file's own values)."""

    @field_validator("sweep_mode", mode="before")
    @classmethod
    def _check_mode(cls, value: Any) -> Any:
        if value not in ("grid", "one_factor"):
            raise KeyFault(f"{{key}} is {value!r}; choose grid or one_factor")
        return value


class RunConfig(_Common):
    """What one run is made from: an experiment with one choice of everything that it sweeps."""

    pretrained_by: str | None = None
    """The entry of `pretraining` that trained the backbone's weights."""
    identities: dict[str, str] | None = None
    """Of a training-free metric: the models that it asks, by their weights. None: a run that learns."""

    @property
    def module_class(self) -> type[Any] | None:
        """The class that the module is registered as; None where there is no such module, or a function makes it."""
        if self.model is None:  # only training-free metrics are compared
            return None
        try:
            factory: Any = LIGHTNING_MODULES.get(self.model.name).factory
        except RegistryError:  # a training-free metric stands in `model` too; the check reports a mistyped name
            return None
        return factory if isinstance(factory, type) else None

    @property
    def task_class(self) -> type[ImageTask] | None:
        """The class of the module where it trains on single images; None where it learns from pairs, or there is no module."""
        found = self.module_class
        return found if found is not None and issubclass(found, ImageTask) else None

    @property
    def is_experts(self) -> bool:
        """Whether it is of experts and a gate, which write metrics' files."""
        found = self.module_class
        return found is not None and issubclass(found, Experts)

    @property
    def needs_maps(self) -> bool:
        """Whether the module trains on difference maps."""
        found = self.module_class
        return found is not None and issubclass(found, PairModule) and found.wants_maps(self.needed_model.keywords)

    @property
    def needed_model(self) -> ModelSection:
        """The model of a run that has one.

        Raises:
            UserError: there is none.
        """
        if self.model is None:
            raise UserError("there is no model to train; `semfid ablate` scores the baselines")
        return self.model

    @property
    def backbone(self) -> PluginSpec:
        """The backbone of a run that has one.

        Raises:
            UserError: there is none.
        """
        return self.needed_model.needed_backbone

    @property
    def learns(self) -> bool:
        """Whether it is a run of a model, not of a training-free metric."""
        return self.identities is None

    def of_metric(self, metric: PluginSpec, identities: dict[str, str]) -> RunConfig:
        """A training-free metric on the same data: nothing of a training counts."""
        trained = {"trainer": TrainerSection(), "init_from": None, "fit": None, "penalty": None, "start": None}
        model = ModelSection.model_validate(metric.written)
        return self.model_copy(update={**trained, "seed": 0, "model": model, "identities": identities})

    def as_mapping(self) -> dict[str, Any]:
        """The resolved mapping, as ``config.yaml`` holds it and as the run's hash takes it."""
        added = {"pretrained_by": self.pretrained_by, "identities": self.identities}
        mapping = as_mapping(self, [key for key, value in added.items() if value is None])
        return mapping if self.learns else {**mapping, "selection": {}, "trainer": {}}


def recorded_config(settings: Mapping[str, Any], folder: Path, learned: bool) -> RunConfig:
    """The configuration that a run's folder holds, also one of an older version.

    Args:
        settings: content of its ``config.yaml``.
        learned: False: the run of a training-free metric.

    Raises:
        UserError: a value of another type.
    """
    known = {key: value for key, value in settings.items() if key in RunConfig.model_fields}
    if not learned:
        known.setdefault("identities", {})
    return validate(RunConfig, {"name": folder.parent.name, **known}, str(folder / "config.yaml"))
