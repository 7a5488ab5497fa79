"""`semfid splice`: which concepts of a reference a candidate keeps, loses and gains."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from images import read_image
from pairs import write_atomically
from registry import UserError
from semfid.label import _stage
from semfid.runtime.errors import ScoringError
from semfid.runtime.pairing import FilePair, Pairing, pair_files
from semfid.splice_chart import Chart, chart_bytes, check_chart
from semfid.splice_settings import SpliceSettings, read_settings
from semfid.splice_table import Row, check_table, put_json, tabulate
from splice import Comparison, Concept, Decomposer, compared
from towers import Tower, build_tower
from towers.cache import embed_images
from vector_cache import EMBEDDINGS, VectorCache

COLUMNS = ("weights", "recomposed", "cosine", "kept", "lost", "gained")


def splice(arguments: argparse.Namespace) -> int:
    """A pair, or two folders; exit code 2 where an image could not be read.

    Raises:
        UserError: a bad setting, path or image of a single pair.
    """
    try:
        pairing = pair_files(Path(arguments.reference), Path(arguments.candidate))
    except ScoringError as error:
        raise UserError(str(error)) from error
    out = None if arguments.out is None else Path(arguments.out)
    if arguments.run is not None:
        from semfid.splice_run import explain

        return explain(arguments, pairing, out)
    single = not Path(arguments.reference).is_dir()
    if single and out is not None:
        check_chart(out)
    if not single:
        check_table(out)
    settings = read_settings(arguments.overrides)
    tower = build_tower(*settings.tower)
    decomposer = settings.concepts.decomposer(tower, stage=_stage)
    _say_dictionary(decomposer)
    if single:
        return _one(pairing.pairs[0], tower, decomposer, settings, out, arguments.json)
    return _folders(pairing, tower, decomposer, settings, out, arguments.json)


def _one(
    pair: FilePair, tower: Tower, decomposer: Decomposer, settings: SpliceSettings, out: Path | None, as_json: str | None
) -> int:
    images = read_image(pair.reference), read_image(pair.candidate)
    comparison = _compared(tower, decomposer, settings, *images)
    print(words_of(comparison))
    put_json(as_json, _facts(pair, comparison, tower, settings, decomposer))
    if out is not None:
        notes = (
            f"1 - cosine of the weights {comparison.weights:.3f}, of the recomposed embeddings {comparison.recomposed:.3f}, "
            f"of the embeddings {comparison.cosine:.3f}",
            f"{settings.strategy}, {settings.concepts.sparsity}; {len(decomposer.words)} words of "
            f"{decomposer.dictionary.vocabulary}; {settings.tower[0]}",
        )
        chart = Chart("Concepts kept, lost and gained", notes, comparison, images, settings.top)
        write_atomically(out, chart_bytes(chart, out.suffix.lower()))
        print(f"chart: {out}", file=sys.stderr)
    return 0


def _folders(
    pairing: Pairing, tower: Tower, decomposer: Decomposer, settings: SpliceSettings, out: Path | None, as_json: str | None
) -> int:
    def describe(pair: FilePair) -> tuple[Row, Row]:
        comparison = _compared(tower, decomposer, settings, read_image(pair.reference), read_image(pair.candidate))
        row: Row = {key: f"{getattr(comparison, key):.6f}" for key in ("weights", "recomposed", "cosine")}
        row |= {kind: _listed(getattr(comparison, kind)) for kind in ("kept", "lost", "gained")}
        return row, _facts(pair, comparison, tower, settings, decomposer)

    return tabulate(pairing, COLUMNS, describe, out, as_json)


def _compared(
    tower: Tower, decomposer: Decomposer, settings: SpliceSettings, reference: Image.Image, candidate: Image.Image
) -> Comparison:
    rows = torch.from_numpy(embed_images(tower, [reference, candidate], VectorCache(EMBEDDINGS)))
    return compared(decomposer, rows[:1], rows[1:], settings.strategy)[0]


def words_of(comparison: Comparison) -> str:
    """The concepts as lines, and the three differences."""
    lines = []
    for kind, concepts in (("kept", comparison.kept), ("lost", comparison.lost), ("gained", comparison.gained)):
        lines.append(f"{kind}: {_listed(concepts) or 'none'}")
    if not (comparison.kept or comparison.lost or comparison.gained):
        lines.append("no concept is active in either image; a lower l1 keeps more")
    lines.append(
        f"difference of weights {comparison.weights:.6f}, of recomposed embeddings {comparison.recomposed:.6f}, "
        f"1 - cosine of embeddings {comparison.cosine:.6f}"
    )
    return "\n".join(lines)


def _listed(concepts: tuple[Concept, ...]) -> str:
    parts = []
    for concept in concepts:
        sides = [value for value in (concept.reference, concept.candidate) if value > 0]
        parts.append(f"{concept.word} {' -> '.join(f'{value:.3f}' for value in sides)}")
    return ", ".join(parts)


def _facts(
    pair: FilePair, comparison: Comparison, tower: Tower, settings: SpliceSettings, decomposer: Decomposer
) -> dict[str, Any]:
    return {
        "pair_id": pair.pair_id,
        "reference": str(pair.reference),
        "candidate": str(pair.candidate),
        **asdict(comparison),
        "tower": tower.identity,
        "vocabulary": decomposer.dictionary.vocabulary,
        "words": len(decomposer.words),
        "image_mean": settings.concepts.image_mean,
        "strategy": settings.strategy,
        "sparsity": str(settings.concepts.sparsity),
    }


def _say_dictionary(decomposer: Decomposer) -> None:
    found = decomposer.dictionary
    left_out = [
        f"{count} {why}"
        for count, why in ((found.silent, "unknown to the tower"), (found.merged, "the same to it as another word"))
        if count
    ]
    more = f"; left out: {', '.join(left_out)}" if left_out else ""
    print(f"{len(found.words)} words of {found.vocabulary}{more}", file=sys.stderr)
