"""`semfid splice --run`: a learned score with concepts, told in words."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from engine.commands.splice_chart import Chart, chart_bytes, check_chart
from engine.commands.splice_table import Facts, Row, check_table, put_json, tabulate
from heads.concept_linear import ConceptLinear
from lightning_modules.scorer import RunScorer, load_run
from models.concepts import Comparison, Concept
from semfid.errors import UserError
from semfid.io.file_pairs import FilePair, Pairing
from semfid.io.files import write_whole
from semfid.io.images import load_pixels, read_image
from semfid.scoring.exported import one_path

log = logging.getLogger("semfid")

COLUMNS = ("difference", "sum", "contributions")
SHOWN = 12  # words


@dataclass(frozen=True)
class Explained:
    """A pair's score in words.

    Attributes:
        difference: the run's score.
        total: of the contributions; the score before the output function.
        words: (concept, contribution) of every word that differs, the largest first.
        same: concepts that both images have to the same weight.
    """

    difference: float
    total: float
    words: tuple[tuple[Concept, float], ...]
    same: tuple[Concept, ...]

    def comparison(self) -> Comparison:
        """For the chart: words by their contribution."""
        concepts = [concept for concept, _ in self.words] + list(self.same)
        return Comparison(
            tuple(c for c in concepts if c.reference > 0 and c.candidate > 0),
            tuple(c for c in concepts if c.candidate == 0),
            tuple(c for c in concepts if c.reference == 0),
            0.0,
            0.0,
            0.0,
        )


def explain(
    run: str,
    pairs: FilePair | Pairing,
    *,
    part: int | None = None,
    out: Path | None = None,
    as_json: Path | None = None,
) -> int:
    """Explain one pair, or each of two folders or a table; 2 where an image could not be read, else 0.

    Args:
        run: folder of a run with a concept head; a pattern that one folder matches will do.
        part: the fold whose head is used; None: the mean over all.
        out, as_json: see `engine.commands.splice.splice`.

    Raises:
        UserError: not a run with a concept head, a bad path.
    """
    if isinstance(pairs, Pairing):
        check_table(out)
    elif out is not None:
        check_chart(out)
    folder = one_path(run)
    if folder.is_file():
        raise UserError(f"splice: --run {folder} is an exported file, which holds no words; give the run folder")
    scorer = load_run(folder, part)
    if not isinstance(scorer.heads[0], ConceptLinear) or not hasattr(scorer.backbone, "words"):
        raise UserError(
            f"splice: --run {folder} scores without concepts; give a run of backbone concepts, head concept_linear"
        )
    if isinstance(pairs, Pairing):
        return _folders(pairs, scorer, out, as_json)
    return _one(pairs, scorer, out, as_json)


def _one(pair: FilePair, scorer: RunScorer, out: Path | None, as_json: Path | None) -> int:
    found = explained(scorer, pair)
    lines = [f"difference {found.difference:.6f}, {_how(scorer)} {found.total:.6f}, the sum of these contributions:"]
    for concept, contribution in found.words:
        lines.append(f"  {contribution:9.6f}  {concept.word}  {concept.reference:.3f} -> {concept.candidate:.3f}")
    print("\n".join(lines if found.words else [f"difference {found.difference:.6f}: no concept differs"]))
    put_json(as_json, _facts(pair, found))
    if out is not None:
        values = {concept.word: f"{contribution:.4f}" for concept, contribution in found.words}
        how = f"Difference {found.difference:.3f}, {_how(scorer)} the sum of all contributions, {found.total:.3f}"
        notes = (how, scorer.facts.run)
        images = read_image(pair.reference), read_image(pair.candidate)
        chart = Chart("What the score is made of", notes, found.comparison(), images, SHOWN, values, "contribution")
        write_whole(out, chart_bytes(chart, out.suffix.lower()))
        log.info(f"chart: {out}")
    return 0


def _folders(pairing: Pairing, scorer: RunScorer, out: Path | None, as_json: Path | None) -> int:
    def describe(pair: FilePair) -> tuple[Row, Facts]:
        found = explained(scorer, pair)
        words = ", ".join(f"{concept.word} {contribution:.4f}" for concept, contribution in found.words)
        row = {"difference": f"{found.difference:.6f}", "sum": f"{found.total:.6f}", "contributions": words}
        return row, _facts(pair, found)

    return tabulate(pairing, COLUMNS, describe, out, as_json)


def explained(scorer: RunScorer, pair: FilePair) -> Explained:
    """The words behind a pair's score; of several folds' heads, the mean contributions.

    Raises:
        UserError: an image that cannot be read.
    """
    planes = [_planes(path, scorer) for path in (pair.reference, pair.candidate)]
    with torch.no_grad():
        x, y = (scorer.describe(image) for image in planes)
        difference = float(scorer.compare(x, y))
        statistic = torch.stack([x[0], y[0]], dim=1).float()  # (1, 2, K)
        each = [head.contributions(statistic) for head in scorer.heads]  # type: ignore[operator]
        contributions = torch.stack(each).mean(dim=0)[0]  # (K,)
    words: tuple[str, ...] = scorer.backbone.words  # type: ignore[assignment]
    active = (statistic[0] > 0).any(dim=0).nonzero().squeeze(1).tolist()
    concepts = [
        (Concept(words[at], float(statistic[0, 0, at]), float(statistic[0, 1, at])), float(contributions[at]))
        for at in active
    ]
    concepts.sort(key=lambda found: (-found[1], found[0].word))
    changed = tuple(found for found in concepts if found[0].reference != found[0].candidate)
    same = tuple(concept for concept, _ in concepts if concept.reference == concept.candidate)
    return Explained(difference, float(contributions.sum()), changed, same)


def _planes(path: Path, scorer: RunScorer) -> Tensor:
    pixels = load_pixels(path, scorer.facts.image_size, scorer.facts.resize)
    return torch.from_numpy(pixels).float().div(255.0).unsqueeze(0)


def _how(scorer: RunScorer) -> str:
    output = scorer.heads[0].output
    return "which is" if output == "identity" else f"by the output function {output} of"


def _facts(pair: FilePair, found: Explained) -> Facts:
    return {
        "pair_id": pair.pair_id,
        "reference": str(pair.reference),
        "candidate": str(pair.candidate),
        "difference": found.difference,
        "sum": found.total,
        "contributions": [
            {
                "word": concept.word,
                "reference": concept.reference,
                "candidate": concept.candidate,
                "contribution": value,
            }
            for concept, value in found.words
        ],
    }
