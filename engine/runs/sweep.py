"""An experiment, read and checked: its variants, and whether their data are there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.config.check import Checker
from engine.config.expansion import Variant, expand
from engine.config.pretraining_section import pretraining_config, pretraining_name
from engine.config.reading import load_experiment
from engine.config.schema import Experiment
from engine.rank_zero import log, progress
from engine.results.map_metrics import check_maps
from engine.runs.context import RunContext
from registry import load_plugins
from semfid.errors import UserError


@dataclass(frozen=True)
class Sweep:
    """An experiment, read and validated.

    Attributes:
        file: the YAML.
        overrides: as given on the command line.
        config: resolved, with its sweep.
        variants: all of them, checked.
        lost: numbers (from 0) of those whose pretraining failed; they are not run.
    """

    file: Path
    overrides: tuple[str, ...]
    config: Experiment
    variants: list[Variant]
    lost: frozenset[int] = frozenset()

    def alive(self) -> list[tuple[int, Variant]]:
        """The variants that learn and can run, with their numbers (from 1)."""
        return [
            (index + 1, variant)
            for index, variant in enumerate(self.variants)
            if variant.config.model is not None and index not in self.lost
        ]


def read_sweep(file: str | Path, overrides: Sequence[str]) -> Sweep:
    """Read an experiment and check every variant: names, keywords, types, devices.

    Raises:
        UserError: one line with the file, the key and the fix.
    """
    config = load_experiment(file, overrides)
    try:
        load_plugins(config.plugins)
    except UserError as error:
        raise UserError(f"{file}: {error}") from error
    variants = expand(config, str(file))
    checker = Checker()
    for number, variant in enumerate(variants, start=1):
        try:
            checker.check(variant.config)
        except UserError as error:
            which = f" (variant {number}: {variant.label})" if len(variants) > 1 else ""
            raise UserError(f"{file}: {error}{which}") from error
    if len({variant.config.task_class is None for variant in variants}) > 1:
        raise UserError(
            f"{file}: some variants learn from pairs and some from single images; make them two experiments"
        )
    return Sweep(Path(file), tuple(overrides), config, variants)


def check_data(sweep: Sweep, context: RunContext, images: bool) -> None:
    """Read the tables of all variants; with `images`, decode every image too.

    Raises:
        UserError: the first fault; metrics of maps asked for where there are none.
    """
    seen = set()
    configs = [variant.config for variant in sweep.variants]
    for config in configs:
        check_maps(config, context)
    if images:  # a pretraining without data fails its variants only
        names = [(config, pretraining_name(config)) for config in configs]
        configs += [pretraining_config(config, name) for config, name in names if name is not None]
    for config in configs:
        data = context.source(config)
        if not images or id(data) in seen:
            continue
        seen.add(id(data))
        with progress("checking images") as advance:
            data.check_images(advance)
        log.info(f"{data.describe()}: fine")
