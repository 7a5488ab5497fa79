"""The table of variants as the template prints it: cells with text, a value to sort by, and intervals drawn to scale."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from engine.report.content import cell_text, number
from engine.report.page_content import Bar, CellView, RowView, TableView
from engine.results.maps import MAP_COLUMNS, MapResults
from engine.results.pairs import Results, columns_of
from semfid.stats import Cell, Column
from semfid.stats.tables import Row

SAME_FOR_ALL = ("n", "n_changed", "sources")  # of one table: the caption says them


def table_view(result: Results) -> TableView:
    """The table of scores; see `_view`."""
    ceiling = None if result.ceiling is None else number(result.ceiling.srcc)
    return _view(result.rows, columns_of(result.rows), "srcc", ("srcc", "mse"), ceiling)


def map_table_view(maps: MapResults) -> TableView:
    """The table of maps; see `_view`."""
    return _view(maps.rows, MAP_COLUMNS, "average_precision", ("average_precision",), None)


def _view(
    rows: Sequence[Row], of: Sequence[Column], main: str, with_interval: Sequence[str], ceiling: float | None
) -> TableView:
    """Columns that hold something, and rows.

    Args:
        main: column that gets bars.
        with_interval: columns that print their interval; others have theirs in the CSV.
        ceiling: of the main column.
    """
    columns = [
        column
        for column in of
        if column.name not in (*SAME_FOR_ALL, "variant") and any(_says(row.get(column.name)) for row in rows)
    ]
    scale = _scale([row[main] for row in rows], ceiling)
    return {
        "pairs": rows[0]["n"],
        "changed": rows[0].get("n_changed"),
        "sources": rows[0]["sources"],
        "columns": [
            {
                "name": column.name,
                "header": column.header,
                "numeric": column.name != "note",
                "better": column.better or "",
            }
            for column in columns
        ],
        "scale": {
            "low": scale[0],
            "high": scale[1],
            "zero": _percent(0.0, scale),
            "ceiling": None if ceiling is None else _percent(ceiling, scale),
        },
        "rows": [_row(row, columns, scale, main, with_interval) for row in rows],
    }


def _scale(cells: Sequence[Any], ceiling: float | None) -> tuple[float, float]:
    """Ends of the bars, at whole tenths: room for every interval and for the ceiling."""
    values = [number(value) for cell in cells if isinstance(cell, Cell) for value in (cell, cell.low, cell.high)]
    known = [value for value in (*values, ceiling) if value is not None] or [0.0, 1.0]
    low, high = math.floor(min(known) * 10) / 10, math.ceil(max(known) * 10) / 10
    return low, max(high, low + 0.1)


def _row(
    row: Mapping[str, Any],
    columns: Sequence[Column],
    scale: tuple[float, float],
    main: str,
    with_interval: Sequence[str],
) -> RowView:
    cells: list[CellView] = []
    for column in columns:
        value = row.get(column.name)
        shown = value
        if isinstance(value, Cell) and column.name not in with_interval:
            shown = Cell(value.value, mark=value.mark, note=value.note)
        mark = value.mark if isinstance(value, Cell) else ""
        text = cell_text(shown, column.digits)
        cells.append(
            {
                "name": column.name,
                "text": text.removesuffix(mark) if mark else text,
                "mark": mark,
                "value": "" if (found := number(value)) is None else found,
                "bar": _bar(value, scale) if column.name == main and isinstance(value, Cell) else None,
            }
        )
    note = str(row["note"])
    return {"variant": str(row["variant"]), "leaky": "LEAKY" in note, "cells": cells}


def _bar(cell: Cell, scale: tuple[float, float]) -> Bar | None:
    value = number(cell)
    if value is None:
        return None
    low, high = number(cell.low), number(cell.high)
    left = _percent(value if low is None else low, scale)
    right = _percent(value if high is None else high, scale)
    return {"low": left, "width": round(right - left, 2), "value": _percent(value, scale)}


def _percent(value: float, scale: tuple[float, float]) -> float:
    low, high = scale
    return round(100 * (value - low) / (high - low), 2)


def _says(value: Any) -> bool:
    if isinstance(value, Cell):
        return number(value) is not None or value.note == "constant"
    return value not in (None, "")
