"""The section on maps: their table, and a gallery of reference, candidate, target, prediction and overlay, worst pairs first.

It stands in the page as it is, without a script.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from engine.config.schema import RunConfig
from engine.report.content import by_pair, named_some, plain_text
from engine.report.heatmaps import BROKEN, resized
from engine.report.map_pairs import MapPair
from engine.report.page_content import MapGroupView, MapPairView, MapsView, MapVariantView, PictureView
from engine.report.pictures import Album, Pixels
from engine.report.tables import map_table_view
from engine.results.map_makers import MapMaker
from engine.results.map_targets import Map
from engine.results.maps import MapResults, read_map_metrics
from engine.results.run_result import RunResult, by_variant
from semfid.scoring.heatmap import STOPS, colours, overlay
from semfid.stats import Cell

WORST, UNCHANGED, BEST = 4, 2, 1  # pairs of a variant
MOST_VARIANTS = 6
MOST_PAIRS = 36  # with pictures, over all tables; a count, so that what a report holds does not depend on the machine
UNKNOWN = np.array([128, 128, 128], dtype=np.uint8)
TITLES = ("reference", "candidate", "target map", "predicted map", "overlay")


@dataclass(frozen=True)
class MapSource:
    """Where the gallery's pictures come from.

    Attributes:
        pair: by pair_id; raises a UserError where files are gone.
        maker: of a run and its configuration, or why there is none.
    """

    pair: Callable[[str], MapPair]
    maker: Callable[[RunResult, RunConfig], MapMaker | str]


@dataclass(frozen=True)
class MapRow:
    """A row of ``maps.csv``: a pair, and the metrics of its map, NaN where one does not exist."""

    pair_id: str
    origin: str
    average_precision: float
    iou: float
    hit: float
    srcc: float
    mse: float
    changed: float
    predicted: float

    @classmethod
    def of(cls, row: Mapping[Hashable, Any]) -> MapRow:
        """Of the columns of a row; a table without origins has none."""
        values = {"origin": "", **row}
        return cls(**{one.name: values[one.name] for one in fields(cls)})

    def caption(self) -> str:
        """The metrics in words."""
        words = [self.origin] if self.origin else []
        if not math.isnan(self.average_precision):
            words += [f"AP {self.average_precision:.3f}"]
        if not math.isnan(self.iou):
            words += [f"IoU {self.iou:.2f}"]
        if not math.isnan(self.hit):
            words += ["pointing hits" if self.hit == 1 else "pointing misses" if self.hit == 0 else "pointing is tied"]
        if not math.isnan(self.srcc):
            words += [f"SRCC {self.srcc:.2f}"]
        words += [f"MSE {self.mse:.4f}", f"{100 * self.changed:.3g} % changed", f"mean prediction {self.predicted:.3f}"]
        return ", ".join(words)


@dataclass
class Budget:
    """How many pairs the gallery of a table may still show."""

    pairs: int

    @classmethod
    def of(cls, tables: int) -> Budget:
        """Of each table in a report of so many."""
        return cls(MOST_PAIRS // max(1, tables))


def maps_view(
    maps: MapResults, source: MapSource | None, configs: Mapping[Path, RunConfig], album: Album, budget: Budget
) -> MapsView:
    """What the template prints of a table's maps.

    Args:
        source: None: no pictures.
        configs: of each run.
        album: pictures go in.
        budget: of this table; used up.
    """
    variants: list[MapVariantView] = []
    ordered = sorted(
        by_variant(maps.runs).items(), key=lambda item: not item[1][0].learned
    )  # as the table, learned ones first
    for _, runs in ordered[:MOST_VARIANTS]:
        if source is not None:
            variants.append(_variant(runs[0], len(runs), source, configs, album, budget))
    return {
        "view": map_table_view(maps),
        "headline": map_headline(maps),
        "notes": maps.notes,
        "stops": [f"rgb({red:.0f} {green:.0f} {blue:.0f})" for red, green, blue in STOPS],
        "variants": variants,
    }


def map_headline(maps: MapResults) -> list[str]:
    """What the table of maps allows to say, one sentence each."""
    ranked = [
        row for row in maps.rows if isinstance(row["average_precision"], Cell) and _exists(row["average_precision"])
    ]
    if not ranked:
        return ["No image has both changed and unchanged pixels, so no map can be ranked."]
    best = ranked[0]
    found = plain_text(best["average_precision"])
    if len(ranked) == 1:
        sentences = [f"{best['variant']}: average precision {found}. There is no other variant to compare it with."]
    else:
        same = [str(row["variant"]) for row in ranked[1:] if getattr(row["average_precision"], "mark", "")]
        high = f"{best['variant']} has the highest average precision: {found}."
        sentences = (
            [high, f"Not distinguishable from it: {named_some(same)}."]
            if same
            else [f"{high} Every other variant is worse beyond chance."]
        )
    if "LEAKY" in str(best["note"]):
        sentences.append(f"But {best['variant']} is LEAKY: it has seen its test photos.")
    return sentences


def _exists(cell: Cell) -> bool:
    return isinstance(cell.value, float) and not math.isnan(cell.value)


def _variant(
    run: RunResult,
    seeds: int,
    source: MapSource,
    configs: Mapping[Path, RunConfig],
    album: Album,
    budget: Budget,
) -> MapVariantView:
    """Groups of one variant's pairs, or a note that says why there are none."""
    note = f"Seed {run.seed} of {seeds} seeds." if seeds > 1 else ""
    chosen = pick(read_map_metrics(run))
    if sum(len(rows) for _, rows in chosen) > budget.pairs:
        note = "No pictures: the variants above have used up those that a report holds."
        return {"label": run.label, "note": note, "groups": []}
    maker = source.maker(run, configs[run.path])
    if isinstance(maker, str):
        return {"label": run.label, "note": f"No pictures: {maker}.", "groups": []}
    folds = by_pair(run.predictions).set_index("pair_id")["fold"]
    budget.pairs -= sum(len(rows) for _, rows in chosen)
    groups: list[MapGroupView] = [
        {"title": title, "pairs": list(_shown(rows, folds, maker, source, album))} for title, rows in chosen
    ]
    return {"label": run.label, "note": note, "groups": groups}


def pick(metrics: pd.DataFrame) -> list[tuple[str, list[MapRow]]]:
    """The pairs that the gallery shows of a run, in groups with a title, worst first.

    Args:
        metrics: content of maps.csv.
    """
    ranked = metrics[metrics["average_precision"].notna()].sort_values(["average_precision", "pair_id"])
    quiet = metrics[metrics["changed"] == 0].sort_values(["predicted", "pair_id"], ascending=[False, True])
    worst = ranked.iloc[: min(WORST, max(1, len(ranked) - BEST))]
    best = ranked.iloc[len(worst) :].iloc[-BEST:]
    groups = (
        ("Lowest average precision of the changed pairs", worst),
        ("Unchanged pairs with the highest mean predicted difference", quiet.iloc[:UNCHANGED]),
        ("Highest average precision, for comparison", best),
    )
    return [(title, [MapRow.of(row) for row in rows.to_dict("records")]) for title, rows in groups if len(rows)]


def _shown(
    rows: Sequence[MapRow],
    folds: pd.Series[int],
    maker: MapMaker,
    source: MapSource,
    album: Album,
) -> Iterator[MapPairView]:
    for row in rows:
        name, words = row.pair_id, row.caption()
        try:
            pair = source.pair(name)
            predicted = maker(int(folds[name]), [pair.name], *pair.images)[0, 0].numpy()
        except BROKEN as error:
            yield {"pair": name, "caption": words, "missing": " ".join(str(error).split()), "pictures": []}
            continue
        pictures = [album.add(pixels) for pixels in _pictures(pair, predicted)]
        shown = list(zip(TITLES, pictures, strict=True))
        yield {"pair": name, "caption": words, "missing": "", "pictures": shown}


def _pictures(pair: MapPair, predicted: Map) -> tuple[Pixels, Pixels, Pixels, Pixels, Pixels]:
    """In the order of `TITLES`, all at the size of the candidate's picture."""
    reference, candidate = pair.shown
    height, width, _ = candidate.shape
    target, map_ = resized(pair.target, height, width), resized(predicted, height, width)
    drawn = colours(target)
    drawn[np.isnan(target)] = UNKNOWN
    return reference, candidate, drawn, colours(map_), overlay(candidate, map_)


def pictures_of(views: Sequence[MapsView], album: Album) -> list[PictureView]:
    """Every picture that some gallery shows, once: name, data URI, width, height."""
    names = dict.fromkeys(
        name
        for view in views
        for variant in view["variants"]
        for group in variant["groups"]
        for pair in group["pairs"]
        for _, name in pair["pictures"]
    )
    return [
        {
            "name": name,
            "uri": album.uris[name],
            "width": album.pixels[name].shape[1],
            "height": album.pixels[name].shape[0],
        }
        for name in names
    ]
