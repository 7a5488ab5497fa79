"""What the page's script reads, as JSON, and what its template prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NotRequired, TypedDict


class MeanContent(TypedDict):
    """A mean over pairs with its interval; None where it does not exist."""

    n: int
    mean: float | None
    low: float | None
    high: float | None


class OriginContent(MeanContent):
    """The mean label of an origin."""

    name: str


class BinContent(MeanContent):
    """A point of a calibration curve: the mean label of pairs whose mean prediction is `x`."""

    x: float | None


class PairColumns(TypedDict):
    """Columns of equal length, sorted by pair_id.

    Attributes:
        low, high, votes: where there are votes: Wilson's interval of the label.
        origin: index into the table's origins, where it has some.
    """

    id: list[str]
    label: list[float]
    low: NotRequired[list[float]]
    high: NotRequired[list[float]]
    votes: NotRequired[list[int]]
    origin: NotRequired[list[int]]


class RunContent(TypedDict):
    """One run of a variant.

    Attributes:
        predicted: by pair.
        best, worst: rows of example pairs.
        origins: mean prediction of each origin.
    """

    seed: int
    predicted: list[float]
    calibration: list[BinContent]
    best: list[int]
    worst: list[int]
    origins: NotRequired[list[MeanContent]]


class VariantContent(TypedDict):
    """One variant, in the order of the table.

    Attributes:
        figures: metrics as text.
        origins: metrics of each origin, means over seeds.
        maps: names of heat maps by row of the pair, None where an image cannot be read; or `maps_note`, why there are none.
    """

    label: str
    learned: bool
    note: str
    figures: Mapping[str, str]
    origins: list[Mapping[str, float | None]]
    runs: list[RunContent]
    maps: NotRequired[Mapping[int, str | None]]
    maps_note: NotRequired[str]


class TableContent(TypedDict):
    """One table.

    Attributes:
        level: of all intervals.
        pictures: names of a pair's reference and candidate by row; None for an image that cannot be shown.
    """

    pairs: PairColumns
    origins: list[OriginContent]
    variants: list[VariantContent]
    level: float
    pictures: NotRequired[dict[int, list[str | None]]]


class Bar(TypedDict):
    """A value and its interval, in per cent of the scale."""

    low: float
    width: float
    value: float


class CellView(TypedDict):
    """A cell.

    Attributes:
        text: without its mark.
        value: to sort by; empty where there is none.
    """

    name: str
    text: str
    mark: str
    value: float | str
    bar: Bar | None


class ColumnView(TypedDict):
    """The head of a column; `better` is ``higher``, ``lower`` or empty."""

    name: str
    header: str
    numeric: bool
    better: str


class RowView(TypedDict):
    """A variant's row."""

    variant: str
    leaky: bool
    cells: list[CellView]


class ScaleView(TypedDict):
    """The scale of the bars: its ends, and where zero and the noise ceiling are on it in per cent."""

    low: float
    high: float
    zero: float
    ceiling: float | None


class TableView(TypedDict):
    """A table of variants: columns that hold something, and rows; `changed` is of maps."""

    pairs: object
    changed: object
    sources: object
    columns: list[ColumnView]
    scale: ScaleView
    rows: list[RowView]


class MapPairView(TypedDict):
    """A pair of the gallery.

    Attributes:
        missing: why there are no pictures; else empty.
        pictures: (title, name) of each.
    """

    pair: str
    caption: str
    missing: str
    pictures: list[tuple[str, str]]


class MapGroupView(TypedDict):
    """Pairs of the gallery that were chosen for one reason, the title."""

    title: str
    pairs: list[MapPairView]


class MapVariantView(TypedDict):
    """A variant in the gallery; the note may say why it has no groups."""

    label: str
    note: str
    groups: list[MapGroupView]


class MapsView(TypedDict):
    """The section on maps; `stops` are the colours of its bar."""

    view: TableView
    headline: list[str]
    notes: list[str]
    stops: list[str]
    variants: list[MapVariantView]


class PictureView(TypedDict):
    """A picture in the page: a data URI, and its size in pixels."""

    name: str
    uri: str
    width: int
    height: int


class DifferenceRow(TypedDict):
    """The settings of a variant, in the order of the keys."""

    variant: str
    values: list[str]


class Differences(TypedDict):
    """Settings that are not the same in all variants, in the order of the files."""

    keys: list[str]
    rows: list[DifferenceRow]


class ProvenanceRow(DifferenceRow):
    """The facts of a run, in the order of the keys."""

    seed: int


class ProvenanceTable(TypedDict):
    """Facts of all runs: (key, value) of those that all share, and the rest by run."""

    same: list[list[str]]
    keys: list[str]
    rows: list[ProvenanceRow]


class SectionView(TypedDict):
    """What the template prints of one table of results."""

    title: str
    headline: Sequence[str]
    ceiling: str | None
    notes: list[str]
    view: TableView
    maps: MapsView | None
    differs: Differences
    provenance: ProvenanceTable
