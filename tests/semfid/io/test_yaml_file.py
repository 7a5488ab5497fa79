"""One reader of YAML: a key that stands twice is refused in every room, and what is no mapping is named in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from data_tools.builders.inpainting.config import InpaintingConfig
from engine.commands.label_settings import MapSettings
from engine.config.reading import load_experiment
from semfid.errors import UserError
from semfid.io.yaml_file import read_mapping
from semfid.settings import read_settings
from user_study.core.settings import read_settings as read_study

READERS: dict[str, Callable[[Path], object]] = {
    "mapping": read_mapping,
    "experiment": load_experiment,
    "builder": lambda path: read_settings(InpaintingConfig, path),
    "label": lambda path: read_settings(MapSettings, path),
    "study": read_study,
}


@pytest.mark.parametrize("room", READERS)
@pytest.mark.parametrize(
    ("text", "key", "lines"),
    [
        ("name: a\nother: b\nname: c\n", "name", "1 and 3"),
        ("a:\n  b: {c: 1, d: 2, c: 3}\n", "c", "2 and 2"),
        ("a: [1, {b: 1,\n b: 2}]\n", "b", "1 and 2"),
        ("1: a\n'1': b\n", "1", "1 and 2"),
        ("'a': 1\na: 1\n", "a", "1 and 2"),
        ('{"a": 1,\n "a": 1}', "a", "1 and 2"),
        ("yes: 1\nyes: 2\n", "yes", "1 and 2"),
    ],
)
def test_a_key_that_stands_twice_is_refused(tmp_path: Path, room: str, text: str, key: str, lines: str) -> None:
    path = tmp_path / "file.yaml"
    path.write_text(text)
    with pytest.raises(
        UserError, match=rf"file\.yaml .*the key '{key}' stands twice, in lines {lines}; remove"
    ) as error:
        READERS[room](path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "content",
    [
        b"a: [",
        b"- a\n",
        b"text",
        b"\xff\xfea",
        b"a: \xe9",
        b"a: &x [*x]",
        b"\x00",
        b"[" * 9000,
        b"a: ${",
        b"a: !!timestamp 2",
        b"a: !!int x",
        b"a: !!bool x",
    ],
)
def test_what_is_no_mapping_is_named_in_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file.yaml").write_bytes(content)
    with pytest.raises(UserError, match=r"file\.yaml") as error:
        read_mapping(tmp_path / "file.yaml")
    assert "\n" not in str(error.value)


def test_what_is_read(tmp_path: Path) -> None:
    (tmp_path / "file.yaml").write_bytes(
        b"\xef\xbb\xbfbase: &base {a: 1, b: 2}\nown: {<<: *base, a: 3}\nlr: 1e-3\nday: 2024-05-01\nhome: ${oc.env:NONE}\n"
    )
    found = read_mapping(tmp_path / "file.yaml")
    assert found == {
        "base": {"a": 1, "b": 2}, "own": {"a": 3, "b": 2}, "lr": 1e-3, "day": "2024-05-01", "home": "${oc.env:NONE}",
    }  # fmt: skip
    (tmp_path / "empty.yaml").write_text("# nothing\n")
    assert read_mapping(tmp_path / "empty.yaml") == {}
    with pytest.raises(
        UserError, match=r"no build file .*fil\.yaml; did you mean 'file\.yaml'\?; give the path of a YAML"
    ):
        read_mapping(tmp_path / "fil.yaml", "build file")
