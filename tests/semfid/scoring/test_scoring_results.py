"""Three formats with one content, and a journal that a cut-off scoring goes on from."""

from __future__ import annotations

import csv
import json
import os
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet
import pytest
from scoring_support import ToyScorer, write_folders, write_picture

import semfid.scoring.results as module
from semfid.errors import UserError
from semfid.io.file_pairs import FilePair, pair_files
from semfid.scoring.folder import Scored
from semfid.scoring.regions import Region
from semfid.scoring.results import COLUMNS, ENDINGS, Journal, Method, row_of, signature
from semfid.scoring.score_settings import settings_for

METHOD = Method("toys/toy", "abc", "64x64 squash", "32")
NATIVE = Method("toys/toy", "abc", "native", "32")


@pytest.fixture
def pairs(tmp_path: Path) -> list[FilePair]:
    """Four pairs whose files are older than anything that a test writes."""
    found = pair_files(*write_folders(tmp_path, 2, ("A", 'B, "ü"'))).pairs
    for path in (tmp_path / "HQ").iterdir():
        os.utime(path, (1e9, 1e9))
    for path in (tmp_path / "SR").iterdir():
        os.utime(path, (1e9, 1e9))
    return found


REGION = ("x", "y", "width", "height", "share")


def scored(pairs: list[FilePair], method: Method = METHOD) -> list[dict[str, Any]]:
    """Rows as the command makes them; the first has a map's regions, the last one failed."""
    found = [[Region(3, 4, 20, 10, 0.25), Region(40, 4, 9, 8, 0.125)], [], []]
    rows = [
        row_of(Scored(pair, 0.1 * n + 1 / 3, width=60, height=50), method, f"word {n}", found[n])
        for n, pair in enumerate(pairs[:-1])
    ]
    return [*rows, row_of(Scored(pairs[-1], error='it has "no", pixels\nat all'), method)]


def read(path: Path) -> pd.DataFrame:
    """With none of the code under test."""
    if path.suffix == ".csv":
        with path.open(newline="", encoding="utf-8") as file:
            rows: list[dict[str, Any]] = list(csv.DictReader(file))
        for row in rows:
            row["difference"] = float(row["difference"]) if row["difference"] else None
    elif path.suffix == ".json":
        content = json.loads(path.read_text(encoding="utf-8"))
        rows = [{**pair, **content["method"]} for pair in content["pairs"]]
        for row in rows:
            row["regions"] = "; ".join(" ".join(str(one[key]) for key in REGION) for one in row["regions"])
    else:
        rows = pyarrow.parquet.read_table(path).to_pylist()
    return pd.DataFrame(rows, columns=list(COLUMNS))


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("method", [METHOD, NATIVE], ids=["squash", "native"])
def test_every_format_holds_the_same(tmp_path: Path, pairs: list[FilePair], ending: str, method: Method) -> None:
    out = tmp_path / "deep" / f"scores{ending}"
    rows = scored(pairs, method)
    Journal(out, method).finish(rows, ["a.png"], ["b.png"])
    pd.testing.assert_frame_equal(read(out), pd.DataFrame(rows, columns=list(COLUMNS)), check_exact=True)
    table = read(out)
    assert set(table["size"]) == {"", "64x64 squash" if method is METHOD else "60x50 native"}
    assert set(table["run"]) == {"toys/toy"} and set(table["weights"]) == {"abc"}
    assert [path.name for path in out.parent.iterdir()] == [out.name], "nothing else is left"
    if ending == ".json":
        content = json.loads(out.read_text())
        assert (content["missing"], content["extra"]) == (["a.png"], ["b.png"])
    if ending == ".parquet":
        assert str(pyarrow.parquet.read_schema(out).field("difference").type) == "double"


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_finished_file_serves_again(tmp_path: Path, pairs: list[FilePair], ending: str) -> None:
    out = tmp_path / f"scores{ending}"
    for method in (METHOD, NATIVE):
        rows = scored(pairs, method)
        Journal(out, method).finish(rows, [], [])
        again = Journal(out, method)
        assert [again.known(pair) for pair in pairs] == [*rows[:-1], None], "failures are tried again"
        again.finish(rows, [], [])
        assert read(out)["difference"].tolist()[:-1] == [row["difference"] for row in rows[:-1]]
        out.unlink()


@pytest.mark.parametrize("finished", [True, False])
@pytest.mark.parametrize(
    "other",
    [
        Method("toys/another", "abc", "64x64 squash", "32"),
        Method("toys/toy", "def", "64x64 squash", "32"),
        Method("toys/toy", "abc", "96x96 squash", "32"),
        Method("toys/toy", "abc", "64x64 letterbox", "32"),
        Method("toys/toy", "abc", "native", "32"),
        Method("toys/toy", "abc", "64x64 squash", "bf16"),
    ],
    ids=["run", "weights", "size", "resize", "native", "precision"],
)
def test_rows_of_another_method_are_not_mixed_in(
    tmp_path: Path, pairs: list[FilePair], other: Method, finished: bool
) -> None:
    out = tmp_path / "scores.csv"
    journal = Journal(out, other)
    for pair, row in zip(pairs, scored(pairs, other), strict=True):
        journal.add(pair, row)
    if finished:
        journal.finish(scored(pairs, other), [], [])
    fresh = Journal(out, METHOD)
    assert [fresh.known(pair) for pair in pairs] == [None] * 4
    fresh.add(pairs[0], scored(pairs)[0])
    assert Journal(out, METHOD).known(pairs[0]) is not None
    assert Journal(out, METHOD).known(pairs[1]) is None


def test_a_journal_is_read_back_though_its_last_line_is_torn(tmp_path: Path, pairs: list[FilePair]) -> None:
    out, rows = tmp_path / "scores.csv", scored(pairs)
    journal = Journal(out, METHOD)
    for pair, row in zip(pairs, rows, strict=True):
        journal.add(pair, row)  # and the process dies: no finish
    partial = tmp_path / "scores.csv.partial"
    assert not out.exists() and len(partial.read_text().splitlines()) == 1 + 4
    content = partial.read_bytes()
    last = content.rstrip(b"\n").rfind(b"\n") + 1
    for cut in (last + 1, (last + len(content)) // 2, len(content) - 3):  # within the line of the failed pair
        partial.write_bytes(content[:cut])
        assert [Journal(out, METHOD).known(pair) for pair in pairs] == [*rows[:3], None]
    third = content[:last].rstrip(b"\n").rfind(b"\n") + 1
    partial.write_bytes(content[: third + 40])
    resumed = Journal(out, METHOD)
    assert [resumed.known(pair) for pair in pairs] == [rows[0], rows[1], None, None]
    resumed.add(pairs[2], rows[2])  # a torn line must not swallow the one that comes after it
    assert [Journal(out, METHOD).known(pair) for pair in pairs] == [*rows[:3], None]


def test_a_pair_whose_files_changed_is_not_known(tmp_path: Path, pairs: list[FilePair]) -> None:
    out, rows = tmp_path / "scores.csv", scored(pairs)
    journal = Journal(out, METHOD)
    for pair, row in zip(pairs, rows, strict=True):
        journal.add(pair, row)
    write_picture(pairs[1].candidate, 77, changed=5)
    known = [Journal(out, METHOD).known(pair) is not None for pair in pairs]
    assert known == [True, False, True, False]
    os.utime(pairs[0].reference, (1.1e9, 1.1e9))  # the reference of the first two
    assert [Journal(out, METHOD).known(pair) is not None for pair in pairs] == [False, False, True, False]
    pairs[2].candidate.unlink()
    assert Journal(out, METHOD).known(pairs[2]) is None


def test_a_finished_file_knows_changes_by_their_time(tmp_path: Path, pairs: list[FilePair]) -> None:
    out, rows = tmp_path / "scores.csv", scored(pairs)
    Journal(out, METHOD).finish(rows, [], [])
    later = time.time() + 5
    os.utime(pairs[0].candidate, (later, later))
    fresh = Journal(out, METHOD)
    assert fresh.known(pairs[0]) is None and fresh.known(pairs[1]) == rows[1]


def test_the_same_name_for_other_files_is_not_known(tmp_path: Path, pairs: list[FilePair]) -> None:
    out = tmp_path / "scores.csv"
    Journal(out, METHOD).finish(scored(pairs), [], [])
    moved = FilePair(pairs[0].pair_id, pairs[0].reference, pairs[1].candidate)
    assert Journal(out, METHOD).known(moved) is None
    assert signature(FilePair("x", tmp_path / "gone.png", pairs[0].candidate)) == ""


@pytest.mark.parametrize("partial", [False, True], ids=["", "beside a journal"])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("notes.csv", b"name,age\nAnn,3\n"),
        ("data.json", b'{"a": 1}'),
        ("list.json", b"[1, 2]"),
        ("torn.json", b'{"method": '),
        ("x.parquet", b"PAR1 not really"),
        ("latin.csv", "pair_id\nü\n".encode("latin-1")),
        ("few.csv", b"pair_id,difference\np,0.5\n"),
        ("words.csv", b"pair_id,difference\np,much\n"),
    ],
)
def test_a_strangers_file_is_refused_and_left_alone(
    tmp_path: Path, pairs: list[FilePair], name: str, content: bytes, partial: bool
) -> None:
    out = tmp_path / name
    if partial:
        Journal(out, METHOD).add(pairs[0], scored(pairs)[0])
    out.write_bytes(content)
    with pytest.raises(UserError, match=r"exists and holds no scores; choose another file") as caught:
        Journal(out, METHOD)
    assert name in str(caught.value) and out.read_bytes() == content


def test_a_stranger_without_rows_is_refused_too(tmp_path: Path) -> None:
    for name, content in (("head.csv", b"name,age\n"), ("thesis.csv", b"only words\n")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match="exists and holds no scores"):
            Journal(tmp_path / name, METHOD)


@pytest.mark.parametrize("name", ["scores", "scores.xlsx", "scores.csv.gz"])
def test_endings(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=r"the ending must be one of \.csv, \.json, \.parquet"):
        Journal(tmp_path / name, METHOD)


def test_places_that_cannot_be_written(tmp_path: Path, pairs: list[FilePair]) -> None:
    (tmp_path / "file").touch()
    journal = Journal(tmp_path / "file" / "scores.csv", METHOD)
    with pytest.raises(UserError, match="cannot write"):
        journal.add(pairs[0], scored(pairs)[0])
    with pytest.raises(UserError, match="cannot write"):
        journal.finish(scored(pairs), [], [])
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(UserError, match="cannot write"):
        Journal(tmp_path / "folder.csv", METHOD).finish(scored(pairs), [], [])


def test_parquet_without_its_package(tmp_path: Path, pairs: list[FilePair], monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(UserError, match="Parquet needs the package pyarrow"):
        Journal(tmp_path / "scores.parquet", METHOD).finish(scored(pairs), [], [])


def test_names_that_are_not_unicode(tmp_path: Path) -> None:
    """Such files exist on Linux; what their scores are written to can be read back."""
    name = os.fsdecode(b"caf\xe9.png")
    pair = FilePair(name[:-4], write_picture(tmp_path / "HQ" / name, 0), write_picture(tmp_path / "SR" / name, 0))
    for path in (pair.reference, pair.candidate):
        os.utime(path, (1e9, 1e9))
    for ending in (".csv", ".json"):
        out = tmp_path / f"scores{ending}"
        row = row_of(Scored(pair, 0.5), METHOD)
        journal = Journal(out, METHOD)
        journal.add(pair, row)
        assert Journal(out, METHOD).known(pair) == row
        journal.finish([row], [], [])
        assert Journal(out, METHOD).known(pair) == row
    Journal(tmp_path / "scores.parquet", METHOD).finish([row], [], [])
    assert pyarrow.parquet.read_table(tmp_path / "scores.parquet")["pair_id"].to_pylist() == ["caf\ufffd"]


def test_the_method_says_how_images_were_brought_to_size() -> None:
    def of(size: str, **facts: Any) -> Method:
        scorer = ToyScorer(**facts)
        return Method.of(scorer.facts, settings_for(scorer, size, "32", "cpu", False))

    assert of("train") == Method("toys/toy", "0" * 16, "64x64 squash", "32")
    assert of("96", resize="letterbox").size == "96x96 letterbox"
    assert of("native").size == "native" == of("train", resize="none").size
    assert module.DECODER in METHOD.words(), "rows by other decoding rules are not mixed in"
