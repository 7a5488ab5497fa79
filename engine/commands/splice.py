"""`semfid splice`: which concepts of a reference a candidate keeps, loses and gains."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from engine.commands.splice_chart import Chart, chart_bytes, check_chart
from engine.commands.splice_settings import SpliceSettings, read_settings
from engine.commands.splice_table import Facts, Row, check_table, put_json, tabulate
from models.concepts import Comparison, Concept, Decomposer, compared
from models.concepts.decompose import BATCH
from models.dual_encoders import DualEncoder, build_dual_encoder
from models.dual_encoders.cache import embed_images, embed_pictures
from semfid.errors import UserError
from semfid.io.file_pairs import FilePair, Pairing, pair_files, read_pair_table
from semfid.io.files import write_whole
from semfid.io.images import pixel_hash, read_image
from semfid.io.vector_cache import EMBEDDINGS, VectorCache
from semfid.progress import progress
from semfid.scoring.score import log_first

log = logging.getLogger("semfid")

COLUMNS = ("weights", "recomposed", "cosine", "kept", "lost", "gained")


def splice(
    paths: Sequence[str | Path] = (),
    overrides: Sequence[str] = (),
    *,
    pairs: str | Path | None = None,
    out: str | Path | None = None,
    as_json: str | Path | None = None,
    run: str | None = None,
    part: int | None = None,
) -> int:
    """Print which concepts a candidate keeps, loses and gains: of two images, of two folders, or of a table of pairs.

    Args:
        paths: reference and candidate, two images or two folders; none where `pairs` is given.
        overrides: settings as ``key=value``; see `SpliceSettings`.
        pairs: a table with pair_id, reference, candidate.
        out: of two images a chart, ``.png`` or ``.svg``; of more pairs a table, ``.csv``.
        as_json: file for all concepts and metrics.
        run: folder of a run with a concept head, whose score is explained in place of SpLiCE's comparison.
        part: of `run`: the fold whose head is used; None: the mean over all.

    Returns:
        2 where an image of a folder or a table could not be read, else 0.

    Raises:
        UserError: a bad setting or path, or an image of a single pair that cannot be read.
    """
    pairing = _pairing(paths, pairs)
    chart_or_table, json_file = None if out is None else Path(out), None if as_json is None else Path(as_json)
    single = pairs is None and not Path(paths[0]).is_dir()
    if run is not None:
        from engine.commands.splice_run import explain

        if overrides:
            raise UserError(f"splice: --run fixes the concepts; leave {overrides[0]} out")
        explained = pairing.pairs[0] if single else pairing
        return explain(run, explained, part=part, out=chart_or_table, as_json=json_file)
    if not single:
        check_table(chart_or_table)
    elif chart_or_table is not None:
        check_chart(chart_or_table)
    comparer = ConceptComparer(read_settings(overrides))
    _log_dictionary(comparer.decomposer)
    if single:
        return _one(pairing.pairs[0], comparer, chart_or_table, json_file)
    return _folders(pairing, comparer, chart_or_table, json_file)


def command(arguments: argparse.Namespace) -> int:
    """`splice` with the words of the command line: those that are no ``key=value``, or name a file, are paths."""
    paths = [word for word in arguments.overrides if "=" not in word or Path(word).exists()]
    return splice(
        paths,
        [word for word in arguments.overrides if word not in paths],
        pairs=arguments.pairs,
        out=arguments.out,
        as_json=arguments.json,
        run=arguments.run,
        part=arguments.part,
    )


class ConceptComparer:
    """Compares images by the concepts of their embeddings.

    Raises:
        UserError: a setting, tower, vocabulary or image mean that cannot be.
    """

    def __init__(self, settings: SpliceSettings) -> None:
        self.settings, self.concepts = settings, settings.concept_settings()
        self.tower = build_dual_encoder(settings.tower.name, settings.tower.keywords)
        self.decomposer = self.concepts.decomposer(self.tower, stage=progress)

    def compare(self, reference: Image.Image, candidate: Image.Image) -> Comparison:
        """Of two RGB images."""
        return self.of_vectors(embed_images(self.tower, [reference, candidate], VectorCache(EMBEDDINGS)))[0]

    def of_vectors(self, vectors: NDArray[np.float32]) -> list[Comparison]:
        """Of B references and B candidates, by their embeddings (2 B, D)."""
        x, y = torch.from_numpy(vectors).chunk(2)
        return compared(self.decomposer, x, y, self.settings.strategy)

    def facts(self, pair: FilePair, comparison: Comparison) -> Facts:
        """A pair in the JSON file."""
        return {
            "pair_id": pair.pair_id,
            "reference": str(pair.reference),
            "candidate": str(pair.candidate),
            **asdict(comparison),
            "tower": self.tower.identity,
            "vocabulary": self.decomposer.dictionary.vocabulary,
            "words": len(self.decomposer.words),
            "image_mean": self.concepts.image_mean,
            "strategy": self.settings.strategy,
            "sparsity": str(self.concepts.sparsity),
        }


def _pairing(paths: Sequence[str | Path], table: str | Path | None) -> Pairing:
    if table is not None:
        if paths:
            raise UserError(f"splice: --pairs names the images; leave {paths[0]} out")
        return read_pair_table(Path(table))
    if len(paths) != 2:
        raise UserError(
            f"splice: {len(paths)} paths given; give REFERENCE and CANDIDATE (two images or two folders), or --pairs TABLE.csv"
        )
    pairing = pair_files(Path(paths[0]), Path(paths[1]))
    log_first(pairing.left_out)
    return pairing


def _one(pair: FilePair, comparer: ConceptComparer, out: Path | None, as_json: Path | None) -> int:
    images = read_image(pair.reference), read_image(pair.candidate)
    comparison = comparer.compare(*images)
    print(words_of(comparison))
    put_json(as_json, comparer.facts(pair, comparison))
    if out is not None:
        settings, decomposer = comparer.settings, comparer.decomposer
        notes = (
            f"1 - cosine of the weights {comparison.weights:.3f}, of the recomposed embeddings {comparison.recomposed:.3f}, "
            f"of the embeddings {comparison.cosine:.3f}",
            f"{settings.strategy}, {comparer.concepts.sparsity}; {len(decomposer.words)} words of "
            f"{decomposer.dictionary.vocabulary}; {settings.tower.name}",
        )
        chart = Chart("Concepts kept, lost and gained", notes, comparison, images, settings.top)
        write_whole(out, chart_bytes(chart, out.suffix.lower()))
        log.info(f"chart: {out}")
    return 0


def _folders(pairing: Pairing, comparer: ConceptComparer, out: Path | None, as_json: Path | None) -> int:
    vectors, errors = _embedded(
        comparer.tower, [path for pair in pairing.pairs for path in (pair.reference, pair.candidate)]
    )
    good = [pair for pair in pairing.pairs if pair.reference in vectors and pair.candidate in vectors]
    found: dict[str, Comparison] = {}
    with progress("decomposing") as advance:
        for start in range(0, len(good), BATCH):
            pairs = good[start : start + BATCH]
            rows = [vectors[pair.reference] for pair in pairs] + [vectors[pair.candidate] for pair in pairs]
            results = comparer.of_vectors(np.stack(rows))
            found |= {pair.pair_id: result for pair, result in zip(pairs, results, strict=True)}
            advance(len(found), len(good))

    def describe(pair: FilePair) -> tuple[Row, Facts]:
        for path in (pair.reference, pair.candidate):
            if path in errors:
                raise UserError(errors[path])
        comparison = found[pair.pair_id]
        row: Row = {key: f"{getattr(comparison, key):.6f}" for key in ("weights", "recomposed", "cosine")}
        row |= {kind: _listed(getattr(comparison, kind)) for kind in ("kept", "lost", "gained")}
        return row, comparer.facts(pair, comparison)

    return tabulate(pairing, COLUMNS, describe, out, as_json)


def _embedded(tower: DualEncoder, paths: Sequence[Path]) -> tuple[dict[Path, NDArray[np.float32]], dict[Path, str]]:
    """The vector of each image file, each picture embedded once; and why a file could not be read."""
    names: dict[Path, str] = {}
    errors: dict[Path, str] = {}
    with progress("reading") as advance:
        distinct = list(dict.fromkeys(paths))
        for number, path in enumerate(distinct, start=1):
            try:
                names[path] = pixel_hash(read_image(path))
            except UserError as error:
                errors[path] = str(error)
            advance(number, len(distinct))
    files = list(names)
    with progress("embedding") as advance:
        rows = embed_pictures(
            tower,
            [names[path] for path in files],
            lambda place: read_image(files[place]),
            VectorCache(EMBEDDINGS),
            advance,
        )
    return dict(zip(files, rows, strict=True)), errors


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


def _log_dictionary(decomposer: Decomposer) -> None:
    found = decomposer.dictionary
    left_out = [
        f"{count} {why}"
        for count, why in ((found.silent, "unknown to the tower"), (found.merged, "the same to it as another word"))
        if count
    ]
    more = f"; left out: {', '.join(left_out)}" if left_out else ""
    log.info(f"{len(found.words)} words of {found.vocabulary}{more}")
