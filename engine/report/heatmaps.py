"""The heat maps of a finished run, or why there are none."""

from __future__ import annotations

from engine.report.pictures import DrawMap
from engine.results import Finished


def map_drawer(run: Finished) -> DrawMap | str:
    """What draws the maps of a run; where there are none, a sentence that says why, empty where none are expected."""
    return ""
