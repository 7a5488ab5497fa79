"""Concepts of two images as diverging bars, as a PNG or an SVG: one layout, two ways to draw it."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from PIL import Image, ImageDraw, ImageFont

from models.concepts import Comparison, Concept
from semfid.errors import UserError

ENDINGS = (".png", ".svg")
INK, MUTED, FAINT, PAPER = "#1f2933", "#66727f", "#e4e8ec", "#ffffff"
COLOURS = {"kept": "#7b8794", "lost": "#d55e00", "gained": "#0072b2"}  # told apart by colour-blind readers
WIDTH, MARGIN, ROW, BAR, LABELS = 860, 28, 24, 15, 190
PICTURE = 120


class Pen(Protocol):
    """What a chart is drawn with; places in pixels, from the top left."""

    def box(self, x: float, y: float, width: float, height: float, colour: str) -> None: ...

    def text(self, x: float, y: float, words: str, size: int, colour: str, anchor: str = "left") -> None: ...

    def picture(self, x: float, y: float, image: Image.Image) -> None: ...


@dataclass(frozen=True)
class Chart:
    """What is drawn.

    Attributes:
        title, notes: lines at the top.
        comparison: the concepts; of each kind the first `top` are drawn.
        images: reference and candidate.
        values: what stands at the right of a row, by word.
        caption: above these values.
    """

    title: str
    notes: Sequence[str]
    comparison: Comparison
    images: tuple[Image.Image, Image.Image]
    top: int
    values: dict[str, str] | None = None
    caption: str = ""

    def groups(self) -> list[tuple[str, tuple[Concept, ...], int]]:
        """(kind, concepts drawn, how many more there are) of each kind that has any."""
        kinds = (("kept", self.comparison.kept), ("lost", self.comparison.lost), ("gained", self.comparison.gained))
        return [(kind, concepts[: self.top], len(concepts[self.top :])) for kind, concepts in kinds if concepts]

    @property
    def height(self) -> int:
        rows = sum(len(drawn) * ROW + 40 for _, drawn, _ in self.groups()) or 60
        return self._head() + rows + MARGIN

    def _head(self) -> int:
        return MARGIN + 34 + 19 * len(self.notes) + 14 + PICTURE + 34

    def draw(self, pen: Pen) -> None:
        pen.box(0, 0, WIDTH, self.height, PAPER)
        pen.text(MARGIN, MARGIN + 10, self.title, 22, INK)
        for line, note in enumerate(self.notes):
            pen.text(MARGIN, MARGIN + 42 + 19 * line, note, 13, MUTED)
        left, right = MARGIN + LABELS, WIDTH - MARGIN - (84 if self.values else 44)
        middle = (left + right) / 2
        y = MARGIN + 34 + 19 * len(self.notes) + 14
        for image, side, name in zip(self.images, (-1, 1), ("reference", "candidate"), strict=True):
            small = _fitted(image)
            at = middle + side * (right - left) / 4
            pen.picture(at - small.width / 2, y, small)
            pen.text(at, y + PICTURE + 14, name, 13, INK, "middle")
        if self.values:
            pen.text(WIDTH - MARGIN, y + PICTURE + 14, self.caption, 13, INK, "right")
        y = self._head()
        groups = self.groups()
        if not groups:
            pen.text(MARGIN, y + 20, "No concept is active in either image; a lower l1 keeps more.", 15, MUTED)
            return
        largest = max(max(c.reference, c.candidate) for _, drawn, _ in groups for c in drawn)
        unit = ((right - left) / 2 - 46) / largest  # room for the figures at the ends
        for kind, drawn, more in groups:
            pen.text(MARGIN, y + 18, kind.upper(), 13, COLOURS[kind])
            count = f"{len(drawn) + more} concept{'s' if len(drawn) + more > 1 else ''}"
            pen.text(MARGIN + 66, y + 18, f"{count}, the {len(drawn)} largest shown" if more else count, 13, MUTED)
            pen.box(MARGIN, y + 29, WIDTH - 2 * MARGIN, 1, FAINT)
            y += 34
            for concept in drawn:
                self._row(pen, concept, y, middle, unit, COLOURS[kind])
                y += ROW
            pen.box(middle - 0.5, y - ROW * len(drawn), 1, ROW * len(drawn), MUTED)
            y += 6

    def _row(self, pen: Pen, concept: Concept, y: float, middle: float, unit: float, colour: str) -> None:
        centre = y + ROW / 2
        pen.text(MARGIN + LABELS - 12, centre, _cut(concept.word), 15, INK, "right")
        for weight, side in ((concept.reference, -1), (concept.candidate, 1)):
            if weight <= 0:
                continue
            length = max(1.0, weight * unit)
            pen.box(middle - length if side < 0 else middle, centre - BAR / 2, length, BAR, colour)
            edge = middle + side * (length + 6)
            pen.text(edge, centre, f"{weight:.3f}", 12, MUTED, "right" if side < 0 else "left")
        if self.values:
            pen.text(WIDTH - MARGIN, centre, self.values.get(concept.word, ""), 13, INK, "right")


def check_chart(path: Path) -> None:
    """Refuse a name that is no picture's.

    Raises:
        UserError: another ending.
    """
    if path.suffix.lower() not in ENDINGS:
        raise UserError(f"splice: --out {path}: a chart ends in .png or .svg; the table of two folders in .csv")


def chart_bytes(chart: Chart, ending: str) -> bytes:
    """The chart as a file's content."""
    if ending == ".svg":
        drawing = _Svg(chart.height)
        chart.draw(drawing)
        return drawing.content()
    picture = _Raster(chart.height)
    chart.draw(picture)
    buffer = io.BytesIO()
    picture.image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _fitted(image: Image.Image) -> Image.Image:
    scale = min(PICTURE / image.height, 1.8 * PICTURE / image.width)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return (
        image.resize((size[0] * 2, size[1] * 2), Image.Resampling.LANCZOS).reduce(2)
        if scale > 1
        else image.resize(size)
    )


def _cut(word: str) -> str:
    return word if len(word) <= 22 else f"{word[:21]}…"


class _Raster:
    SCALE = 2  # pixels for each of the layout's, for screens that have them

    def __init__(self, height: int) -> None:
        self.image = Image.new("RGB", (WIDTH * self.SCALE, height * self.SCALE), PAPER)
        self.pen = ImageDraw.Draw(self.image)

    def box(self, x: float, y: float, width: float, height: float, colour: str) -> None:
        left, top, right, bottom = (round(value * self.SCALE) for value in (x, y, x + width, y + height))
        self.pen.rectangle((left, top, max(left, right - 1), max(top, bottom - 1)), fill=colour)

    def text(self, x: float, y: float, words: str, size: int, colour: str, anchor: str = "left") -> None:
        font = ImageFont.load_default(size * self.SCALE)
        place = {"left": "lm", "middle": "mm", "right": "rm"}[anchor]
        self.pen.text((x * self.SCALE, y * self.SCALE), words, fill=colour, font=font, anchor=place)

    def picture(self, x: float, y: float, image: Image.Image) -> None:
        large = image.resize((image.width * self.SCALE, image.height * self.SCALE), Image.Resampling.LANCZOS)
        self.image.paste(large, (round(x * self.SCALE), round(y * self.SCALE)))


class _Svg:
    def __init__(self, height: int) -> None:
        self.parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
            'font-family="Helvetica, Arial, sans-serif">'
        ]

    def box(self, x: float, y: float, width: float, height: float, colour: str) -> None:
        self.parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{colour}"/>')

    def text(self, x: float, y: float, words: str, size: int, colour: str, anchor: str = "left") -> None:
        place = {"left": "start", "middle": "middle", "right": "end"}[anchor]
        self.parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{colour}" text-anchor="{place}" '
            f'dominant-baseline="central">{html.escape(words)}</text>'
        )

    def picture(self, x: float, y: float, image: Image.Image) -> None:
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        data = base64.b64encode(buffer.getvalue()).decode()
        self.parts.append(
            f'<image x="{x:.1f}" y="{y:.1f}" width="{image.width}" height="{image.height}" href="data:image/png;base64,{data}"/>'
        )

    def content(self) -> bytes:
        return "\n".join([*self.parts, "</svg>", ""]).encode()
