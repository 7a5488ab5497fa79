"""Tables as text: CSV for machines, Markdown for readers, LaTeX for papers. Pure functions of rows and columns."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

Value: TypeAlias = str | float | int | None


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        name: key in the rows, and header in CSV.
        header: header in Markdown and LaTeX.
        digits: after the point, for floats; an interval is printed with one digit less.
        better: which way is better, or None where no value is best.
    """

    name: str
    header: str
    digits: int = 3
    better: Literal["higher", "lower"] | None = None


@dataclass(frozen=True)
class Cell:
    """A value with what belongs to it; prints as ``0.776 [0.70, 0.82]*``.

    Attributes:
        value: nan prints as `note` where there is one.
        low: lower end of the interval; left out where either is None or nan.
        high: upper end of it.
        mark: appended, such as ``*`` for "not distinguishable from the best".
        note: why there is no value, such as ``constant``.
    """

    value: Value
    low: float | None = None
    high: float | None = None
    mark: str = ""
    note: str = ""


Row: TypeAlias = Mapping[str, Value | Cell]

_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "\n": " ",
}


def _cell(row: Row, column: Column) -> Cell:
    given = row.get(column.name)
    return given if isinstance(given, Cell) else Cell(given)


def _missing(value: Value) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _number(value: float, digits: int) -> str:
    text = f"{value:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text  # no "-0.000"


def _value_text(cell: Cell, digits: int) -> str:
    if _missing(cell.value):
        return cell.note or ("" if cell.value is None else "nan")
    if isinstance(cell.value, float):
        return _number(cell.value, digits)
    return str(cell.value)


def _interval_text(cell: Cell, digits: int) -> str:
    if _missing(cell.value) or cell.low is None or cell.high is None or math.isnan(cell.low) or math.isnan(cell.high):
        return ""
    fewer = max(digits - 1, 0)
    return f" [{_number(cell.low, fewer)}, {_number(cell.high, fewer)}]"


def cell_text(cell: Cell, digits: int) -> str:
    """A cell as tables print it: ``0.776 [0.70, 0.82]*``."""
    return _value_text(cell, digits) + _interval_text(cell, digits) + cell.mark


def _best_text(rows: Sequence[Row], column: Column) -> str | None:
    """The best value of a column as it is printed: values that print alike are equally best."""
    values = [_cell(row, column).value for row in rows]
    numbers = [float(v) for v in values if isinstance(v, int | float) and not _missing(v)]
    if column.better is None or not numbers:
        return None
    best = max(numbers) if column.better == "higher" else min(numbers)
    shown = next(v for v in values if isinstance(v, int | float) and v == best)
    return _value_text(Cell(shown), column.digits)


def _plain(value: object) -> str:
    """Full precision: the shortest decimal that reads back as the same number."""
    return "" if value is None else repr(float(value)) if isinstance(value, float) else str(value)


def to_csv(rows: Sequence[Row], columns: Sequence[Column]) -> str:
    r"""Comma-separated text with full precision.

    A column with an interval in any row becomes ``name``, ``name_low``, ``name_high``; one with a mark or a note gets
    ``name_mark`` or ``name_note``. A missing value is empty, nan is ``nan``. Lines end in ``\\n``.

    Args:
        rows: column name to value or `Cell`; names that are no column are left out.
        columns: in the order wanted.
    """
    header: list[str] = []
    lines: list[list[str]] = [[] for _ in rows]
    for column in columns:
        cells = [_cell(row, column) for row in rows]
        parts: list[tuple[str, list[object]]] = [(column.name, [cell.value for cell in cells])]
        if any(cell.low is not None or cell.high is not None for cell in cells):
            parts += [(f"{column.name}_low", [c.low for c in cells]), (f"{column.name}_high", [c.high for c in cells])]
        if any(cell.mark for cell in cells):
            parts.append((f"{column.name}_mark", [cell.mark for cell in cells]))
        if any(cell.note for cell in cells):
            parts.append((f"{column.name}_note", [cell.note for cell in cells]))
        for name, values in parts:
            header.append(name)
            for line, value in zip(lines, values, strict=True):
                line.append(_plain(value))
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *lines])
    return text.getvalue()


def to_markdown(rows: Sequence[Row], columns: Sequence[Column]) -> str:
    """A GitHub table, padded so that it reads as plain text too; columns of numbers are right-aligned.

    Args:
        rows: as `to_csv`.
        columns: as `to_csv`.
    """

    def clean(text: str) -> str:
        return text.replace("|", "\\|").replace("\n", " ")

    def text(row: Row, column: Column) -> str:
        return clean(cell_text(_cell(row, column), column.digits))

    body = [[clean(column.header) for column in columns]]
    body += [[text(row, column) for column in columns] for row in rows]
    widths = [max(3, *(len(line[k]) for line in body)) for k in range(len(columns))]
    right = [_is_numeric(rows, column) for column in columns]
    rule = ["-" * (width - 1) + ":" if r else "-" * width for width, r in zip(widths, right, strict=True)]

    def line_text(cells: Sequence[str]) -> str:
        padded = [c.rjust(w) if r else c.ljust(w) for c, w, r in zip(cells, widths, right, strict=True)]
        return "| " + " | ".join(padded) + " |"

    return "\n".join(line_text(line) for line in (body[0], rule, *body[1:])) + "\n"


def to_latex(rows: Sequence[Row], columns: Sequence[Column]) -> str:
    r"""A booktabs `tabular` (needs ``\\usepackage{booktabs}``), text escaped, the best value of a column in bold.

    Values that print alike are equally best. Only the value is bold, not its interval.

    Args:
        rows: as `to_csv`.
        columns: as `to_csv`.
    """

    def escape(text: str) -> str:
        return "".join(_LATEX.get(character, character) for character in text)

    best = [_best_text(rows, column) for column in columns]

    def text(row: Row, column: Column, best_text: str | None) -> str:
        cell = _cell(row, column)
        shown = _value_text(cell, column.digits)
        is_best = isinstance(cell.value, int | float) and not _missing(cell.value) and shown == best_text
        value = rf"\textbf{{{escape(shown)}}}" if is_best else escape(shown)
        return value + escape(_interval_text(cell, column.digits)) + escape(cell.mark)

    lines = [
        rf"\begin{{tabular}}{{{''.join('r' if _is_numeric(rows, column) else 'l' for column in columns)}}}",
        r"\toprule",
        " & ".join(escape(column.header) for column in columns) + r" \\",
        r"\midrule",
    ]
    for row in rows:
        cells = [text(row, column, shown) for column, shown in zip(columns, best, strict=True)]
        lines.append(" & ".join(cells) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def _is_numeric(rows: Sequence[Row], column: Column) -> bool:
    values = [_cell(row, column).value for row in rows]
    return any(isinstance(v, int | float) for v in values) and not any(isinstance(v, str) for v in values)
