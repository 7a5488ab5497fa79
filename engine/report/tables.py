"""The table of variants as the template prints it: cells with text, a value to sort by, and intervals drawn to scale."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.report.content import cell_text, number
from engine.results import COLUMNS, Results
from evaluation import Cell

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
    lows = [row["srcc"].low for row in rows if isinstance(row["srcc"], Cell) and number(row["srcc"].low) is not None]
    start = min(0.0, *(low for low in lows if low is not None), 0.0)
    scale: dict[str, Any] = {"low": round(start, 2), "high": 1, "zero": _percent(0.0, start), "ceiling": None}
    if result.ceiling is not None and number(result.ceiling.srcc) is not None:
        scale["ceiling"] = _percent(result.ceiling.srcc, start)
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
        "scale": scale,
        "rows": [_row(row, columns, start) for row in rows],
    }


def _row(row: Mapping[str, Any], columns: Any, start: float) -> dict[str, Any]:
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
                "bar": _bar(value, start) if column.name == "srcc" and isinstance(value, Cell) else None,
            }
        )
    note = str(row["note"])
    return {"variant": str(row["variant"]), "leaky": "LEAKY" in note, "cells": cells}


def _bar(cell: Cell, start: float) -> dict[str, float] | None:
    value = number(cell)
    if value is None:
        return None
    low, high = number(cell.low), number(cell.high)
    left = _percent(value if low is None else low, start)
    right = _percent(value if high is None else high, start)
    return {"low": left, "width": round(right - left, 2), "value": _percent(value, start)}


def _percent(value: float, start: float) -> float:
    return round(100 * (value - start) / (1.0 - start), 2)


def _says(value: Any) -> bool:
    if isinstance(value, Cell):
        return number(value) is not None or value.note == "constant"
    return value not in (None, "")
