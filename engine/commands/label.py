"""`semfid label`: captions, differences in meaning, and difference maps for the pairs of a table."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, cast

from data_tools.region_maps import pipeline
from engine.commands.label_settings import (
    EXAMPLE,
    SCHEMAS,
    CaptionSettings,
    ImageSettings,
    LabelSettings,
    MapSettings,
    plugin,
)
from metrics.label import label_table as images
from metrics.label.image_labels import PROMPT, Caches, Kind, Tools
from metrics.label.label_table import Outcome
from models.captioners import build_captioner
from models.dual_encoders import build_dual_encoder
from models.segmenters import build_segmenter
from models.text_encoders import build_text_encoder
from registry import load_plugins
from semfid.errors import UserError
from semfid.io.pair_table import read_pairs
from semfid.io.sharding import Shard, parse_shard, shard_of_process
from semfid.progress import progress
from semfid.settings import read_settings

log = logging.getLogger("semfid")

SHOWN = 5


def command(arguments: argparse.Namespace) -> int:
    """The command; its exit code is 1 where a pair failed."""
    what, table, out = arguments.what, Path(arguments.table), Path(arguments.out)
    if what == "maps" and arguments.shard:
        raise UserError("--shard is for captions, c2c, c2i and i2i; make maps in one process")
    settings = read_settings(SCHEMAS[what], arguments.config, arguments.overrides, EXAMPLE)
    shard = parse_shard(arguments.shard) if arguments.shard else shard_of_process()
    done = label_table(table, out, what, settings, shard)
    prefix = _prefix(shard) if what != "maps" else ""
    if isinstance(settings, MapSettings):
        print(f"{out}: {done.labelled} of {done.rows} maps; work folder {work_folder(settings, out)}")
    else:
        still = f"; {done.waiting} of {shard.count} shards are still to come" if done.waiting else ""
        print(f"{prefix}{out}: {what} of {done.labelled} of {done.rows} pairs{still}")
    for warning in done.warnings:
        log.warning(f"{prefix}warning: {warning}")
    _report(done.errors, "map_error" if what == "maps" else "label_error")
    return 1 if done.errors else 0


def label_table(
    table: Path,
    out: Path,
    what: Literal["maps"] | Kind = "c2c",
    settings: LabelSettings | None = None,
    shard: Shard | None = None,
) -> Outcome:
    """Write a pair table with one more label.

    Args:
        table: a pair table.
        out: the table to write, .csv or .parquet.
        what: ``captions``, the metrics ``c2c``, ``c2i`` and ``i2i``, or difference ``maps``.
        settings: of the class ``SCHEMAS[what]``; None: the defaults.
        shard: this process's part of the rows; None: all. Not of maps.

    Raises:
        UserError: a bad setting, table or model; names the place and the fix.
    """
    if out.suffix not in (".csv", ".parquet"):
        raise UserError(f"--out {out}: give a name that ends in .csv or .parquet")
    if out.resolve() == table.resolve():
        raise UserError(f"--out {out} is the table that is read; choose another name")
    settings = settings or SCHEMAS[what]()
    load_plugins(settings.plugins, Path.cwd())
    if type(settings) is not SCHEMAS[what]:
        raise UserError(f"label {what} takes {SCHEMAS[what].__name__}, not {type(settings).__name__}")
    if what == "maps":
        return _maps(table, out, cast(MapSettings, settings))
    return _images(table, out, what, cast(ImageSettings, settings), shard or Shard())


def work_folder(settings: MapSettings, out: Path) -> Path:
    """Where maps, regions and captions are kept."""
    return Path(settings.folder) if settings.folder else out.with_name(f"{out.stem}_maps")


def _maps(table: Path, out: Path, settings: MapSettings) -> Outcome:
    named = {section: plugin(settings, section, table) for section in ("segmenter", "captioner", "embedder")}
    pairs = read_pairs(table)
    tools = pipeline.MapTools(
        build_segmenter(*named["segmenter"]),
        build_captioner(*named["captioner"]),
        build_text_encoder(*named["embedder"]),
    )
    made_with = pipeline.MapSettings(settings.prompt, settings.contour, settings.min_area, settings.map_format)
    failures = pipeline.label_maps(pairs, out, work_folder(settings, out), tools, made_with, progress)
    return Outcome(len(pairs), len(pairs) - len(failures), failures)


def _images(table: Path, out: Path, kind: Kind, settings: ImageSettings, shard: Shard) -> Outcome:
    made = isinstance(settings, CaptionSettings) and settings.captions == "make"
    if kind == "captions" and not made:
        raise UserError("label captions: captions=table leaves nothing to do; it is for c2c and c2i")
    sections = [name for name in ("captioner", "embedder", "tower") if name in type(settings).model_fields]
    named = {name: plugin(settings, name, table) for name in sections if name != "captioner" or made}
    pairs = read_pairs(table)
    tools = Tools(
        build_captioner(*named["captioner"]) if "captioner" in named else None,
        build_text_encoder(*named["embedder"]) if "embedder" in named else None,
        build_dual_encoder(*named["tower"]) if "tower" in named else None,
    )
    prompt = settings.prompt if isinstance(settings, CaptionSettings) else PROMPT
    request = images.Request(kind, prompt, settings.pairs, settings.drop_unlabelled)
    caches, prefix = Caches(Path(settings.cache)), _prefix(shard)
    return images.label_table(pairs, out, request, tools, caches, lambda title: progress(prefix + title), shard)


def _prefix(shard: Shard) -> str:
    return f"[{shard.name}] " if shard.count > 1 else ""


def _report(failures: Mapping[str, str], column: str) -> None:
    """The first few pairs that failed, and where the others are."""
    for pair, reason in list(failures.items())[:SHOWN]:
        log.warning(f"FAILED {pair}: {' '.join(reason.split())}")
    if len(failures) > SHOWN:
        log.warning(f"and {len(failures) - SHOWN} more; see the column {column}")
