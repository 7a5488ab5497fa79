"""Sections of an experiment that are the engine's own."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError, field_validator, model_validator

from engine.config.trainer_section import TrainerSection
from lightning_modules.model_config import ModelSection
from semfid.errors import did_you_mean
from semfid.settings import KeyFault, PluginSpec, Section, Settings

WORDS = ("hub", "none")  # of model.backbone.pretrained


class Selection(Settings):
    """Which epoch of a training is kept. Looks at the validation part only."""

    monitor: str = "val_mse"
    """``val_mse``, ``val_srcc``, another metric that the module logs, or ``last`` (no selection)."""
    patience: int | None = None
    """Stop after so many epochs without improvement; null: never."""


class Evaluation(Settings):
    """How metrics are reported."""

    bootstraps: int = 1000
    """Resamples of the sources."""
    level: float = 0.95
    """Of the intervals."""
    alpha: float = 0.05
    """Of the paired comparisons, after Holm's correction."""
    by_origin: bool = True
    """Also give metrics per origin."""
    maps: bool | None = None
    """Metrics of difference maps against the table's maps. true: of every variant and baseline that gives maps; null: of
    variants that learn from maps, and of the baselines beside them."""

    @model_validator(mode="after")
    def _check(self) -> Evaluation:
        if self.bootstraps < 1 or not 0 < self.level < 1:
            raise KeyFault("{key}: bootstraps must be at least 1 and level between 0 and 1")
        return self


class Cache(Settings):
    """Statistics of frozen backbones on disk."""

    enabled: bool = True
    """Off: every variant computes its own."""
    folder: str = ".cache/statistics"
    """Relative to the working directory."""
    max_gb: float = 20.0
    """The least recently used statistics are removed beyond this size."""


class Pretraining(Section):
    """A backbone that is trained first, on single images, for variants that name it in ``model.backbone.pretrained``."""

    data: PluginSpec
    """Datamodule of single images."""
    model: ModelSection
    """Lightning module of single images, without a backbone: the architecture is that of the variant."""
    trainer: TrainerSection
    """Keywords of lightning.Trainer; those that say where it trains are the variant's, unless given."""
    selection: Selection = Selection(monitor="last")
    seed: int = 0

    @field_validator("selection", mode="before")
    @classmethod
    def _last(cls, value: Any) -> Any:
        return {"monitor": "last", **value} if isinstance(value, Mapping) else value


def pretraining_entries(section: Any) -> Any:
    """The entries of the section ``pretraining`` by name.

    Raises:
        KeyFault: the first mistake, with its key.
    """
    if not isinstance(section, Mapping):
        raise KeyFault(f"{{key}} must be a mapping of names to data, model and trainer, not {section!r}")
    return {str(name): _entry(str(name), entry) for name, entry in section.items()}


def _entry(name: str, entry: Any) -> Pretraining:
    where = f"pretraining.{name}"
    if isinstance(entry, Pretraining):
        return entry
    if name in WORDS or Path(name).exists():
        meaning = "a word of pretrained: already" if name in WORDS else "also a file or folder"
        raise KeyFault(f"{where}: '{name}' is {meaning}; choose another name")
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name):
        raise KeyFault(f"{where}: a name is made of letters, digits, '_', '-' and '.'; it becomes a folder")
    if not isinstance(entry, Mapping):
        raise KeyFault(f"{where} must be a mapping with data, model and trainer, not {entry!r}")
    _check_keys(where, entry)
    try:
        return Pretraining.model_validate_json(json.dumps(entry, default=str))  # as JSON: see `validate`
    except ValidationError as error:
        fault = error.errors()[0]
        key = ".".join([where, *(str(part) for part in fault["loc"])])
        said = str(fault.get("ctx", {}).get("error", f"{{key}} is {fault['input']!r}: {fault['msg']}"))
        whole = "{key}" in said
        raise KeyFault(said.replace("{key}", key) if whole else f"{where}: {said}") from error


def _check_keys(where: str, entry: Mapping[str, Any]) -> None:
    known = list(Pretraining.model_fields)
    for key in entry:
        if key not in known:
            raise KeyFault(
                f"{where}: unknown key '{key}'{did_you_mean(str(key), known)} (it takes: {', '.join(known)})"
            )
    for key in ("data", "model"):
        if key not in entry:
            raise KeyFault(f"{where} has no '{key}'; give data, model and trainer")
    if isinstance(entry["model"], Mapping) and "backbone" in entry["model"]:
        raise KeyFault(f"{where}.model.backbone: the architecture is that of the variant; remove it")
    for key in ("trainer", "selection"):
        if not isinstance(entry.get(key, {}), Mapping):
            raise KeyFault(f"{where}.{key} must be a mapping, not {entry[key]!r}")
    if not {"max_epochs", "max_steps"} & {*entry.get("trainer", {})}:
        raise KeyFault(f"{where}.trainer: say how long to train, by max_epochs or max_steps")
    seed = entry.get("seed", 0)
    if not isinstance(seed, int) or isinstance(seed, bool):
        raise KeyFault(f"{where}.seed is {seed!r}; it must be a whole number")
