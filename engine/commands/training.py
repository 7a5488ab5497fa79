"""One function per command; each returns the exit code."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from engine.commands.listing import listing
from registry import REGISTRIES, load_entry_points, load_plugins
from semfid.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from engine.config.expansion import Variant
    from engine.runs.context import RunContext

log = logging.getLogger("semfid")
SHOWN = ("srcc", "krcc", "plcc", "mse")
SHOWN_OF_MAPS = ("average_precision", "iou", "mse")


def ablate(arguments: argparse.Namespace) -> int:
    """Run what is missing of an experiment and print its table."""
    from engine.report import report_of_sweep
    from engine.results.pairs import Results
    from engine.runs.ablation import ablate as run_all
    from engine.runs.context import RunContext
    from engine.runs.sweep import check_data, read_sweep

    sweep = read_sweep(arguments.experiment, arguments.overrides)
    context = RunContext()
    if arguments.check:
        with _naming(sweep.file):
            check_data(sweep, context, images=True)
        print(f"{sweep.file}: {len(sweep.variants)} variants, configuration and data are fine")
        return 0
    with _naming(sweep.file):
        results, failures = run_all(sweep, arguments.jobs, context)
    for result in results:
        print(result.screen)
        if isinstance(result, Results) and result.maps is not None:
            print(result.maps.screen)
    if results:
        folder = sweep.config.folder
        print(f"tables: {folder}/results.*; runs: {folder}/")
        tables = [result for result in results if isinstance(result, Results)]
        if tables:
            with _naming(sweep.file):
                print(f"report: {report_of_sweep(sweep, tables, context, failures)}")
    for failure in failures:
        log.warning(f"FAILED {failure}")
    return 1 if failures else 0


def run_one(arguments: argparse.Namespace) -> int:
    """Train and evaluate one variant."""
    from engine.rank_zero import is_rank_zero
    from engine.results.map_metrics import add_wanted_maps, check_maps
    from engine.runs.context import RunContext
    from engine.runs.run import run_variant
    from engine.runs.sweep import check_data, read_sweep

    overrides = list(arguments.overrides)
    if arguments.variant is None:
        overrides.append("sweep={}")
    sweep = read_sweep(arguments.experiment, overrides)
    number = arguments.variant or 1
    if number > len(sweep.variants):
        raise UserError(f"--variant {number}: {sweep.file} has {len(sweep.variants)} variants")
    variant = sweep.variants[number - 1]
    context = RunContext()
    if arguments.check:
        with _naming(sweep.file):
            check_data(dataclasses.replace(sweep, variants=[variant]), context, images=True)
        print(f"{sweep.file}: configuration and data are fine")
        return 0
    with _naming(sweep.file):
        if variant.config.model is None:
            raise UserError("there is no model to train; `semfid ablate` scores the baselines")
        if arguments.pretraining:
            return _pretraining_alone(variant, context)
        check_maps(variant.config, context)
        folder = run_variant(variant, context, variant.label)
        add_wanted_maps(variant, context, folder)
    if is_rank_zero():
        log.info(f"run folder: {folder.path}")
        metrics = folder.read_json("metrics.json")
        figures = metrics.get("figures")  # of single images; all of them
        if figures is None:
            figures = {name: value for name, value in metrics["pooled"].items() if name in SHOWN}
            of_maps = metrics.get("maps", {}).get("pooled", {})
            figures |= {f"map_{name}": of_maps[name] for name in SHOWN_OF_MAPS if name in of_maps}
        missing = {name: "-" if name.startswith("map_") else "constant" for name in figures}
        digits = {name: missing[name] if value is None else f"{value:.4f}" for name, value in figures.items()}
        print(" ".join(f"{name} {value}" for name, value in digits.items()))
    return 0


def _pretraining_alone(variant: Variant, context: RunContext) -> int:
    """The trunk that a variant asks for by name, so that many of its variants can then run side by side."""
    from engine.rank_zero import is_rank_zero
    from engine.runs.pretraining import pretrained

    done = pretrained(variant, context)
    if done is variant:
        raise UserError("--pretraining: model.backbone.pretrained of this variant names no entry of pretraining")
    if is_rank_zero():
        print(done.config.backbone.keywords["pretrained"])
    return 0


@contextlib.contextmanager
def _naming(file: Path) -> Iterator[None]:
    """Errors that come up while an experiment runs name its file too."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{file}: {error}") from error


def list_registered(arguments: argparse.Namespace) -> int:
    """Print the registries."""
    load_plugins(arguments.plugins, Path.cwd())
    if arguments.kind is not None and arguments.kind not in REGISTRIES:
        raise UserError(
            f"no kind '{arguments.kind}'{did_you_mean(arguments.kind, REGISTRIES)} (there are: {', '.join(REGISTRIES)})"
        )
    load_entry_points()
    for kind in REGISTRIES:
        if arguments.kind not in (None, kind):
            continue
        print(f"{kind}:")
        for row in listing(kind):
            print(f"  {row.name}: {row.summary}")
            print(f"      {row.keywords or 'no keywords'}")
            print(f"      {f'after {row.source}; ' if row.source else ''}{row.location}")
    return 0


def scenes(arguments: argparse.Namespace) -> int:
    """Write the embedded world as a pair table, a COCO-style set, an image folder, or a pair table with its regions."""
    from data_tools.synthetic import (
        SceneSetConfig,
        write_coco_set,
        write_image_folder,
        write_pair_set,
        write_region_set,
    )
    from engine.rank_zero import progress

    settings: dict[str, int] = {}
    form = "pairs"
    writers = {
        "pairs": write_pair_set,
        "coco": write_coco_set,
        "images": write_image_folder,
        "regions": write_region_set,
    }
    known = [field.name for field in dataclasses.fields(SceneSetConfig)]
    for setting in arguments.settings:
        key, equals, value = setting.partition("=")
        if key == "format" and value in writers:
            form = value
        elif key not in known or not equals:
            near = did_you_mean(key, [*known, "format"])
            raise UserError(f"scenes: '{setting}'{near} (format={'|'.join(writers)}, {', '.join(known)}, each =number)")
        else:
            try:
                settings[key] = int(value)
            except ValueError as error:
                raise UserError(f"scenes: {key}={value} must be a whole number") from error
    with progress("scenes") as advance:
        print(writers[form](Path(arguments.out), SceneSetConfig(**settings), advance))
    return 0


def export(arguments: argparse.Namespace) -> int:
    """A finished run as one file, with its model card."""
    from engine.export import export_run

    out = None if arguments.out is None else Path(arguments.out)
    target = export_run(Path(arguments.run), arguments.format, out, arguments.part, arguments.replace)
    print(f"{target} (card: {target}.md)")
    return 0


def label(arguments: argparse.Namespace) -> int:
    """Add labels that models give to a pair table."""
    from engine.commands.label import label as run

    return run(arguments)


def build(arguments: argparse.Namespace) -> int:
    """Build a data set, or check one."""
    from engine.commands.build import build as run

    return run(arguments)


def splice(arguments: argparse.Namespace) -> int:
    """Concepts of a pair or of two folders."""
    from engine.commands.splice import splice as run

    return run(arguments)


def study(arguments: argparse.Namespace) -> int:
    """The user-study platform."""
    from engine.commands.study import run_study

    return run_study(arguments)
