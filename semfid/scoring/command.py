"""``semfid score``: files in, differences out. Needs the runtime only, so that it works from the wheel."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from semfid.errors import UserError
from semfid.io.file_pairs import FilePair, Pairing, pair_files, read_pair_table
from semfid.io.images import read_image
from semfid.progress import Progress
from semfid.scoring.folder import Scored, ScoreSettings, crop_of, cut, score_files, settings_for
from semfid.scoring.load import load_scorer
from semfid.scoring.map_files import MapFolder, parse_scale
from semfid.scoring.regions import from_text, regions
from semfid.scoring.results import CROPPED, Journal, Method, Row, as_csv, row_of
from semfid.scoring.scorer import Scorer

NAMED = 10  # failures that are listed one by one


def score(arguments: argparse.Namespace) -> int:
    """Score a pair or folders; exit code 2 where something could not be scored."""
    top = parse_scale(arguments.map_scale)
    pairing = _pairing(arguments)
    names_fail = _report_names(pairing, arguments.strict)
    if names_fail:
        return 2
    scorer = load_scorer(arguments.run, arguments.part)
    single = len(pairing.pairs) == 1
    explained = single and bool(scorer.word(0.0))
    wants_maps = arguments.map is not None or (explained and scorer.facts.gives_maps)
    settings = settings_for(scorer, arguments.size, arguments.precision, arguments.device, wants_maps, arguments.fit)
    method = Method.of(scorer.facts, settings)
    journal = None if arguments.out is None else Journal(Path(arguments.out), method)
    maps = None if arguments.map is None else MapFolder(Path(arguments.map), top, method)
    rows = _score_pairs(scorer, pairing.pairs, settings, method, journal, maps)
    if maps is not None:
        _finish_maps(maps, pairing, settings)
    ordered = [rows[pair.pair_id] for pair in pairing.pairs]
    if journal is not None:
        journal.finish(ordered, pairing.missing, pairing.extra)
    elif single and not ordered[0]["error"]:
        print(f"{ordered[0]['difference']:.6f}", flush=True)
    elif not single:
        print(as_csv(ordered), end="")  # main lets any name through
    if explained and not ordered[0]["error"]:
        _explain(pairing.pairs[0], ordered[0], settings)
    _say_summary(ordered, method, arguments.out)
    return 2 if any(row["error"] for row in ordered) else 0


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
        print(f"{len(rows)} of {len(pairs)} pairs were scored before", file=sys.stderr)
    progress = Progress("scoring", len(todo))
    notes = []
    for scored in score_files(scorer, todo, settings):
        if maps is not None and scored.map is not None:
            maps.add(scored)
        rows[scored.pair.pair_id] = row = _row(scorer, scored, method)
        notes += [f"{scored.pair.pair_id}: {scored.note}"] if scored.note else []
        if journal is not None:
            journal.add(scored.pair, row)
        progress.advance()
    if todo and len(pairs) > 1:
        progress.close()
    _list(notes)
    return rows


def _list(lines: Sequence[str]) -> None:
    """Lines on standard error, the first of them."""
    for line in lines[:NAMED]:
        print(f"semfid: {line}", file=sys.stderr)
    if len(lines) > NAMED:
        print(f"semfid: and {len(lines) - NAMED} more of this kind", file=sys.stderr)


def _row(scorer: Scorer, scored: Scored, method: Method) -> Row:
    word = "" if scored.difference is None else scorer.word(scored.difference)
    return row_of(scored, method, word, regions(scored.map) if word and scored.map is not None else ())


def _explain(pair: FilePair, row: Row, settings: ScoreSettings) -> None:
    """What two images' difference means, on standard error: the number alone is the result."""
    print(f"in words: {row['word']}", file=sys.stderr)
    places = from_text(row["regions"])
    if places:
        print(f"where: {', '.join(place.words() for place in places)} of the map", file=sys.stderr)
    from semfid.scoring.text import available, compare_text, describe

    if available():
        crop = crop_of(pair, settings)
        reference, candidate = (
            path if crop is None else cut(read_image(path), crop) for path in (pair.reference, pair.candidate)
        )
        print(describe(compare_text(reference, candidate)), file=sys.stderr)


def _finish_maps(maps: MapFolder, pairing: Pairing, settings: ScoreSettings) -> None:
    """Draw what is left to draw, and say the scale."""
    progress = Progress("drawing maps", len(pairing.pairs))
    top = maps.finish(pairing.pairs, settings, progress.advance)
    chosen = f"{top:.3g}, the 99.9th percentile of all maps" if maps.top is None else f"{top:.3g}"
    print(f"maps: {maps.folder}, pictures on one scale from 0 to {chosen}", file=sys.stderr)


def _pairing(arguments: argparse.Namespace) -> Pairing:
    if arguments.pairs is not None:
        if arguments.reference is not None or arguments.candidate is not None:
            raise UserError("--pairs names the images; leave REFERENCE and CANDIDATE out")
        return read_pair_table(Path(arguments.pairs))
    if arguments.reference is None or arguments.candidate is None:
        raise UserError("give REFERENCE and CANDIDATE (two files or two folders), or --pairs TABLE.csv")
    return pair_files(Path(arguments.reference), Path(arguments.candidate))


def _report_names(pairing: Pairing, strict: bool) -> bool:
    """Say what was passed over and which names found no partner; whether that ends the command."""
    _list(pairing.left_out)
    for names, what in (
        (pairing.missing, "references without a candidate"),
        (pairing.extra, "candidates without a reference"),
    ):
        if names:
            more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
            print(f"semfid: {len(names)} {what}: {', '.join(names[:NAMED])}{more}", file=sys.stderr)
    if strict and (pairing.missing or pairing.extra):
        print("semfid: --strict: nothing was scored; add or remove these files, or leave --strict out", file=sys.stderr)
        return True
    return False


def _say_summary(rows: Sequence[Row], method: Method, out: str | None) -> None:
    good = [row for row in rows if not row["error"]]
    failed = [row for row in rows if row["error"]]
    print(f"{method.run}, weights {method.weights}, size {method.size}", file=sys.stderr)
    if len(rows) > 1 and good:
        print(f"{len(good)} pairs, mean difference {np.mean([row['difference'] for row in good]):.4f}", file=sys.stderr)
        origins = sorted({row["origin"] for row in good})
        if len(origins) > 1:
            for origin in origins:
                values = [row["difference"] for row in good if row["origin"] == origin]
                print(f"  {origin or '(none)'}: {np.mean(values):.4f} ({len(values)} pairs)", file=sys.stderr)
    for row in failed[:NAMED]:
        print(f"semfid: {row['pair_id']} FAILED: {row['error']}", file=sys.stderr)
    if len(failed) > NAMED:
        where = f"; all of them in {out}" if out else "; all of them in the column error"
        print(f"semfid: and {len(failed) - NAMED} more failed{where}", file=sys.stderr)
    cropped = sum(row["size"].endswith(CROPPED) for row in good)
    if cropped:
        print(f"cut to the part that both images show: {cropped} of {len(rows)} pairs", file=sys.stderr)
    if out is not None:
        print(f"scores: {out}", file=sys.stderr)
