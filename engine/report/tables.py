"""The table of variants as the template prints it: cells with text, a value to sort by, and intervals drawn to scale."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from engine.report.content import cell_text, number
from engine.results import COLUMNS, Results
from evaluation import Cell
from evaluation.tables import Row

SAME_FOR_ALL = ("n", "sources")  # of one table: the caption says them
INTERVAL_SHOWN = ("srcc", "mse")  # others have theirs in results.csv
DIGITS = {column.name: column.digits for column in COLUMNS}


def table_view(result: Results) -> dict[str, Any]:
    """Columns that say something, and rows.

    Returns:
        ``columns``: name, header, numeric, better. ``rows``: variant, constant, leaky, cells (text, value, mark, bar).
        A bar has low, high and value in per cent of the scale; ``scale`` names its ends, and the ceiling on it.
    """
    rows = result.rows
    columns = [
        column
        for column in COLUMNS
        if column.name not in (*SAME_FOR_ALL, "variant") and any(_says(row.get(column.name)) for row in rows)
    ]
    ceiling = None if result.ceiling is None else number(result.ceiling.srcc)
    scale = _scale(rows, ceiling)
    return {
        "pairs": rows[0]["n"],
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
        "rows": [_row(row, columns, scale) for row in rows],
    }


def _scale(rows: Sequence[Row], ceiling: float | None) -> tuple[float, float]:
    """Ends of the SRCC bars, at whole tenths: room for every interval and for the ceiling."""
    cells = [row["srcc"] for row in rows]
    values = [number(value) for cell in cells if isinstance(cell, Cell) for value in (cell, cell.low, cell.high)]
    known = [value for value in (*values, ceiling) if value is not None] or [0.0, 1.0]
    low, high = math.floor(min(known) * 10) / 10, math.ceil(max(known) * 10) / 10
    return low, max(high, low + 0.1)


def _row(row: Mapping[str, Any], columns: Any, scale: tuple[float, float]) -> dict[str, Any]:
    cells = []
    for column in columns:
        value = row.get(column.name)
        shown = value
        if isinstance(value, Cell) and column.name not in INTERVAL_SHOWN:
            shown = Cell(value.value, mark=value.mark, note=value.note)
        mark = value.mark if isinstance(value, Cell) else ""
        text = cell_text(shown, DIGITS[column.name])
        cells.append(
            {
                "name": column.name,
                "text": text.removesuffix(mark) if mark else text,
                "mark": mark,
                "value": "" if (found := number(value)) is None else found,
                "bar": _bar(value, scale) if column.name == "srcc" and isinstance(value, Cell) else None,
            }
        )
    note = str(row["note"])
    return {"variant": str(row["variant"]), "leaky": "LEAKY" in note, "cells": cells}


def _bar(cell: Cell, scale: tuple[float, float]) -> dict[str, float] | None:
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
