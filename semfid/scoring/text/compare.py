"""What is read in a reference against what is read in a candidate.

The reference's lines are read several times. The candidate is read at the same places, since the two show the same: a detector
that overlooks a line changes nothing. Where that reads otherwise, lines that are found in the candidate itself may agree.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from semfid.errors import UserError
from semfid.scoring.text.boxes import Box
from semfid.scoring.text.lines import Match, Network, combine, signs
from semfid.scoring.text.reading import Reader, Reading

Status = Literal["kept", "changed", "lost", "gained"]

PLAUSIBLE = 0.3  # mean confidence of a first reading, below which a line is not read again
READABLE = 0.6  # mean weight of a word's characters, below which it does not count
SURE = 0.8  # the same for a word that only the candidate has
EVIDENCE, GAINED_EVIDENCE = 1.5, 2.4  # summed weight of the letters and digits of a line that counts
SHARPNESS = 2.0  # a word is lost when half of its characters are others
SLIP = 0.1  # a word's difference up to here is a slip of the reader
LEGIBLE = 0.6  # mean confidence from which an unlike word is changed, not lost
SAME_PLACE = 0.5  # share of the smaller box that two boxes of one line have in common
REMEMBERED = 256  # images


@dataclass(frozen=True)
class Word:
    """A word of the reference (or, where it is gained, of the candidate).

    Attributes:
        status: kept, changed (something else is read), lost (nothing is), gained (only the candidate has it).
        reference, candidate: what is read in each; empty where nothing is.
        difference: in [0, 1], from the share of characters that changed.
        weight: characters of the reference, each counted as surely as it is read; 0 of a gained word.
        box: where it stands.
    """

    status: Status
    reference: str
    candidate: str
    difference: float
    weight: float
    box: Box


@dataclass(frozen=True)
class TextChange:
    """The outcome for a pair.

    Attributes:
        difference: weighted mean over the reference's words, in [0, 1]; 0 where nothing can be read in the reference.
        words: of the reference from top to bottom, then those that were gained.
        size: width and height of the reference.
    """

    difference: float
    words: tuple[Word, ...]
    size: tuple[int, int]

    @property
    def characters(self) -> float:
        """Characters that can be read in the reference, each counted as surely as it is read."""
        return sum(word.weight for word in self.words)

    def map(self) -> NDArray[np.float32]:
        """(H, W) with each word's box filled with its difference."""
        found = np.zeros(self.size[::-1], dtype=np.float32)
        for word in self.words:
            if word.difference > 0:
                mask = Image.new("1", self.size)
                ImageDraw.Draw(mask).polygon([(float(x), float(y)) for x, y in word.box.corners() - 0.5], fill=1)
                inside = np.asarray(mask)
                found[inside] = np.maximum(found[inside], np.float32(word.difference))
        return found


@dataclass(frozen=True)
class Line:
    """A line of text that was read.

    Attributes:
        box: turned so that the text is level in it.
        network: of its readings.
    """

    box: Box
    network: Network

    def words(self, least: float) -> Iterator[tuple[str, range, float, Box]]:
        """Each word whose characters have at least that mean weight: its columns, its weight, and its box."""
        pivot, columns = self.network.pivot, self.network.columns
        places = [column.place for column in columns]
        for first, last in _words(pivot.text):
            held = [at for at, place in enumerate(places) if place is not None and first <= place < last]
            weight = sum(self.network.weights[at] for at in held)
            if held and weight >= least * len(held):
                before = (pivot.at[first - 2] + pivot.at[first]) / 2 if first >= 2 else 0.0
                after = (pivot.at[last - 1] + pivot.at[last + 1]) / 2 if last + 1 < len(pivot.text) else 1.0
                box = self.box.part(before, max(after, before + 0.01))
                yield pivot.text[first:last], range(held[0], held[-1] + 1), weight, box


def _words(text: str) -> list[tuple[int, int]]:
    """Begin and end of the words of a text."""
    found, begin = [], 0
    for at, character in enumerate(text + " "):
        if character.isspace():
            if at > begin:
                found.append((begin, at))
            begin = at + 1
    return found


class TextComparer:
    """Compares pairs; remembers what was read in the latest images, so that a reference is read once for its candidates."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self._pages: dict[bytes, tuple[Line, ...]] = {}

    def __call__(self, reference: Image.Image, candidate: Image.Image, gained: bool = True) -> TextChange:
        """Compare two RGB images of one size.

        Args:
            gained: whether words that only the candidate has are looked for; they change no number.

        Raises:
            UserError: sizes that differ.
        """
        if reference.size != candidate.size:
            raise UserError(
                f"text: the reference has {reference.width}x{reference.height} pixels, the candidate "
                f"{candidate.width}x{candidate.height}; resize the candidate to the reference's size"
            )
        lines = [line for line in self.lines(reference) if _readable(line, EVIDENCE, READABLE)]
        words = [word for line in lines for word in self._compared(line, candidate)]
        total = sum(word.weight for word in words)
        difference = sum(word.weight * word.difference for word in words) / total if total else 0.0
        if gained:
            words += self._gained(lines, reference, candidate)
        return TextChange(min(1.0, difference), tuple(words), reference.size)

    def lines(self, image: Image.Image) -> tuple[Line, ...]:
        """Lines of text of an image, from top to bottom."""
        name = hashlib.blake2b(f"{image.size}".encode() + image.tobytes(), digest_size=16).digest()
        found = self._pages.pop(name, None)
        if found is None:
            found = tuple(line for box in self.reader.boxes(image) for line in self._line(image, box))
        self._pages[name] = found  # the latest come last
        for old in list(self._pages)[: max(0, len(self._pages) - REMEMBERED)]:
            del self._pages[old]
        return found

    def _line(self, image: Image.Image, box: Box) -> Iterator[Line]:
        """The line of a box, unless there is hardly a letter in it."""
        box = self.reader.upright(image, box)
        readings = self.reader.readings(image, box)
        first = next(readings)
        if first.mean >= PLAUSIBLE and signs(first):
            yield Line(box, combine([first, *readings]))

    def _compared(self, line: Line, candidate: Image.Image) -> list[Word]:
        """The words of a line of the reference, as they are in the candidate."""
        reading, match = self._best(line, candidate)
        found = []
        for text, span, weight, box in line.words(READABLE):
            share = SHARPNESS * sum(match.lost[at] for at in span) / weight
            difference = 0.0 if share <= SLIP else min(1.0, share)
            piece, confidence = _piece(reading, match, span)
            legible = confidence >= LEGIBLE and 2 * len(piece) >= len(text)
            found.append(Word(_status(difference, piece, legible), text, piece, difference, weight, box))
        return found

    def _best(self, line: Line, candidate: Image.Image) -> tuple[Reading, Match]:
        """The reading of the candidate that comes nearest to a line."""
        best: tuple[Reading, Match] | None = None
        for reading in self._tries(line, candidate):
            match = line.network.match(reading)
            if best is None or (match.cost, -reading.mean) < (best[1].cost, -best[0].mean):
                best = reading, match
            if match.cost == 0.0:
                break
        assert best is not None
        return best

    def _tries(self, line: Line, candidate: Image.Image) -> Iterator[Reading]:
        """Readings at the line's own place, then those of the candidate's own lines there."""
        yield from self.reader.readings(candidate, line.box)
        for other in self.lines(candidate):
            if _overlap(line.box, other.box) >= SAME_PLACE:
                yield other.network.pivot

    def _gained(self, known: Sequence[Line], reference: Image.Image, candidate: Image.Image) -> list[Word]:
        """Words of the candidate where nothing like them can be read in the reference."""
        found = []
        for line in self.lines(candidate):
            if not _readable(line, GAINED_EVIDENCE, SURE) or any(_overlap(line.box, other.box) > 0 for other in known):
                continue
            _, match = self._best(line, reference)
            for text, span, weight, box in line.words(SURE):
                if sum(match.lost[at] for at in span) >= weight / SHARPNESS:
                    found.append(Word("gained", "", text, 0.0, 0.0, box))
        return found


def _readable(line: Line, evidence: float, weight: float) -> bool:
    weights = [
        w for w, column in zip(line.network.weights, line.network.columns, strict=True) if column.place is not None
    ]
    return sum(weights) >= max(evidence, weight * len(weights))


def _status(difference: float, piece: str, legible: bool) -> Status:
    if difference == 0.0:
        return "kept"
    return "lost" if not piece or (difference >= 0.5 and not legible) else "changed"


def _piece(reading: Reading, match: Match, span: range) -> tuple[str, float]:
    """What a reading has at a range of columns, and its mean confidence there."""
    found, inside = signs(reading), False
    places: list[int] = []
    for at, number in match.steps:
        inside = at in span if at is not None else inside or (0 in span and not places)
        if inside and number is not None:
            places.append(found[number].place)
    if not places:
        return "", 0.0
    held = range(places[0], places[-1] + 1)
    return reading.text[held.start : held.stop], sum(reading.confidence[at] for at in held) / len(held)


def _overlap(one: Box, other: Box) -> float:
    """Intersection of the upright rectangles around two boxes, over the smaller of them."""
    a, b = one.corners(), other.corners()
    low, high = np.maximum(a.min(axis=0), b.min(axis=0)), np.minimum(a.max(axis=0), b.max(axis=0))
    smaller = min(float(np.prod(np.ptp(a, axis=0))), float(np.prod(np.ptp(b, axis=0))))
    return float(np.prod(np.clip(high - low, 0, None))) / max(smaller, 1e-9)
