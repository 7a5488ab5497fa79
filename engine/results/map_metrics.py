"""Metrics of a run's difference maps: ``maps.csv`` and the section ``maps`` of ``metrics.json``."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from datamodules import PairDataModule
from engine.config.expansion import Variant
from engine.config.schema import RunConfig
from engine.config.sections import Evaluation
from engine.rank_zero import is_rank_zero, progress
from engine.results.map_makers import MapMaker, gives_maps, map_device, map_maker
from engine.results.map_targets import in_passes, reference_name, target_batches
from engine.runs.context import RunContext
from engine.runs.run_files import MapSection, Numbers
from engine.runs.run_folder import METRICS, RunFolder
from semfid.errors import UserError
from semfid.io.files import write_whole
from semfid.progress import Advance
from semfid.scoring.folder import PASS_PIXELS
from semfid.stats import MAP_METRICS, PooledPrecision, Resamples, interval, map_metrics, summarise_maps

FILE = "maps.csv"
KEPT = ("pair_id", "source_id", "origin")
COLUMNS = ("mse", "srcc", "average_precision", "iou", "hit", "changed", "predicted")


def maps_wanted(config: RunConfig, local: bool, data: PairDataModule) -> bool:
    """Whether ``evaluation.maps`` asks for the metrics of a variant's or a baseline's maps, and they can be had.

    Args:
        local: whether the variant, or one of a baseline's experiment, learns from maps: what null stands for.

    Raises:
        UserError: ``evaluation.maps: true`` on a table without maps.
    """
    wish = config.evaluation.maps
    if wish and not data.has_maps:
        raise UserError(
            f"evaluation.maps: true, but {data.table.name} has no maps; add the column map, or set evaluation.maps=null"
        )
    return (local if wish is None else bool(wish)) and data.has_maps and gives_maps(config)


def check_maps(config: RunConfig, context: RunContext) -> None:
    """Maps that are asked for and not there are named before anything is trained.

    Raises:
        UserError: as `maps_wanted`; a module that trains on maps, and no maps.
    """
    if config.task_class is None:
        if config.needs_maps:
            context.data(config).need_maps()
        maps_wanted(config, config.needs_maps, context.data(config))


def add_map_metrics(variant: Variant, context: RunContext, folder: RunFolder) -> None:
    """Compute and save the map metrics of a run that is done, unless they are there already, of the same target maps.

    One process of a run does it.

    Args:
        variant: one that `maps_wanted` says yes to.

    Raises:
        UserError: files of the run that are gone or changed, a map that cannot be read or holds NaN.
    """
    if not is_rank_zero():
        return
    data, digest = context.data(variant.config), context.data_hash(variant.config, maps=True)
    if _done(folder, digest):
        return
    with folder.held():
        if _done(folder, digest):
            return
        maker = map_maker(folder.path, variant.config)
        area = data.loader.image_size**2
        batch = max(1, min(data.loader.batch_size, PASS_PIXELS[map_device(variant.config)] // area))
        with progress(f"{variant.label} maps") as advance:
            table, pooled = compute_map_metrics(
                data, maker, 1 if data.loader.resize in ("none", "bounded") else batch, advance
            )
        content: MapSection = {"data": digest, **map_metrics_of(table, pooled, variant.config.evaluation)}
        (folder.path / FILE).unlink(missing_ok=True)  # of other target maps
        folder.write_json(METRICS, {**folder.pair_metrics(), "maps": content})
        write_whole(folder.path / FILE, table.to_csv(index=False).encode())  # last: it says that this is done


def _done(folder: RunFolder, digest: str) -> bool:
    """Whether the metrics are there, and of these target maps."""
    return (folder.path / FILE).is_file() and _data(folder) == digest


def _data(folder: RunFolder) -> str | None:
    maps = folder.pair_metrics().get("maps")
    return None if maps is None else maps.get("data")


def add_wanted_maps(variant: Variant, context: RunContext, folder: RunFolder) -> None:
    """`add_map_metrics` of a trained variant where its configuration asks for them; nothing for one of single images.

    Raises:
        UserError: as `maps_wanted` and `add_map_metrics`.
    """
    config = variant.config
    if config.task_class is None and maps_wanted(config, config.needs_maps, context.data(config)):
        add_map_metrics(variant, context, folder)


def compute_map_metrics(
    data: PairDataModule, maker: MapMaker, batch_size: int, advance: Advance | None = None
) -> tuple[pd.DataFrame, dict[str, PooledPrecision]]:
    """Metrics of every test pair's map.

    Returns:
        one row per pair, in the order of the table: `KEPT` where there are such columns, and `COLUMNS`; and the pixels of each
        origin ("" where the table names none).

    Raises:
        UserError: a map that is not finite; names the pair.
    """
    folds = {row: part.index for part in data.parts for row in part.test.tolist()}
    rows = in_passes(data, folds)
    frame = data.table.frame
    origins = frame["origin"].astype(str).tolist() if "origin" in frame.columns else [""] * len(frame)
    values: dict[int, list[float]] = {}
    pooled: dict[str, PooledPrecision] = {}
    for fold in sorted(set(folds.values())):
        own: NDArray[np.int64] = np.array([row for row in rows.tolist() if folds[row] == fold])
        for batch in target_batches(data, own, batch_size):
            assert batch.map is not None
            chosen = batch.row.tolist()
            names = [reference_name(data, row) for row in chosen]
            predicted = maker(fold, names, batch.reference, batch.candidate)
            for place, row in enumerate(chosen):
                p, t = predicted[place, 0].numpy(), batch.map[place, 0].numpy()
                try:
                    found = map_metrics(p, t).as_dict()
                    pooled.setdefault(origins[row], PooledPrecision()).add(p, t)
                except ValueError as error:
                    raise UserError(f"the map of pair {batch.pair_id[place]!r}: {error}") from error
                values[row] = [found[name] for name in COLUMNS]
            if advance is not None:
                advance(len(values), len(rows))
    order = sorted(values)
    metrics = pd.DataFrame([values[row] for row in order], columns=list(COLUMNS), index=order)
    kept = frame.loc[order, [name for name in KEPT if name in frame.columns]]
    return pd.concat([kept, metrics], axis=1).reset_index(drop=True), pooled


def map_metrics_of(table: pd.DataFrame, pooled: Mapping[str, PooledPrecision], evaluation: Evaluation) -> MapSection:
    """The section ``maps``: pooled metrics with intervals, and those of each origin."""
    every = PooledPrecision()
    for part in pooled.values():
        every.merge(part)
    resamples = Resamples.draw(table["source_id"].astype(str).to_numpy(), evaluation.bootstraps, 0)
    summary = summarise_maps({name: table[name].to_numpy(float)[None] for name in MAP_METRICS}, resamples)
    content: MapSection = {
        "pooled": _section(table, every.value),
        "interval": {name: interval(summary.samples[name], evaluation.level) for name in MAP_METRICS},
    }
    if evaluation.by_origin and "origin" in table.columns:
        content["origin"] = {
            str(name): _section(rows, pooled[str(name)].value) for name, rows in table.groupby("origin", sort=True)
        }
    return content


def _section(table: pd.DataFrame, pixels: float) -> Numbers:
    means = {name: float(table[name].mean()) for name in MAP_METRICS}  # of the images where it exists
    return {
        "n": len(table),
        "n_changed": count_changed(table),
        **means,
        "average_precision_pixels": pixels,
    }


def count_changed(table: pd.DataFrame) -> int:
    """Images with a changed pixel."""
    return int((table["changed"] > 0).sum())
