"""Ten dialects of CSV, and what cannot be a table, through every reader of tables that people bring."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from data_tools.builders.core.importing import Findings, _metrics
from data_tools.builders.core.photo_folder import PhotoSettings, Scores
from datamodules.sources.inpainting_folder import _read
from datamodules.sources.sr_outputs import read_cosine_table
from datamodules.sources.user_study import count_answers, read_scores
from datamodules.splits import SplitConfig, split_table
from registry import DATAMODULES
from semfid.errors import ImageError, UserError
from semfid.io.file_pairs import read_pair_table
from semfid.io.images import read_image
from semfid.io.pair_table import PairTable, read_frame, read_pairs
from semfid.io.tables import HINT, parse_table, read_table
from user_study.imports.sources import ImportOptions, find_pairs

Rows = list[list[str]]
# what another program takes for a gap, a number, a date; one with a comma, a quote and a separator of other dialects
NAMES = ["NA", "null", "007", "1e5", "None", "nan", "TRUE", "2024-05-03", 'a, "b"; c', "Zürich"]


def written(rows: Rows, separator: str = ",", end: str = "\n", before: str = "") -> str:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=separator, lineterminator=end)
    writer.writerows(rows)
    return before + text.getvalue()


def spaced(rows: Rows) -> str:
    """A blank behind each comma, as people type them."""
    return "".join(", ".join(f'"{value.replace(chr(34), chr(34) * 2)}"' for value in row) + "\n" for row in rows)


def with_backslashes(rows: Rows) -> str:
    return written([[value.replace("/", "\\") for value in row] for row in rows])


def trailing(rows: Rows) -> str:
    lines = written(rows).splitlines()
    return "\n".join([lines[0], *(f"{line}," for line in lines[1:])]) + "\n"


DIALECTS: dict[str, Callable[[Rows], bytes]] = {
    "plain": lambda rows: written(rows).encode(),
    "byte order mark and CRLF": lambda rows: b"\xef\xbb\xbf" + written(rows, end="\r\n").encode(),
    "CR": lambda rows: written(rows, end="\r").encode(),
    "semicolons": lambda rows: written(rows, ";").encode(),
    "tabs": lambda rows: written(rows, "\t").encode(),
    "sep=": lambda rows: written(rows, ";", "\r\n", "sep=;\r\n").encode("utf-8-sig"),
    "blanks behind commas": lambda rows: spaced(rows).encode(),
    "backslashes": lambda rows: with_backslashes(rows).encode(),
    "commas at the end of rows": lambda rows: trailing(rows).encode(),
    "commas at the end of all": lambda rows: written([[*row, ""] for row in rows]).encode(),
    "empty rows": lambda rows: written(
        [[], rows[0], ["" for _ in rows[0]], *rows[1:], ["" for _ in rows[0]], [], []]
    ).encode(),
    "UTF-16": lambda rows: written(rows, "\t").encode("utf-16"),
    "UTF-16, big end first": lambda rows: b"\xfe\xff" + written(rows).encode("utf-16-be"),
}
REFUSED: dict[str, tuple[Callable[[Rows], bytes], str]] = {
    "nothing": (lambda rows: b"", "it is empty|it has none"),
    "cp1252": (lambda rows: written(rows).encode("cp1252"), r"row \d+ is not UTF-8"),
    "UTF-16 without a mark": (lambda rows: written(rows).encode("utf-16-le"), "UTF-16 without a mark"),
    "UTF-16 cut short": (lambda rows: written(rows).encode("utf-16")[:-1], "is not UTF-16"),
    "a workbook": (lambda rows: b"PK\x03\x04" + bytes(range(256)), "it is a workbook"),
    "packed and cut short": (lambda rows: b"\x1f\x8b\x08" + bytes(9), "cannot be read as a table"),
    "a value too many": (lambda rows: written([*rows[:2], [*rows[2], "x"], *rows[3:]]).encode(), "row 3 has"),
    "a row cut short": (lambda rows: written([*rows[:2], rows[2][:-1], *rows[3:]]).encode(), "row 3 has"),
    "a comma without quotes": (lambda rows: written(rows).replace('"', "").encode(), r"row \d+ has"),
    "a quote that stays open": (lambda rows: written([*rows, rows[1]]).encode() + b'"a', "unexpected end of data"),
    "the head again": (lambda rows: written([*rows, rows[0]]).encode(), "is the head again"),
    "a column twice": (lambda rows: written([[*row, row[0]] for row in rows]).encode(), "has the column .* twice"),
}


@dataclass(frozen=True)
class Reader:
    """A reader of tables: the rows that it is given, and what it makes of a file, as something that can be compared."""

    rows: Rows
    read: Callable[[Path], Any]


def stems(names: list[str]) -> list[str]:
    """File names that hold no separator of folders."""
    return [f"{name}.png" for name in names]


def _pairs(path: Path) -> Any:
    return read_pairs(path).frame.to_dict("records")


def _split(path: Path) -> Any:
    import pandas as pd

    rows = {"pair_id": NAMES, "source_id": NAMES, "reference": stems(NAMES), "candidate": stems(NAMES)}
    table = PairTable(pd.DataFrame(rows), path.parent, "pairs")
    return split_table(table, SplitConfig(file=str(path)))[0].frame[["pair_id", "split"]].to_numpy().tolist()


def _captions(path: Path) -> Any:
    table = DATAMODULES.build("captions", table=str(path)).load_images()
    return list(table.paths), list(table.captions)


def _photo_scores(path: Path) -> Any:
    return Scores(PhotoSettings(folder=str(path.parent), scores=str(path))).rows


def _metrics_file(path: Path) -> Any:
    findings = Findings()
    found = _metrics(path.parent, findings)
    if findings.ignored:
        raise UserError(findings.ignored[0])
    return found


def _study(path: Path) -> Any:
    work = path.parent / "work"
    work.mkdir(exist_ok=True)
    found, remarks = find_pairs([path], ImportOptions(), work)
    return [(one.key, one.source, one.reference_name, one.truth) for one in found], remarks


PAIR_ROWS = [["pair_id", "source_id", "reference", "candidate", "difference"]] + [
    [name, name, f"HQ/{index}.png", f"SR/{index}.png", f"{index / 10}"] for index, name in enumerate(NAMES)
]
READERS = {
    "pairs": Reader(PAIR_ROWS, _pairs),
    "score --pairs": Reader(PAIR_ROWS, lambda path: read_pair_table(path).pairs),
    "study import": Reader(PAIR_ROWS, _study),
    "split.csv": Reader(
        [["pair_id", "split"]] + [[name, ["train", "val", "test"][i % 3]] for i, name in enumerate(NAMES)], _split
    ),
    "answers": Reader(
        [["User Code", "Ground Truth Image", "Super Resolution Image", "Answer", "Timestamp"]]
        + [[name, "0.png", f"SR/SwinIR_{i // 2}.png", "Yes", "2024-05-03 10:02:00"] for i, name in enumerate(NAMES)],
        lambda path: count_answers(path, NAMES[:3]).to_dict("records"),
    ),
    "scores of pairs": Reader(
        [["img_names", "userStudyScores"]] + [[f"{name}_{i}.png", f"{i / 10}"] for i, name in enumerate(NAMES)],
        lambda path: read_scores(path).to_dict("records"),
    ),
    "captions": Reader([["path", "caption"]] + [[f"HQ/{i}.png", name] for i, name in enumerate(NAMES)], _captions),
    "inpainting folder": Reader(
        [["gt_image_path", "bbox"]] + [[f"HQ/{i}.png", name] for i, name in enumerate(NAMES)],
        lambda path: _read(path, ("gt_image_path",)).to_numpy().tolist(),
    ),
    "scores of photos": Reader(
        [["image_name", "MOS", "set"]] + [[f"{name}.png", f"{i}.5", "training"] for i, name in enumerate(NAMES)],
        _photo_scores,
    ),
    "metrics.csv": Reader([["file", "lpips"]] + [[f"{i}.png", f"{i / 10}"] for i in range(10)], _metrics_file),
    "cosine maps": Reader(
        [["img_a_pth", "img_b_pth", "out_paths", "difference"]]
        + [[f"HQ/{i}.png", f"SR/{i}.png", f"maps/{i}.npy", "0.5"] for i in range(10)],
        lambda path: read_cosine_table(path).frame.to_dict("records"),
    ),
    "frame": Reader(PAIR_ROWS, lambda path: read_frame(path).to_dict("records")),
}
"""Every reader of tables of people, by what it reads."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Small photos, outputs and maps for the readers that look whether files are there."""
    for side in ("HQ", "SR", "."):
        (tmp_path / side).mkdir(exist_ok=True)
        for index in range(10):
            Image.new("RGB", (8, 8), (index, 0, 0)).save(tmp_path / side / f"{index}.png")
    (tmp_path / "maps").mkdir()
    for index in range(10):
        np.save(tmp_path / "maps" / f"{index}.npy", np.ones((8, 8), np.float32))
    return tmp_path


def put(folder: Path, reader: str, content: bytes) -> Path:
    path = folder / ("metrics.csv" if reader == "metrics.csv" else "table.csv")
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("reader", READERS)
def test_every_dialect_means_the_same(folder: Path, reader: str) -> None:
    own = READERS[reader]
    expected = own.read(put(folder, reader, DIALECTS["plain"](own.rows)))
    for name, write in DIALECTS.items():
        if name == "backslashes" and reader in ("frame", "inpainting folder"):
            continue  # which of their columns are paths, their callers know
        assert own.read(put(folder, reader, write(own.rows))) == expected, name


@pytest.mark.parametrize("reader", READERS)
def test_what_is_no_table_is_refused_in_one_line_that_names_the_fix(folder: Path, reader: str) -> None:
    own = READERS[reader]
    for name, (write, says) in REFUSED.items():
        if name in ("cp1252", "a comma without quotes") and reader in ("metrics.csv", "cosine maps"):
            continue  # their rows hold neither
        path = put(folder, reader, write(own.rows))
        with pytest.raises((UserError, UserError), match=rf"(?s)(table|metrics)\.csv.*({says})") as error:
            own.read(path)
        assert "\n" not in str(error.value), name
        assert HINT in str(error.value) or any(word in str(error.value) for word in ("again", "rename")), name


def test_ids_stay_text(folder: Path) -> None:
    frame = read_pairs(put(folder, "pairs", DIALECTS["semicolons"](PAIR_ROWS))).frame
    assert frame["pair_id"].tolist() == frame["source_id"].tolist() == NAMES
    assert frame["difference"].tolist() == [index / 10 for index in range(10)]


@pytest.mark.parametrize("reader", ["pairs", "score --pairs", "study import"])
def test_a_table_of_another_separator_is_given_the_hint(folder: Path, reader: str) -> None:
    with pytest.raises((UserError, UserError), match="lacks the column pair_id") as error:
        READERS[reader].read(put(folder, reader, written(PAIR_ROWS).replace(",", " ").replace('"', "").encode()))
    assert HINT in str(error.value)


def test_a_name_with_a_backslash_is_that_file_where_it_is_there(folder: Path) -> None:
    (folder / "HQ\\0.png").write_bytes((folder / "HQ" / "1.png").read_bytes())
    frame = read_pairs(put(folder, "pairs", DIALECTS["backslashes"](PAIR_ROWS))).frame
    assert frame["reference"].tolist()[:2] == ["HQ\\0.png", "HQ/1.png"]


def test_rows_are_numbered_as_in_the_file(tmp_path: Path) -> None:
    table = parse_table(b"sep=;\n\na;b\n1;2\n;\n\n3;4\n", "t.csv")
    assert (table.columns, table.rows, table.numbers) == (("a", "b"), [["1", "2"], ["3", "4"]], [4, 7])
    with pytest.raises(UserError, match=r"t\.csv, row 4 has 3 values and the head 2 names"):
        parse_table(b"a,b\n\n1,2\n1,2,3\n", "t.csv")
    with pytest.raises(UserError, match=r"t\.csv, row 3 has 2 values and the head 2 names, the other rows 3 values"):
        parse_table(b"a,b\n1,2,\n12,\n3,4,\n", "t.csv")  # the comma between 1 and 2 is lost


@pytest.mark.parametrize(
    ("content", "columns", "rows"),
    [
        (b"a,b;c\n1,2;3\n", ("a", "b;c"), [["1", "2;3"]]),  # a comma where it could be one
        (b"a;b;c, d\n1;2;3\n", ("a", "b", "c, d"), [["1", "2", "3"]]),
        (b"a|b\n1|x,y\n", ("a", "b"), [["1", "x,y"]]),
        (b",a\n0,x\n1,y\n", ("Unnamed: 0", "a"), [["0", "x"], ["1", "y"]]),  # an index that pandas wrote
        (b'a,b\n" x","y\r\nz"\n', ("a", "b"), [[" x", "y\r\nz"]]),  # values as they are
        (b" a , b\n 1 , 2\n", ("a", "b"), [["1", "2"]]),
        (b"a\n1\n\n2\n", ("a",), [["1"], ["2"]]),
        (b"a,b", ("a", "b"), []),
    ],
)
def test_what_stands_in_a_table(content: bytes, columns: tuple[str, ...], rows: Rows) -> None:
    table = parse_table(content, "t.csv")
    assert (table.columns, table.rows) == (columns, rows)
    again = parse_table(table.as_csv().encode(), "t.csv")
    assert (again.columns, again.rows) == (columns, rows)


def test_a_packed_table_is_unpacked(tmp_path: Path) -> None:
    import gzip

    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(b"a,b\n1,2\n"))
    assert read_table(tmp_path / "t.csv.gz").rows == [["1", "2"]]


@pytest.mark.parametrize("name", ["a\0b.png", "a" * 5_000 + ".png", "", "HQ"])
def test_a_path_that_leads_to_no_image_is_named(folder: Path, name: str) -> None:
    with pytest.raises(ImageError, match=folder.name):
        read_image(folder / name)
