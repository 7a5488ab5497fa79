"""From a sweep and its tables to one HTML file."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.config.schema import RunConfig, recorded_config
from engine.config.sections import Evaluation
from engine.report.configs import differing, flatten, provenance_table
from engine.report.content import by_pair, headline, table_content
from engine.report.event_images import write_event_images
from engine.report.gallery import Budget, MapSource, maps_view, pictures_of
from engine.report.page import render
from engine.report.page_content import Differences, ProvenanceTable, SectionView, TableContent
from engine.report.pictures import Album, DrawMap, add_maps, add_pairs
from engine.report.tables import table_view
from engine.results.pairs import Results, RunResult
from semfid.errors import UserError
from semfid.io.files import write_whole
from semfid.io.yaml_file import read_mapping

PICTURED_VARIANTS = 8  # learned ones, from the top, beside the training-free
# over all tables; counts, so that what a report holds does not depend on the machine
MOST_PAIRS = 100  # with pictures
MOST_MAPS = 128  # heat maps of these pairs
TITLE_KEYS = 3

Paths = Mapping[str, tuple[Path, Path]]
PathsOf = Callable[[Results], Paths]
DrawerOf = Callable[[RunResult, RunConfig], "DrawMap | str"]


@dataclass(frozen=True)
class Origins:
    """Where pictures come from.

    Attributes:
        paths: of a table, pair_id to reference and candidate.
        drawer: of a run and its configuration, what draws its heat maps; or a sentence that says why there are none,
            empty where none are to be expected.
        maps: of a table, where the gallery of its maps comes from; None: there is no gallery.
    """

    paths: PathsOf
    drawer: DrawerOf
    maps: Callable[[Results], MapSource] | None = None


@dataclass(frozen=True)
class RunFacts:
    """What a run's folder says of it.

    Attributes:
        settings: content of ``config.yaml``, as it is shown.
        config: the same, typed.
        provenance: content of ``provenance.json``.
    """

    settings: Mapping[str, object]
    config: RunConfig
    provenance: Mapping[str, object]

    @classmethod
    def read(cls, run: RunResult) -> RunFacts:
        """Of a run that is done.

        Raises:
            UserError: one of the files is gone or broken.
        """
        try:
            settings = read_mapping(run.path / "config.yaml")
            provenance = json.loads((run.path / "provenance.json").read_text(encoding="utf-8"))
            return cls(settings, recorded_config(settings, run.path, run.learned), dict(provenance))
        except (OSError, ValueError, UserError) as error:
            raise UserError(
                f"{run.path}: its config.yaml or provenance.json cannot be read; remove the folder and run again"
            ) from error


def write_report(
    folder: Path,
    experiment: str,
    results: Sequence[Results],
    evaluation: Evaluation,
    origins: Origins,
    failures: Sequence[str] = (),
) -> Path:
    """Write ``report.html`` whole or not at all, and the example pairs of the pictured runs as event images.

    Args:
        folder: where the file goes.
        results: at least one table.
        failures: a line per variant that is not in the tables.

    Returns:
        the file.

    Raises:
        UserError: the folder cannot be written to.
    """
    album = Album()
    facts = {run.path: RunFacts.read(run) for result in results for run in result.runs}
    made = [
        _table(result, title, evaluation, origins, album, facts, len(results))
        for result, title in zip(results, _titles(results, facts), strict=True)
    ]
    views = [{"id": f"table-{number + 1}", **view} for number, (view, _) in enumerate(made)]
    inline = pictures_of([view["maps"] for view, _ in made if view["maps"] is not None], album)  # the script finds them
    held = {picture["name"] for picture in inline}
    page = render(
        {
            "experiment": experiment,
            "made": datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M"),
            "failures": list(failures),
            "tables": views,
            "inline": inline,
            "sizes": {picture["name"]: (picture["width"], picture["height"]) for picture in inline},
        },
        {
            "tables": [content for _, content in made],
            "pictures": {name: uri for name, uri in album.uris.items() if name not in held},
        },
    )
    path = folder / "report.html"
    write_whole(path, page.encode())
    return path


def _table(
    result: Results,
    title: str,
    evaluation: Evaluation,
    origins: Origins,
    album: Album,
    facts: Mapping[Path, RunFacts],
    tables: int,
) -> tuple[SectionView, TableContent]:
    """What the template prints of a table, and what the script reads of it; pictures go into the album.

    Args:
        tables: in the report.
    """
    content = table_content(result, evaluation)
    _add_pictures(content, result, origins, album, facts, tables)
    maps = None
    if result.maps is not None:
        source = None if origins.maps is None else origins.maps(result)
        configs = {path: own.config for path, own in facts.items()}
        maps = maps_view(result.maps, source, configs, album, Budget.of(tables))
    differences, provenance = _settings(result, facts)
    ceilings = [note for note in result.notes if note.startswith("noise ceiling")]
    view: SectionView = {
        "title": title,
        "headline": headline(result, evaluation),
        "ceiling": next(iter(ceilings), None),
        "notes": [note for note in result.notes if note not in ceilings],
        "view": table_view(result),
        "maps": maps,
        "differs": differences,
        "provenance": provenance,
    }
    return view, content


def _settings(result: Results, facts: Mapping[Path, RunFacts]) -> tuple[Differences, ProvenanceTable]:
    """Settings that differ between variants, and what the runs were made with."""
    first: dict[str, RunResult] = {}
    for run in result.runs:
        first.setdefault(run.label, run)
    ordered = [first[str(row["variant"])] for row in result.rows]
    rank = {run.label: place for place, run in enumerate(ordered)}
    runs = sorted(result.runs, key=lambda run: (rank[run.label], run.seed))
    return (
        differing({run.label: facts[run.path].settings for run in ordered if run.learned}),
        provenance_table([(run.label, run.seed, facts[run.path].provenance) for run in runs]),
    )


def _titles(results: Sequence[Results], facts: Mapping[Path, RunFacts]) -> list[str]:
    """What tells the data of the tables apart."""
    flat = [flatten({"data": facts[result.runs[0].path].settings.get("data", {})}) for result in results]
    keys = list(dict.fromkeys(key for values in flat for key in values))
    keys = [key for key in keys if len({values.get(key) for values in flat}) > 1][:TITLE_KEYS]
    if not keys:
        return [f"table {number + 1}" for number in range(len(results))]
    return [" ".join(f"{key}={values.get(key, '')}" for key in keys) for values in flat]


def _add_pictures(
    content: TableContent,
    result: Results,
    origins: Origins,
    album: Album,
    facts: Mapping[Path, RunFacts],
    tables: int,
) -> None:
    """Thumbnails and heat maps of the first seed's examples, from the top of the table until its share of either is made.

    Args:
        tables: in the report; each gets an equal share.
    """
    most_pairs, maps_left = MOST_PAIRS // tables, MOST_MAPS // tables
    paths_of = origins.paths(result)
    paths = {row: paths_of[name] for row, name in enumerate(content["pairs"]["id"]) if name in paths_of}
    content["pictures"] = {}
    runs = {(run.label, run.seed): run for run in result.runs}
    learned = [variant for variant in content["variants"] if variant["learned"]][:PICTURED_VARIANTS]
    for variant in [*learned, *(variant for variant in content["variants"] if not variant["learned"])]:
        shown = variant["runs"][0]
        rows = [*shown["worst"], *shown["best"]]
        if len({*rows, *content["pictures"]}) > most_pairs:
            continue
        content["pictures"].update(add_pairs(album, rows, paths))
        run = runs[variant["label"], shown["seed"]]
        drawer: DrawMap | str = "No heat maps: the variants above have used up those that a report holds."
        if len(rows) <= maps_left:
            drawer = origins.drawer(run, facts[run.path].config)
        if isinstance(drawer, str):
            variant["maps_note"] = drawer
        else:
            maps_left -= len(rows)
            variant["maps"] = add_maps(album, rows, paths, by_pair(run.predictions)["fold"].tolist(), drawer)
        write_event_images(run.path, album, content, variant)


def paths_by_pair(result: Results, pair_id: Sequence[str], reference: Sequence[str], candidate: Sequence[str]) -> Paths:
    """Image paths of the pairs of a table."""
    wanted = set(by_pair(result.runs[0].predictions)["pair_id"].astype(str))
    return {
        name: (Path(x), Path(y)) for name, x, y in zip(pair_id, reference, candidate, strict=True) if name in wanted
    }
