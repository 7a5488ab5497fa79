"""Tables as text."""

from __future__ import annotations

import csv
import io
import math

import pytest

from semfid.stats.tables import Cell, Column, to_csv, to_latex, to_markdown

COLUMNS = [
    Column("name", "variant"),
    Column("srcc", "SRCC", 3, "higher"),
    Column("mse", "MSE", 4, "lower"),
    Column("n", "pairs", 0, None),
]
ROWS = [
    {"name": "clip_50% | a", "srcc": Cell(0.7761, 0.7012, 0.8188, "*"), "mse": 0.01234, "n": 60},
    {"name": "resnet", "srcc": Cell(0.72, 0.55, 0.83), "mse": 0.01191, "n": 60},
    {"name": "dead", "srcc": Cell(math.nan, math.nan, math.nan, note="constant"), "mse": None, "n": 60},
]


def test_markdown() -> None:
    assert to_markdown(ROWS, COLUMNS) == (
        "| variant       |                SRCC |    MSE | pairs |\n"
        "| ------------- | ------------------: | -----: | ----: |\n"
        "| clip_50% \\| a | 0.776 [0.70, 0.82]* | 0.0123 |    60 |\n"
        "| resnet        |  0.720 [0.55, 0.83] | 0.0119 |    60 |\n"
        "| dead          |            constant |        |    60 |\n"
    )


def test_latex() -> None:
    assert to_latex(ROWS, COLUMNS) == (
        "\\begin{tabular}{lrrr}\n"
        "\\toprule\n"
        "variant & SRCC & MSE & pairs \\\\\n"
        "\\midrule\n"
        "clip\\_50\\% \\textbar{} a & \\textbf{0.776} [0.70, 0.82]* & 0.0123 & 60 \\\\\n"
        "resnet & 0.720 [0.55, 0.83] & \\textbf{0.0119} & 60 \\\\\n"
        "dead & constant &  & 60 \\\\\n"
        "\\bottomrule\n"
        "\\end{tabular}\n"
    )


def test_csv_reads_back_with_full_precision() -> None:
    rows = [
        {"name": 'a,"b"\nc', "srcc": Cell(1 / 3, 0.1 + 0.2, 2 / 3, "*"), "mse": 1e-17, "n": 3},
        {"name": "d", "srcc": Cell(math.nan, note="constant"), "mse": None},
    ]
    first, second = csv.DictReader(io.StringIO(to_csv(rows, COLUMNS)))
    assert list(first) == ["name", "srcc", "srcc_low", "srcc_high", "srcc_mark", "srcc_note", "mse", "n"]
    assert first["name"] == 'a,"b"\nc'
    assert (float(first["srcc"]), float(first["srcc_low"]), float(first["srcc_high"])) == (1 / 3, 0.1 + 0.2, 2 / 3)
    assert float(first["mse"]) == 1e-17 and first["n"] == "3" and first["srcc_mark"] == "*"
    assert math.isnan(float(second["srcc"])) and second["srcc_note"] == "constant"
    assert (second["srcc_low"], second["mse"], second["n"]) == ("", "", "")


def test_csv_of_plain_values_has_no_extra_columns() -> None:
    assert to_csv([{"name": "a", "srcc": 0.5, "other": 1}], COLUMNS[:2]) == "name,srcc\na,0.5\n"
    assert to_csv([], COLUMNS[:2]) == "name,srcc\n"


def test_values_that_print_alike_are_equally_bold() -> None:
    column = Column("srcc", "SRCC", 2, "higher")
    text = to_latex([{"srcc": 0.7761}, {"srcc": 0.7799}, {"srcc": 0.77}, {"srcc": math.nan}], [column])
    assert text.count(r"\textbf{0.78}") == 2 and text.count("textbf") == 2
    lower = to_latex([{"srcc": 2}, {"srcc": 10}], [Column("srcc", "n", 0, "lower")])
    assert r"\textbf{2}" in lower and r"\textbf{10}" not in lower
    assert "textbf" not in to_latex([{"srcc": 0.5}], [Column("srcc", "SRCC", 2)])
    assert "textbf" not in to_latex([{"srcc": math.nan}], [column])


@pytest.mark.parametrize(("value", "shown"), [(-0.0001, "0.000"), (-0.5, "-0.500"), (math.nan, "nan"), (0.0, "0.000")])
def test_numbers(value: float, shown: str) -> None:
    assert to_markdown([{"x": value}], [Column("x", "x")]).splitlines()[2].strip("| ") == shown


def test_latex_escapes_everything() -> None:
    text = to_latex([{"x": "\\{}&%$#_~^<>|"}], [Column("x", "x")])
    assert r"\textbackslash{}\{\}\&\%\$\#\_\textasciitilde{}\textasciicircum{}" in text
    assert r"}\textless{}\textgreater{}\textbar{} \\" in text


def test_no_rows() -> None:
    assert to_markdown([], COLUMNS[:2]) == "| variant | SRCC |\n| ------- | ---- |\n"
