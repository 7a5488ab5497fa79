"""The committed JSON schemas are those of today's settings, and the YAML files of the project keep to them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from engine.commands.schemas import write_schemas
from semfid.cli import main

ROOT = Path(__file__).resolve().parents[3]
NAMED = re.compile(r"# yaml-language-server: \$schema=(\S+)\n")
FILES = [*(ROOT / "experiments").glob("*.yaml"), *(ROOT / "data_tools/builders/configs").glob("*.yaml")]


def test_committed_schemas_are_up_to_date(tmp_path: Path) -> None:
    files = write_schemas(tmp_path)
    committed = {path.name: path.read_text() for path in (ROOT / "docs/schemas").glob("*.json")}
    assert committed == {path.name: path.read_text() for path in files}, "run `semfid list --schema docs/schemas`"


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.name)
def test_files_name_a_schema_that_knows_their_keys(file: Path) -> None:
    from semfid.io.yaml_file import read_mapping

    found = NAMED.match(file.read_text())
    assert found is not None, "the first line names no schema"
    schema = json.loads((file.parent / found[1]).read_text())
    assert set(read_mapping(file)) <= {*schema["properties"], "extends"}


def test_the_command_writes_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--schema", str(tmp_path / "new")]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert [str(path) for path in sorted((tmp_path / "new").iterdir())] == sorted(printed) and len(printed) >= 3
    assert json.loads((tmp_path / "new" / "build-edits.json").read_text())["properties"]["out"]
