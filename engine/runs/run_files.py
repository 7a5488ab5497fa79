"""The JSON files of a run folder, as they are written and read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NotRequired, TypedDict

Number = float | int | bool | None  # null in JSON: the metric does not exist
Numbers = Mapping[str, Number]


class Status(TypedDict, total=False):
    """``status.json``: ``new`` where there is no file."""

    state: str
    error: str


class MapSection(TypedDict):
    """The section ``maps`` of ``metrics.json``; by name of the metric.

    Attributes:
        data: hash of the table and its target maps.
        interval: (low, high) over sources.
        origin: by name of the origin.
    """

    data: NotRequired[str]
    pooled: Numbers
    interval: Mapping[str, tuple[float, float]]
    origin: NotRequired[Mapping[str, Numbers]]


class PairMetricsFile(TypedDict):
    """``metrics.json`` of a run of pairs; by name of the metric.

    Attributes:
        interval: (low, high) over sources.
        level, bootstraps: of the intervals.
        folds, origin: by fold or origin.
    """

    pooled: Numbers
    interval: Mapping[str, tuple[float, float]]
    level: float
    bootstraps: int
    folds: NotRequired[Mapping[str, Numbers]]
    origin: NotRequired[Mapping[str, Numbers]]
    maps: NotRequired[MapSection]


class ImageMetricsFile(TypedDict):
    """``metrics.json`` of a run of single images.

    Attributes:
        figures: by name of the metric.
        images: held-out images.
    """

    figures: Numbers
    images: int


class Environment(TypedDict):
    """What a run was made with; the head of ``provenance.json``.

    Attributes:
        commit: of the clone, with ``+changes`` where tracked files differ from it.
        versions: by package.
    """

    commit: str
    python: str
    platform: str
    device: str
    versions: Mapping[str, str]
