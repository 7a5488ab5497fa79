"""Files in, differences out: two images, two folders, or a table of pairs."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from semfid.errors import UserError
from semfid.io.file_pairs import FilePair, Pairing, pair_files, read_pair_table
from semfid.io.fitting import Fit
from semfid.io.workers import Workers
from semfid.progress import progress
from semfid.scoring.folder import Scored, score_files
from semfid.scoring.load import load_scorer
from semfid.scoring.map_files import MapFolder, parse_scale
from semfid.scoring.recorder import Recorder
from semfid.scoring.regions import regions
from semfid.scoring.results import Journal, Method, Row, as_csv, row_of
from semfid.scoring.score_settings import Precision, ScoreSettings, settings_for
from semfid.scoring.scorer import Scorer

log = logging.getLogger("semfid")
NAMED = 10  # of many names or failures, those that are listed one by one


@dataclass(frozen=True)
class ScoreTable:
    """What `score` found.

    Attributes:
        rows: one per pair, with the keys of `semfid.scoring.results.COLUMNS`, in the order of the pairs. ``difference`` is in
            [0, 1], 0 = same meaning; None where ``error`` says why there is none.
        method: what all rows share.
        missing: references without a candidate, by name.
        extra: candidates without a reference, by path.
    """

    rows: list[Row]
    method: Method
    missing: list[str]
    extra: list[str]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def as_csv(self) -> str:
        """The rows as `semfid score` prints them."""
        return as_csv(self.rows)


def score(
    reference: str | Path | None = None,
    candidate: str | Path | None = None,
    *,
    run: str | Path | None = None,
    out: str | Path | None = None,
    maps: str | Path | None = None,
    pairs: str | Path | None = None,
    map_scale: str = "unit",
    size: str = "train",
    fit: Fit = "refuse",
    strict: bool = False,
    part: int | None = None,
    precision: Precision = "32",
    device: str = "auto",
    workers: Workers = "auto",
) -> ScoreTable:
    """Score a pair, or folders; a pair that fails has its reason in its row.

    Args:
        reference: an image, or a folder of them.
        candidate: the same; names as the reference's, or ``<model>_<name>``.
        run: a run folder, or a file of `semfid export`; None: the default metric.
        out: a .csv, .json or .parquet for the rows; pairs that it has already are not scored again.
        maps: a folder for raw maps, heat maps and overlays.
        pairs: a table with pair_id, reference and candidate, in place of the two folders.
        map_scale: top of the pictures' scale: ``unit`` (1), a number, or ``auto``.
        size: ``train`` (as the metric was trained), ``native``, or pixels a side.
        fit: ``crop``: images that SR cut to a multiple of its scale are cut to the part that both show.
        strict: refuse where a name finds no partner.
        part: the fold of a run whose head is used; None: the mean of all.
        precision: of the backbone; see `ScoreSettings`.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ...
        workers: processes that decode images; ``auto``: on a GPU, cores minus one where the folder is large enough; 0: threads.
            Scores do not depend on it.

    Raises:
        UserError: paths, names or settings that cannot be used, or a folder that cannot be written.
    """
    top = parse_scale(map_scale)
    pairing = _pairing(reference, candidate, pairs)
    _report_names(pairing, strict)
    scorer = load_scorer(run, part)
    explained = len(pairing.pairs) == 1 and bool(scorer.word(0.0)) and scorer.facts.gives_maps
    settings = settings_for(scorer, size, precision, device, maps is not None or explained, fit, workers)
    method = Method.of(scorer.facts, settings)
    journal = None if out is None else Journal(Path(out), method)
    folder = None if maps is None else MapFolder(Path(maps), top, method)
    found = _score_pairs(scorer, pairing.pairs, settings, method, journal, folder)
    if folder is not None:
        _finish_maps(folder, pairing.pairs, settings)
    rows = [found[pair.pair_id] for pair in pairing.pairs]
    if journal is not None:
        journal.finish(rows, pairing.missing, pairing.extra)
    return ScoreTable(rows, method, pairing.missing, pairing.extra)


def _pairing(reference: str | Path | None, candidate: str | Path | None, table: str | Path | None) -> Pairing:
    if table is not None:
        if reference is not None or candidate is not None:
            raise UserError("--pairs names the images; leave REFERENCE and CANDIDATE out")
        return read_pair_table(Path(table))
    if reference is None or candidate is None:
        raise UserError("give REFERENCE and CANDIDATE (two files or two folders), or --pairs TABLE.csv")
    return pair_files(Path(reference), Path(candidate))


def _report_names(pairing: Pairing, strict: bool) -> None:
    """Report what was left out and which names found no partner.

    Raises:
        UserError: there are such names, and `strict` refuses them.
    """
    log_first(pairing.left_out)
    log_unpaired(pairing)
    if strict and (pairing.missing or pairing.extra):
        raise UserError("--strict: nothing was scored; add or remove these files, or leave --strict out")


def log_unpaired(pairing: Pairing) -> None:
    """Report the names that found no partner."""
    for names, what in (
        (pairing.missing, "references without a candidate"),
        (pairing.extra, "candidates without a reference"),
    ):
        if names:
            more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
            log.warning(f"{len(names)} {what}: {', '.join(names[:NAMED])}{more}")


def log_first(lines: Sequence[str], rest: str = "more of this kind") -> None:
    """Report the first of many lines, and how many there are of the others."""
    for line in lines[:NAMED]:
        log.warning(line)
    if len(lines) > NAMED:
        log.warning(f"and {len(lines) - NAMED} {rest}")


def _score_pairs(
    scorer: Scorer,
    pairs: Sequence[FilePair],
    settings: ScoreSettings,
    method: Method,
    journal: Journal | None,
    maps: MapFolder | None,
) -> dict[str, Row]:
    """Rows by pair; those of the journal are taken over."""
    rows: dict[str, Row] = {}
    todo = []
    for pair in pairs:
        known = None if journal is None else journal.known(pair)
        if known is not None and (maps is None or maps.holds(pair)):
            rows[pair.pair_id] = {**known, "word": scorer.word(known["difference"])}
        else:
            todo.append(pair)
    if rows:
        log.info(f"{len(rows)} of {len(pairs)} pairs were scored before")

    def draw(scored: Scored) -> Row:
        if maps is not None and scored.map is not None:
            maps.add(scored)
        return _row(scorer, scored, method)

    def keep(scored: Scored, row: Row) -> None:
        rows[scored.pair.pair_id] = row
        if journal is not None:
            journal.add(scored.pair, row)

    notes = []
    with progress("scoring", shown=len(pairs) > 1) as advance, Recorder(draw, keep) as recorder:
        for number, scored in enumerate(score_files(scorer, todo, settings), start=1):
            recorder.add(scored)
            notes += [f"{scored.pair.pair_id}: {scored.note}"] if scored.note else []
            advance(number, len(todo))
    log_first(notes)
    return rows


def _row(scorer: Scorer, scored: Scored, method: Method) -> Row:
    word = "" if scored.difference is None else scorer.word(scored.difference)
    return row_of(scored, method, word, regions(scored.map) if word and scored.map is not None else ())


def _finish_maps(maps: MapFolder, pairs: Sequence[FilePair], settings: ScoreSettings) -> None:
    """Draw what is left to draw, and report the scale."""
    with progress("drawing maps", shown=len(pairs) > 1) as advance:
        top = maps.finish(pairs, settings, advance)
    chosen = f"{top:.3g}, the 99.9th percentile of all maps" if maps.top is None else f"{top:.3g}"
    log.info(f"maps: {maps.folder}, pictures on one scale from 0 to {chosen}")
