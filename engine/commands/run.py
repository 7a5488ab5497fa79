"""`semfid run`: one variant of an experiment."""

from __future__ import annotations

import argparse
import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path

from engine.commands.naming import naming
from engine.rank_zero import is_rank_zero
from engine.results.map_metrics import add_wanted_maps, check_maps
from engine.runs.context import RunContext
from engine.runs.pretraining import pretrained
from engine.runs.run import run_variant
from engine.runs.run_folder import RunFolder
from engine.runs.sweep import Sweep, check_data, read_sweep
from semfid.errors import UserError

log = logging.getLogger("semfid")
SHOWN = ("srcc", "krcc", "plcc", "mse")
SHOWN_OF_MAPS = ("average_precision", "iou", "mse")


def run(experiment: str | Path, overrides: Sequence[str] = (), *, variant: int | None = None) -> RunFolder:
    """Train and evaluate one variant.

    Args:
        experiment: its YAML.
        overrides: ``key=value``, such as ``seed=1``.
        variant: its number in the sweep, from 1; None: the file without its sweep.

    Raises:
        UserError: a mistake in the file, or in what it leads to; names the file.
    """
    sweep, context = _one(experiment, overrides, variant), RunContext()
    (chosen,) = sweep.variants
    with naming(sweep.file):
        if chosen.config.model is None:
            raise UserError("there is no model to train; `semfid ablate` scores the baselines")
        check_maps(chosen.config, context)
        folder = run_variant(chosen, context, chosen.label)
        add_wanted_maps(chosen, context, folder)
    return folder


def pretrain(experiment: str | Path, overrides: Sequence[str] = (), *, variant: int | None = None) -> str:
    """Train only the backbone that a variant asks for by name, so that many of its variants can then run side by side.

    Returns:
        the path of the backbone.

    Raises:
        UserError: as `run`; the variant asks for none.
    """
    sweep = _one(experiment, overrides, variant)
    (chosen,) = sweep.variants
    with naming(sweep.file):
        if chosen.config.model is None:
            raise UserError("there is no model to train; `semfid ablate` scores the baselines")
        done = pretrained(chosen, RunContext())
        if done is chosen:
            raise UserError("--pretraining: model.backbone.pretrained of this variant names no entry of pretraining")
    return str(done.config.backbone.keywords["pretrained"])


def check(experiment: str | Path, overrides: Sequence[str] = (), *, variant: int | None = None) -> Sweep:
    """Validate configuration and data of one variant, read every image, train nothing.

    Raises:
        UserError: as `run`.
    """
    sweep = _one(experiment, overrides, variant)
    with naming(sweep.file):
        check_data(sweep, RunContext(), images=True)
    return sweep


def command(arguments: argparse.Namespace) -> int:
    """Run, pretrain or check, and print."""
    what = arguments.experiment, arguments.overrides
    if arguments.check:
        print(f"{check(*what, variant=arguments.variant).file}: configuration and data are fine")
        return 0
    if arguments.pretraining:
        backbone = pretrain(*what, variant=arguments.variant)
        if is_rank_zero():
            print(backbone)
        return 0
    folder = run(*what, variant=arguments.variant)
    if is_rank_zero():
        log.info(f"run folder: {folder.path}")
        print(_words(folder))
    return 0


def _one(experiment: str | Path, overrides: Sequence[str], variant: int | None) -> Sweep:
    """The sweep of one variant alone."""
    sweep = read_sweep(experiment, [*overrides, *(["sweep={}"] if variant is None else [])])
    number = variant or 1
    if number > len(sweep.variants):
        raise UserError(f"--variant {number}: {sweep.file} has {len(sweep.variants)} variants")
    return dataclasses.replace(sweep, variants=[sweep.variants[number - 1]])


def _words(folder: RunFolder) -> str:
    """The main metrics of a run in one line."""
    values = folder.image_metrics().get("figures")  # of single images; all of them
    if values is None:
        metrics = folder.pair_metrics()
        values = {name: value for name, value in metrics["pooled"].items() if name in SHOWN}
        of_maps = metrics["maps"]["pooled"] if "maps" in metrics else {}
        values |= {f"map_{name}": of_maps[name] for name in SHOWN_OF_MAPS if name in of_maps}
    missing = {name: "-" if name.startswith("map_") else "constant" for name in values}
    return " ".join(f"{name} {missing[name] if value is None else f'{value:.4f}'}" for name, value in values.items())
