"""`semfid label`: settings in, plugins built, work handed to `data_tools.region_maps` and `metrics.label`."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Mapping
from pathlib import Path

from data_tools.region_maps.pipeline import MapSettings, MapTools, label_maps
from engine.commands.label_settings import IMAGES, MAPS, plugin, read_settings
from metrics.label.image_labels import Caches, Tools
from metrics.label.label_table import Request, label_table
from models.captioners import build_captioner
from models.dual_encoders import build_tower
from models.segmenters import build_segmenter
from models.text_encoders import build_text_embedder
from registry import load_plugins
from semfid.errors import UserError
from semfid.io.pair_table import read_pairs
from semfid.io.sharding import parse_shard, shard_of_process
from semfid.progress import progress

log = logging.getLogger("semfid")

SHOWN = 5


def label(arguments: argparse.Namespace) -> int:
    """Add labels to a table; the exit code: 1 where a pair failed.

    Raises:
        UserError: a bad setting, table or model; names the place and the fix.
    """
    table, out = Path(arguments.table), Path(arguments.out)
    if out.suffix not in (".csv", ".parquet"):
        raise UserError(f"--out {out}: give a name that ends in .csv or .parquet")
    if out.resolve() == table.resolve():
        raise UserError(f"--out {out} is the table that is read; choose another name")
    return _maps(arguments, table, out) if arguments.what == "maps" else _images(arguments, table, out)


def _maps(arguments: argparse.Namespace, table: Path, out: Path) -> int:
    if arguments.shard:
        raise UserError("--shard is for captions, c2c, c2i and i2i; make maps in one process")
    settings = read_settings(MAPS, arguments.config, arguments.overrides)
    load_plugins(settings["plugins"], Path.cwd())
    tools = {section: plugin(MAPS, section, settings, table) for section in MAPS.sections}
    pairs = read_pairs(table)
    folder = Path(settings["folder"]) if settings["folder"] else out.with_name(f"{out.stem}_maps")
    embedder = tools["embedder"]
    failures = label_maps(
        pairs,
        out,
        folder,
        MapTools(
            build_segmenter(*tools["segmenter"]), build_captioner(*tools["captioner"]), build_text_embedder(*embedder)
        ),
        MapSettings(settings["prompt"], settings["contour"], float(settings["min_area"]), settings["map_format"]),
        progress,
    )
    print(f"{out}: {len(pairs) - len(failures)} of {len(pairs)} maps; work folder {folder}")
    _tell(failures, "map_error")
    return 1 if failures else 0


def _images(arguments: argparse.Namespace, table: Path, out: Path) -> int:
    kind = arguments.what
    keys = IMAGES[kind]
    settings = read_settings(keys, arguments.config, arguments.overrides)
    load_plugins(settings["plugins"], Path.cwd())
    wanted = [name for name in keys.sections if name != "captioner" or settings["captions"] == "make"]
    if kind == "captions" and not wanted:
        raise UserError("label captions: captions=table leaves nothing to do; it is for c2c and c2i")
    names = {section: plugin(keys, section, settings, table) for section in wanted}
    shard = parse_shard(arguments.shard) if arguments.shard else shard_of_process()
    prefix = f"[{shard.name}] " if shard.count > 1 else ""
    pairs = read_pairs(table)
    tools = Tools(
        build_captioner(*names["captioner"]) if "captioner" in names else None,
        build_text_embedder(*names["embedder"]) if "embedder" in names else None,
        build_tower(*names["tower"]) if "tower" in names else None,
    )
    request = Request(kind, settings.get("prompt", ""), settings["pairs"], settings["drop_unlabelled"])
    caches = Caches(Path(settings["cache"]))
    done = label_table(pairs, out, request, tools, caches, lambda title: progress(prefix + title), shard)
    still = f"; {done.waiting} of {shard.count} shards are still to come" if done.waiting else ""
    print(f"{prefix}{out}: {kind} of {done.labelled} of {done.rows} pairs{still}")
    for warning in done.warnings:
        log.warning(f"{prefix}warning: {warning}")
    _tell(done.errors, "label_error")
    return 1 if done.errors else 0


def _tell(failures: Mapping[str, str], column: str) -> None:
    """The first few pairs that failed, and where the others stand."""
    for pair, reason in list(failures.items())[:SHOWN]:
        log.warning(f"FAILED {pair}: {' '.join(reason.split())}")
    if len(failures) > SHOWN:
        log.warning(f"and {len(failures) - SHOWN} more; see the column {column}")
