"""Everything that can be wrong with an experiment, found before the first run starts."""

from __future__ import annotations

import difflib
import inspect
import logging
import math
import warnings
from typing import Any

import lightning as L
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException

from datamodules import ImageDataModule, PairDataModule
from engine.config.module_types import module_class, task_class
from engine.config.pretraining_section import check_section, pretraining_config
from engine.training.exact_fit import fit_of, starts_exactly
from engine.training.init_from import InitialWeights
from engine.training.trainer_options import check_options, check_selection
from lightning_modules.image_module import ImageTask
from lightning_modules.optimizers import check_optimizer
from lightning_modules.pair_module import PairModule
from registry import (
    BACKBONES,
    CAPTIONERS,
    DATAMODULES,
    HEADS,
    LIGHTNING_MODULES,
    LOSSES,
    METRICS,
    TEXT_EMBEDDERS,
    TOWERS,
    Registry,
    named,
)
from semfid.errors import UserError, did_you_mean
from semfid.typing_checks import describe_type, fits

OURS = (
    "logger",
    "callbacks",
    "default_root_dir",
    "use_distributed_sampler",
    "enable_checkpointing",
    "num_sanity_val_steps",
)
PLUGINS_OF_METRICS: dict[str, Registry[Any]] = {
    "backbone": BACKBONES,
    "tower": TOWERS,
    "captioner": CAPTIONERS,
    "embedder": TEXT_EMBEDDERS,
}
MONITORS = ("val_mse", "val_srcc", "last")


def check_config(config: dict[str, Any], known: set[str] | None = None) -> None:
    """Names, keywords and types of a resolved variant, and the devices it asks for. Opens no image, loads no weights.

    Args:
        known: pretrainings that were found to be fine; variants share them. Added to.

    Raises:
        UserError: the first mistake, with its key.
    """
    _check_data(config["data"])
    _check_baselines(config["baselines"])
    if config["evaluation"]["bootstraps"] < 1 or not 0 < config["evaluation"]["level"] < 1:
        raise UserError("evaluation: bootstraps must be at least 1 and level between 0 and 1")
    if not config["model"]:
        _check_without_model(config)
        return
    model_name, model = named(config["model"], "model")
    task = task_class(config)
    _check_kind(config, task)
    if "backbone" not in model and task is not None and not task.needs_trunk:
        model["backbone"] = None
    if "backbone" not in model:
        LIGHTNING_MODULES.check_named(config["model"], "model", ("backbone",))  # it may be there, mistyped
        raise UserError(
            "model.backbone is missing; give {name: resnet50_imagenet} or another of `semfid list backbones`"
        )
    given = model.pop("backbone")
    if given is not None or task is None or task.needs_trunk:
        BACKBONES.check_named(given, "model.backbone")
    LIGHTNING_MODULES.check_named({"name": model_name, **model}, "model", ("backbone",))
    if task is not None:
        task.check(model)
    if "head" in model:
        HEADS.check_named(model["head"], "model.head")
    for key in ("loss", "score_loss"):
        if key in model:
            LOSSES.check_named(model[key], f"model.{key}")
    module = module_class(config)
    if module is not None and issubclass(module, PairModule):
        module.check(model)
    if config.get("init_from") is not None and task is not None:
        raise UserError(f"init_from is of models of pairs; remove it: model: '{model_name}' learns from single images")
    InitialWeights.of(config)
    _check_fit(config)
    if model.get("optimizer") is not None:
        check_optimizer(model["optimizer"])
    selection = config["selection"]
    # the schema's default, val_mse, is a word of pairs; to a module that does not log it, it means the last epoch
    monitors = MONITORS if task is None else ("last", *task.monitors)
    if selection["monitor"] not in monitors and (task is None or selection["monitor"] != "val_mse"):
        raise UserError(
            f"selection.monitor is {selection['monitor']!r}{did_you_mean(selection['monitor'], monitors)} "
            f"(there are: {', '.join(monitors)})"
        )
    processes = make_trainer(config).world_size
    if selection["monitor"] != "last" and (task is None or selection["monitor"] in task.monitors):
        check_selection(config["trainer"], selection["monitor"])
    _check_pretraining(config, processes, set() if known is None else known)


def _check_fit(config: dict[str, Any]) -> None:
    fit, penalty = fit_of(config), config.get("penalty")
    starts_exactly(config)
    if penalty is not None and not (penalty > 0 and math.isfinite(penalty)):
        raise UserError(f"penalty is {penalty:g}; it must be a positive number such as 0.01, or null to choose it")
    if penalty is not None and fit == "gradient":
        raise UserError("penalty is of exact fits, and this variant trains by gradient; remove it")


def _check_baselines(metrics: list[Any]) -> None:
    """Names and keywords of training-free metrics, and of the plugins that these name."""
    for metric in metrics:
        METRICS.check_named(metric, "baselines")
        name, keywords = named(metric, "baselines")
        for key, registry in PLUGINS_OF_METRICS.items():
            if key in keywords:
                registry.check_named(keywords[key], f"baselines: {name}: {key}")


def _check_without_model(config: dict[str, Any]) -> None:
    """An experiment of training-free metrics alone."""
    if not config["baselines"]:
        raise UserError(
            "there is neither a model nor a baseline; give model: {...} (docs/experiments.md), or baselines: [ssim]"
        )
    if config.get("init_from") is not None or config["pretraining"]:
        key = "pretraining" if config["pretraining"] else "init_from"
        raise UserError(f"{key} is of a model, and there is none; remove it, or give one")
    factory: Any = DATAMODULES.get(named(config["data"], "data")[0]).factory
    if isinstance(factory, type) and issubclass(factory, ImageDataModule):
        raise UserError("baselines are metrics of pairs, and data gives single images; use pairs, user_study or scenes")
    make_trainer(config)


def _check_pretraining(config: dict[str, Any], processes: int, known: set[str]) -> None:
    """Every entry of the section, as if a variant asked for it."""
    if not config.get("pretraining"):
        return
    check_section(config)
    for name in config["pretraining"]:
        own = pretraining_config(config, name)
        if f"{processes} {own!r}" in known:
            continue
        try:
            check_config(own)
        except UserError as error:
            raise UserError(f"pretraining.{name}: {error}") from error
        if task_class(own) is None:
            raise UserError(
                f"pretraining.{name}: model: '{own['model']['name']}' does not learn from single images; use supervised or "
                "contrastive"
            )
        own_processes = make_trainer(own).world_size
        if own_processes not in (1, processes):
            raise UserError(
                f"pretraining.{name}: it spans {own_processes} processes and its variants {processes}; let it use as many, or 1"
            )
        known.add(f"{processes} {own!r}")


def _check_kind(config: dict[str, Any], task: type[ImageTask] | None) -> None:
    """A module of single images needs such data, and a module of pairs needs pairs."""
    data_name, _ = named(config["data"], "data")
    model_name, _ = named(config["model"], "model")
    factory: Any = DATAMODULES.get(data_name).factory
    of_images = isinstance(factory, type) and issubclass(factory, ImageDataModule)
    if task is None and of_images and model_name in LIGHTNING_MODULES.names():
        raise UserError(f"data: '{data_name}' gives single images and model: '{model_name}' learns from pairs")
    if task is not None and not of_images:
        raise UserError(f"data: '{data_name}' gives pairs and model: '{model_name}' learns from single images")
    if task is not None and config["baselines"]:
        raise UserError(f"baselines are metrics of pairs; remove them: model: '{model_name}' learns from single images")


def _check_data(data: dict[str, Any]) -> None:
    DATAMODULES.check_named(data, "data")
    name, keywords = named(data, "data")
    factory: Any = DATAMODULES.get(name).factory
    if isinstance(factory, type) and issubclass(factory, PairDataModule):
        factory.check(keywords)


def make_trainer(config: dict[str, Any], **ours: Any) -> L.Trainer:
    """`lightning.Trainer` from the section ``trainer``, with what the engine adds.

    Raises:
        UserError: an unknown key, a value that Lightning refuses, a device that is not there.
    """
    keywords = dict(config["trainer"])
    known = list(inspect.signature(L.Trainer).parameters)
    for key in keywords:
        if key in OURS:
            raise UserError(f"trainer.{key} is set by the engine; remove it")
        if key not in known:
            close = difflib.get_close_matches(str(key), known, n=3)
            raise UserError(
                f"trainer: lightning.Trainer has no keyword '{key}'" + (f"; did you mean {close}?" if close else "")
            )
        annotation = inspect.signature(L.Trainer).parameters[key].annotation
        if not fits(keywords[key], annotation):
            raise UserError(f"trainer.{key} is {keywords[key]!r}; it must be {describe_type(annotation)}")
    epochs = keywords.get("max_epochs", 1)
    if epochs is not None and epochs < 1 and epochs != -1:
        raise UserError(f"trainer.max_epochs is {epochs}; it must be at least 1")
    if keywords.get("fast_dev_run"):
        raise UserError(
            "trainer.fast_dev_run keeps no checkpoint to evaluate; set trainer.max_epochs=1 trainer.limit_train_batches=2"
        )
    check_options(keywords)
    if "spawn" in str(keywords.get("strategy")) or "fork" in str(keywords.get("strategy")):
        raise UserError(f"trainer.strategy: {keywords['strategy']} loses what its processes compute; use ddp")
    if keywords.get("accelerator") in ("gpu", "cuda") and not torch.cuda.is_available():
        raise UserError(
            f"trainer.accelerator is {keywords['accelerator']!r} but torch sees no GPU; set trainer.accelerator=auto, or install "
            "a driver and a CUDA build of torch"
        )
    if keywords.get("sync_batchnorm") and not torch.cuda.is_available():
        keywords["sync_batchnorm"] = False  # it exists on GPUs only; one YAML should serve a laptop and a cluster
    quiet_lightning()
    defaults = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_model_summary": False,
        "enable_progress_bar": False,
    }
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return L.Trainer(**{**defaults, **keywords, **ours}, use_distributed_sampler=False, num_sanity_val_steps=0)
    except (MisconfigurationException, ValueError, TypeError, RuntimeError) as error:
        raise UserError(f"trainer: {' '.join(str(error).split())}") from error


def quiet_lightning() -> None:
    """Keep Lightning's banners off the screen; its warnings that matter here are errors of ours."""
    for name in ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for message in (
        ".*does not have many workers.*",
        ".*in eval mode at the start of training.*",
        ".*Found .* module.* in eval mode.*",
        ".*smaller than the logging interval.*",
        ".*Checkpoint directory .* exists.*",
        ".*LeafSpec.*",
        ".*tensorboardX.*",
        ".*srun.*",
        ".*barrier.*",
        ".*custom batch sampler.*",
        ".*predict returned None.*",
        ".*Total length of `DataLoader`.*",
    ):
        warnings.filterwarnings("ignore", message)
