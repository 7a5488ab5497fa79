"""Several readings of one line, put above each other (a confusion network; ROVER, Fiscus 1997), and what aligns with it.

A single reading of small text is half chance. Where several readings of one line agree, the text is readable. Where they do not,
each of them may be right, and none of them counts much.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from semfid.scoring.text.reading import Reading

ALIKE = str.maketrans({"0": "o", "1": "l", "i": "l", "|": "l"})  # nobody tells these apart without context


@dataclass(frozen=True)
class Sign:
    """A letter or digit of a reading.

    Attributes:
        shape: without case and accents, look-alikes made one.
        place: index of its character in the reading's text.
        others: shapes that may be meant, too.
    """

    shape: str
    place: int
    others: frozenset[str] = frozenset()

    def fits(self, seen: set[str]) -> bool:
        """Whether it is one of some shapes, or may be."""
        return self.shape in seen or not self.others.isdisjoint(seen)


def signs(reading: Reading) -> list[Sign]:
    """The letters and digits of a reading, in order; the rest does not count."""
    found = []
    for place, (character, others) in enumerate(zip(reading.text, reading.others, strict=True)):
        also = frozenset(_shapes(others))
        found += [Sign(shape, place, also) for shape in _shapes(character)]
    return found


def _shapes(text: str) -> list[str]:
    """What is left of a text without case, accents, punctuation, and the difference of look-alikes."""
    plain = unicodedata.normalize("NFKD", text).casefold()
    return [part.translate(ALIKE) for part in plain if part.isalnum() or part == "|"]


@dataclass
class Column:
    """One place of a line.

    Attributes:
        seen: every shape that some reading has here; the empty one where a reading has none.
        place: index of the pivot's character; None where the pivot has none.
        support: summed confidence of the readings that agree with the pivot.
    """

    seen: set[str]
    place: int | None = None
    support: float = 0.0


@dataclass(frozen=True)
class Match:
    """A text aligned with columns.

    Attributes:
        cost: total.
        steps: pairs of a column and a sign; None where the other stands alone.
        lost: cost at each column; an inserted sign costs at the column before it.
    """

    cost: float
    steps: list[tuple[int | None, int | None]]
    lost: list[float]


@dataclass(frozen=True)
class Network:
    """The columns of a line.

    Attributes:
        pivot: the reading that is nearest to all others.
        columns: in order.
        weights: of each column, how surely it is read, in [0, 1]: mean over the readings of the confidence in the pivot's
            character; 0 where the pivot has none.
    """

    pivot: Reading
    columns: list[Column]
    weights: list[float]

    def match(self, reading: Reading) -> Match:
        """The cheapest alignment of another reading.

        A sign that is, or may be, what some reading has at its column costs nothing, any other the column's weight. A column
        without a sign costs its weight, unless some reading has none there. An inserted sign costs the mean weight.
        """
        firm = [weight for weight, column in zip(self.weights, self.columns, strict=True) if column.place is not None]
        extra = sum(firm) / len(firm) if firm else 0.0
        prices = [
            extra if column.place is None else weight for weight, column in zip(self.weights, self.columns, strict=True)
        ]
        return align(self.columns, prices, signs(reading), extra)


def combine(readings: Sequence[Reading]) -> Network:
    """The network of one or more readings of one line."""
    shapes = [signs(reading) for reading in readings]
    apart = [
        sum(_distance(one, other) for other in shapes) - 1e-3 * reading.mean
        for one, reading in zip(shapes, readings, strict=True)
    ]
    first = apart.index(min(apart))
    columns = [Column({sign.shape}, sign.place, readings[first].confidence[sign.place]) for sign in shapes[first]]
    shape_of = {sign.place: sign.shape for sign in shapes[first]}
    for number, (reading, other) in enumerate(zip(readings, shapes, strict=True)):
        if number != first:
            columns = _joined(columns, other, reading, shape_of)
    weights = [0.0 if column.place is None else column.support / len(readings) for column in columns]
    return Network(readings[first], columns, weights)


def _distance(one: Sequence[Sign], other: Sequence[Sign]) -> float:
    """Edit distance of two readings."""
    return align([Column({sign.shape}) for sign in one], [1.0] * len(one), other, 1.0).cost


def _joined(columns: list[Column], found: Sequence[Sign], reading: Reading, shape_of: dict[int, str]) -> list[Column]:
    """The columns with one more reading in them; `shape_of` are the pivot's shapes by place."""
    joined = []
    for at, number in align(columns, [1.0] * len(columns), found, 1.0).steps:
        shape = "" if number is None else found[number].shape
        if at is None:
            joined.append(Column({shape, ""}))
            continue
        column = columns[at]
        column.seen.add(shape)
        if number is not None and column.place is not None and shape == shape_of[column.place]:
            column.support += reading.confidence[found[number].place]
        joined.append(column)
    return joined


def align(columns: Sequence[Column], prices: Sequence[float], found: Sequence[Sign], extra: float) -> Match:
    """Edit distance of signs to columns (Wagner and Fischer 1974), with its steps.

    Args:
        prices: of each column, where its sign is missing or another.
        extra: price of an inserted sign.
    """
    skips = [0.0 if "" in column.seen else price for column, price in zip(columns, prices, strict=True)]
    changes = [
        [0.0 if sign.fits(column.seen) else price for sign in found]
        for column, price in zip(columns, prices, strict=True)
    ]
    cost = [[extra * j for j in range(len(found) + 1)]]
    for skip, change in zip(skips, changes, strict=True):
        above, row = cost[-1], [cost[-1][0] + skip]
        for j in range(len(found)):
            row.append(min(above[j] + change[j], above[j + 1] + skip, row[j] + extra))
        cost.append(row)
    return _walked(cost, skips, changes, extra)


def _walked(cost: list[list[float]], skips: list[float], changes: list[list[float]], extra: float) -> Match:
    """The way back through the table of costs."""
    i, j = len(cost) - 1, len(cost[0]) - 1
    steps: list[tuple[int | None, int | None]] = []
    lost = [0.0] * len(skips)
    while i or j:
        if i and j and cost[i][j] == cost[i - 1][j - 1] + changes[i - 1][j - 1]:
            i, j = i - 1, j - 1
            steps.append((i, j))
            lost[i] += changes[i][j]
        elif i and cost[i][j] == cost[i - 1][j] + skips[i - 1]:
            i -= 1
            steps.append((i, None))
            lost[i] += skips[i]
        else:
            j -= 1
            steps.append((None, j))
            if lost:
                lost[max(i - 1, 0)] += extra
    return Match(cost[-1][-1], steps[::-1], lost)
