"""What can be wrong with an experiment beyond its types, found before the first run starts."""

from __future__ import annotations

from typing import Any

from datamodules import ImageDataModule, PairDataModule
from engine.config.pretraining_section import check_wanted, pretraining_config
from engine.config.schema import RunConfig
from engine.config.trainer_section import TrainerSection
from engine.training.exact_fit import fit_of, starts_exactly
from engine.training.init_from import InitialWeights
from engine.training.lightning_trainer import make_trainer
from engine.training.trainer_options import check_selection
from lightning_modules.image_module import ImageTask
from lightning_modules.model_config import ModelSection
from lightning_modules.pair_module import PairModule
from registry import (
    BACKBONES,
    CAPTIONERS,
    DATAMODULES,
    DUAL_ENCODERS,
    HEADS,
    LIGHTNING_MODULES,
    LOSSES,
    METRICS,
    TEXT_ENCODERS,
    Registry,
)
from semfid.errors import UserError, did_you_mean
from semfid.settings import PluginSpec

PLUGINS_OF_METRICS: dict[str, Registry[Any]] = {
    "backbone": BACKBONES,
    "tower": DUAL_ENCODERS,
    "captioner": CAPTIONERS,
    "embedder": TEXT_ENCODERS,
}
MONITORS = ("val_mse", "val_srcc", "last")


class Checker:
    """Checks the variants of an experiment; what several of them share is looked at once."""

    def __init__(self) -> None:
        self._trainers: set[TrainerSection] = set()
        self._pretrainings: set[tuple[int, str]] = set()

    def check(self, config: RunConfig) -> None:
        """Names, keywords and types of a variant, and the devices it asks for. Opens no image, loads no weights.

        Raises:
            UserError: the first mistake, with its key.
        """
        _check_data(config.data)
        _check_baselines(config.baselines)
        if config.model is None:
            _check_without_model(config)
            self._check_trainer(config.trainer)
            return
        task = config.task_class
        _check_kind(config, task)
        _check_model(config.model, task)
        module = config.module_class
        if module is not None and issubclass(module, PairModule):
            module.check(config.model.module_keywords)
        if config.init_from is not None and task is not None:
            raise UserError(
                f"init_from is of models of pairs; remove it: model: '{config.model.name}' learns from single images"
            )
        InitialWeights.of(config)
        _check_fit(config)
        _check_monitor(config, task)
        self._check_trainer(config.trainer)
        monitor = config.selection.monitor
        if monitor != "last" and (task is None or monitor in task.monitors):
            check_selection(config.trainer, monitor)
        self._check_pretraining(config)

    def _check_trainer(self, trainer: TrainerSection) -> None:
        """Lightning's own look at the section: devices that are not there, a precision that does not exist."""
        if trainer not in self._trainers:
            make_trainer(trainer)
            self._trainers.add(trainer)

    def _check_pretraining(self, config: RunConfig) -> None:
        """Every entry of the section, as if a variant asked for it."""
        check_wanted(config)
        for name in config.pretraining:
            own = pretraining_config(config, name)
            key = config.trainer.processes, own.model_dump_json()
            if key in self._pretrainings:
                continue
            try:
                self.check(own)
            except UserError as error:
                raise UserError(f"pretraining.{name}: {error}") from error
            if own.task_class is None:
                raise UserError(
                    f"pretraining.{name}: model: '{own.needed_model.name}' does not learn from single images; use supervised or "
                    "contrastive"
                )
            if own.trainer.processes not in (1, config.trainer.processes):
                raise UserError(
                    f"pretraining.{name}: it spans {own.trainer.processes} processes and its variants "
                    f"{config.trainer.processes}; let it use as many, or 1"
                )
            self._pretrainings.add(key)


def _check_model(model: ModelSection, task: type[ImageTask] | None) -> None:
    """The lightning module, and the backbone, head and losses that it names."""
    given = "backbone" in model.written
    if not given and (task is None or task.needs_backbone):
        LIGHTNING_MODULES.check_named(model.written, "model", ("backbone",))  # it may be there, mistyped
        raise UserError(
            "model.backbone is missing; give {name: resnet50_imagenet} or another of `semfid list backbones`"
        )
    if model.backbone is not None or task is None or task.needs_backbone:
        BACKBONES.check_named(model.needed_backbone.written, "model.backbone")
    LIGHTNING_MODULES.check_named({"name": model.name, **model.module_keywords}, "model", ("backbone",))
    if task is not None:
        task.check(model.module_keywords)
    if model.head is not None:
        HEADS.check_named(model.head.written, "model.head")
    for key in ("loss", "score_loss"):
        if key in model.keywords:
            LOSSES.check_named(model.keywords[key], f"model.{key}")


def _check_fit(config: RunConfig) -> None:
    fit = fit_of(config)
    starts_exactly(config)
    if config.penalty is not None and fit == "gradient":
        raise UserError("penalty is of exact fits, and this variant trains by gradient; remove it")


def _check_monitor(config: RunConfig, task: type[ImageTask] | None) -> None:
    # the schema's default, val_mse, is a word of pairs; to a module that does not log it, it means the last epoch
    monitors = MONITORS if task is None else ("last", *task.monitors)
    monitor = config.selection.monitor
    if monitor not in monitors and (task is None or monitor != "val_mse"):
        raise UserError(
            f"selection.monitor is {monitor!r}{did_you_mean(monitor, monitors)} (there are: {', '.join(monitors)})"
        )


def _check_baselines(metrics: tuple[PluginSpec, ...]) -> None:
    """Names and keywords of training-free metrics, and of the plugins that these name."""
    for metric in metrics:
        METRICS.check_named(metric.written, "baselines")
        for key, registry in PLUGINS_OF_METRICS.items():
            if key in metric.keywords:
                registry.check_named(metric.keywords[key], f"baselines: {metric.name}: {key}")


def _check_without_model(config: RunConfig) -> None:
    """An experiment of training-free metrics alone."""
    if not config.baselines:
        raise UserError(
            "there is neither a model nor a baseline; give model: {...} (docs/experiments.md), or baselines: [ssim]"
        )
    if config.init_from is not None or config.pretraining:
        key = "pretraining" if config.pretraining else "init_from"
        raise UserError(f"{key} is of a model, and there is none; remove it, or give one")
    if _of_images(config.data):
        raise UserError("baselines are metrics of pairs, and data gives single images; use pairs, user_study or scenes")


def _of_images(data: PluginSpec) -> bool:
    factory: Any = DATAMODULES.get(data.name).factory
    return isinstance(factory, type) and issubclass(factory, ImageDataModule)


def _check_kind(config: RunConfig, task: type[ImageTask] | None) -> None:
    """A module of single images needs such data, and a module of pairs needs pairs."""
    data, model, of_images = config.data.name, config.needed_model.name, _of_images(config.data)
    if task is None and of_images and model in LIGHTNING_MODULES.names():
        raise UserError(f"data: '{data}' gives single images and model: '{model}' learns from pairs")
    if task is not None and not of_images:
        raise UserError(f"data: '{data}' gives pairs and model: '{model}' learns from single images")
    if task is not None and config.baselines:
        raise UserError(f"baselines are metrics of pairs; remove them: model: '{model}' learns from single images")


def _check_data(data: PluginSpec) -> None:
    DATAMODULES.check_named(data.written, "data")
    factory: Any = DATAMODULES.get(data.name).factory
    if isinstance(factory, type) and issubclass(factory, PairDataModule):
        factory.check(data.keywords)
