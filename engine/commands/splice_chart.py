"""Concepts of two images as diverging bars, as a PNG or an SVG."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from models.concepts import Comparison, Concept
from semfid.errors import UserError

ENDINGS = (".png", ".svg")
INK, MUTED, FAINT = "#1f2933", "#66727f", "#e4e8ec"
COLOURS = {"kept": "#7b8794", "lost": "#d55e00", "gained": "#0072b2"}  # told apart by colour-blind readers
WIDTH, ROW, HEAD = 8.6, 0.26, 2.9  # inches
LETTERS = 22  # of a word; longer ones are cut


@dataclass(frozen=True)
class Chart:
    """What is drawn.

    Attributes:
        title, notes: lines at the top.
        comparison: the concepts; of each kind the first `top` are drawn.
        images: reference and candidate.
        values: what is written at the right of a row, by word.
        caption: above these values.
    """

    title: str
    notes: Sequence[str]
    comparison: Comparison
    images: tuple[Image.Image, Image.Image]
    top: int
    values: dict[str, str] | None = None
    caption: str = ""

    def rows(self) -> list[tuple[str, Concept | None]]:
        """(kind, concept) of each row from the top; None: the heading of the kind."""
        found: list[tuple[str, Concept | None]] = []
        for kind in COLOURS:
            concepts = getattr(self.comparison, kind)
            if concepts:
                found += [(kind, None), *((kind, concept) for concept in concepts[: self.top])]
        return found


def check_chart(path: Path) -> None:
    """Refuse a name that is no picture's.

    Raises:
        UserError: another ending.
    """
    if path.suffix.lower() not in ENDINGS:
        raise UserError(f"splice: --out {path}: a chart ends in .png or .svg; the table of two folders in .csv")


def chart_bytes(chart: Chart, ending: str) -> bytes:
    """The chart as a file's content."""
    rows = chart.rows()
    height = HEAD + ROW * max(2, len(rows)) + 0.2
    with rc_context(
        {"svg.fonttype": "none", "svg.hashsalt": "semfid", "text.color": INK, "font.size": 10, "text.parse_math": False}
    ):
        figure = Figure(figsize=(WIDTH, height))
        figure.text(0.03, 1 - 0.3 / height, chart.title, size=16, va="center")
        figure.text(0.03, 1 - 0.5 / height, "\n".join(chart.notes), size=9, color=MUTED, va="top", linespacing=1.5)
        for left, image, name in zip((0.27, 0.6), chart.images, ("reference", "candidate"), strict=True):
            axes = figure.add_axes((left, 1 - (HEAD - 0.3) / height, 0.26, 1.4 / height))
            axes.imshow(image)
            axes.set_axis_off()
            axes.text(0.5, -0.1, name, transform=axes.transAxes, ha="center", va="top")
        axes = figure.add_axes((0.24, 0.2 / height, 0.65, ROW * max(2, len(rows)) / height))
        _draw_rows(axes, chart, rows)
        content = io.BytesIO()
        figure.savefig(content, format=ending[1:], dpi=200, metadata={"Date": None} if ending == ".svg" else None)
    return content.getvalue()


def _draw_rows(axes: Axes, chart: Chart, rows: list[tuple[str, Concept | None]]) -> None:
    """A row per unit of y, downwards; the reference's weights to the left of 0, the candidate's to the right."""
    axes.set_axis_off()
    axes.set_ylim(max(2, len(rows)), 0)
    if not rows:
        axes.text(0, 0.5, "No concept is active in either image; a lower l1 keeps more.", color=MUTED, ha="center")
    largest = max([max(one.reference, one.candidate) for _, one in rows if one is not None], default=1.0)
    axes.set_xlim(-1.2 * largest, 1.2 * largest)
    side = axes.get_yaxis_transform()  # x as a share of the axes, y by row
    if chart.values and rows:
        axes.text(1.12, -0.3, chart.caption, transform=side, ha="right", va="center", size=9)
    for at, (kind, concept) in enumerate(rows):
        if concept is None:
            total = len(getattr(chart.comparison, kind))
            more = f", the {chart.top} largest shown" if total > chart.top else ""
            text = f"{total} concept{'s' if total > 1 else ''}{more}"
            axes.text(-0.32, at + 0.6, kind.upper(), transform=side, color=COLOURS[kind], va="center", size=9)
            axes.text(-0.2, at + 0.6, text, transform=side, color=MUTED, va="center", size=9)
            axes.plot([-0.32, 1.12], [at + 0.98] * 2, transform=side, color=FAINT, lw=0.8, clip_on=False)
            continue
        word = concept.word if len(concept.word) <= LETTERS else f"{concept.word[: LETTERS - 1]}…"
        axes.text(-0.02, at + 0.5, word, transform=side, ha="right", va="center")
        axes.plot([0, 0], [at, at + 1], color=MUTED, lw=0.8)
        for weight, sign in ((concept.reference, -1), (concept.candidate, 1)):
            if weight > 0:
                axes.barh(at + 0.5, sign * weight, 0.62, color=COLOURS[kind])
                place, anchor = sign * (weight + 0.015 * largest), "left" if sign > 0 else "right"
                axes.text(place, at + 0.5, f"{weight:.3f}", color=MUTED, size=8, ha=anchor, va="center")
        if chart.values:
            value = chart.values.get(concept.word, "")
            axes.text(1.12, at + 0.5, value, transform=side, ha="right", va="center", size=9)
