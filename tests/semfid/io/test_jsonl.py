"""Ledgers of JSON lines: what a killed process and a full disk leave."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from semfid.errors import UserError
from semfid.io.jsonl import JsonLines, SharedLines, append_lines, repair, whole_lines


@pytest.mark.parametrize("tail", [b"", b'{"a": ', b"x" * 200_000])
def test_an_unfinished_line_does_not_count_and_is_cut_off(tmp_path: Path, tail: bytes) -> None:
    path = tmp_path / "a.jsonl"
    whole = b"".join(json.dumps({"n": n}).encode() + b"\n" for n in range(20_000))
    path.write_bytes(whole + tail)
    lines = list(whole_lines(path))
    assert [json.loads(line)["n"] for _, line in lines] == list(range(20_000))
    assert all(whole[start : start + len(line)] == line for start, line in lines[::999])
    repair(path)
    assert path.read_bytes() == whole


def test_a_file_of_one_unfinished_line_is_emptied(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"x" * 100_000)
    repair(path)
    assert path.read_bytes() == b""
    repair(tmp_path / "none.jsonl")
    assert list(whole_lines(tmp_path / "none.jsonl")) == []


def test_lines_are_added_where_the_file_ends(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.jsonl"
    assert [append_lines(path, b"one\n"), append_lines(path, b"two\nthree\n", wait=True)] == [0, 4]
    assert path.read_bytes() == b"one\ntwo\nthree\n"


def test_a_full_disk_leaves_no_part_of_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = JsonLines(tmp_path / "a.jsonl")
    lines.append([{"n": 1}])

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        UserError, match=r"cannot write .*a\.jsonl: No space left on device; free some space or set folder="
    ):
        lines.append([{"n": 2}])
    assert lines.read() == [{"n": 1}]
    assert lines.path.read_bytes() == b'{"n": 1}\n'


def test_a_line_of_another_kind_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    for second, fault in (("[1]", "not a JSON object"), ("{", "not JSON")):
        path.write_text(f'{{"a": 1}}\n{second}\n')
        with pytest.raises(UserError, match=rf"a\.jsonl, line 2: {fault}.*remove the line"):
            JsonLines(path).read()


def test_many_writers_share_a_folder(tmp_path: Path) -> None:
    writers = [SharedLines(tmp_path, "x-") for _ in range(3)]
    for number, writer in enumerate(writers):
        writer.append([{"writer": number}])
    assert sorted(line["writer"] for line in writers[0].read()) == [0, 1, 2]
    assert SharedLines(tmp_path, "y-").read() == []
