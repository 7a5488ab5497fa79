"""Who may import whom. Imports run down the floors, never up and never sideways."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

FLOORS = {
    room: floor
    for floor, rooms in enumerate(
        (
            ("semfid",),  # the wheel; imports nothing of the project
            ("registry",),
            ("models", "heads"),
            ("backbones",),
            ("metrics",),
            ("data_tools",),
            ("datamodules",),
            ("lightning_modules",),
            ("engine",),
        )
    )
    for room in rooms
}
APART = "user_study"  # shares the ground floor with the rest; only the commands start it
ABOVE = {"tests", "benchmarks", "tools"}  # scripts: may import anything; nobody may import them
NO_CODE = {"docs", "experiments", "runs", "data", "build", "dist", "node_modules"}


def rooms(root: Path) -> dict[str, list[Path]]:
    """Every room (package or module of the root) with its files."""
    found = {path.stem: [path] for path in sorted(root.glob("*.py"))}
    for folder in sorted(root.iterdir()):
        if folder.is_dir() and not folder.name.startswith(".") and folder.name not in NO_CODE | ABOVE:
            files = sorted(folder.rglob("*.py"))
            if files:
                found[folder.name] = files
    return found


def imported(tree: ast.AST) -> list[tuple[int, str]]:
    """(line, top-level name) of every absolute import, also inside functions, and of import_module("...")."""
    names: list[tuple[int, str]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.append((node.lineno, node.module))
        elif (
            isinstance(node, ast.Call)
            and getattr(node.func, "attr", getattr(node.func, "id", "")) in ("import_module", "__import__")
            and node.args
            and isinstance(node.args[0], ast.Constant)
        ):
            names.append((node.lineno, str(node.args[0].value)))
    return [(line, name.split(".")[0]) for line, name in names]


def wrong_arrows(root: Path) -> list[str]:
    """One line per forbidden import, ``file:line: room (floor) -> room (floor): why``."""
    found, faults = rooms(root), []
    for room, files in found.items():
        if room not in FLOORS and room != APART:
            faults.append(
                f"{files[0].relative_to(root)}: the room '{room}' has no floor; give it one in tests/test_layers.py"
            )
            continue
        for file in files:
            for line, target in imported(ast.parse(file.read_text(encoding="utf-8"), str(file))):
                if target == room or (target not in found and target not in FLOORS and target not in ABOVE | {APART}):
                    continue
                why = fault(room, target, file.relative_to(root))
                if why:
                    faults.append(
                        f"{file.relative_to(root)}:{line}: {room} ({FLOORS.get(room, 'apart')}) -> "
                        f"{target} ({FLOORS.get(target, 'apart')}): {why}"
                    )
    return faults


def fault(room: str, target: str, file: Path) -> str:
    """Why a file of `room` must not import `target`; empty where it may."""
    if target in ABOVE:
        return "nothing imports tests, benchmarks or tools"
    if room == APART:
        return "" if target == "semfid" else "user_study imports the ground floor only"
    if target == APART:
        return "" if file.parts[:2] == ("engine", "commands") else "only the commands know user_study"
    if target not in FLOORS:
        return "that room has no floor"
    if FLOORS[target] > FLOORS[room]:
        return "an arrow that runs up"
    return "an arrow between rooms of one floor" if FLOORS[target] == FLOORS[room] else ""


def test_every_import_runs_down() -> None:
    assert len(rooms(ROOT)) >= 11, "the walk finds too few rooms to prove anything"
    faults = wrong_arrows(ROOT)
    assert not faults, "forbidden imports:\n" + "\n".join(faults)


@pytest.mark.parametrize(
    ("file", "code", "arrow"),
    [
        ("heads/a.py", "import torch\n\nfrom engine.runs.run import run\n", "heads/a.py:3: heads (2) -> engine (8)"),
        ("heads/a.py", "import models\n", "heads/a.py:1: heads (2) -> models (2)"),
        ("heads/a.py", "def f():\n    from backbones import x\n", "heads/a.py:2: heads (2) -> backbones (3)"),
        ("heads/deep/er.py", "import lightning_modules.losses as l\n", "heads/deep/er.py:1: heads (2) -> lightning"),
        ("semfid/io/a.py", "import registry\n", "semfid/io/a.py:1: semfid (0) -> registry (1)"),
        ("semfid/cli.py", "from engine import commands\n", "semfid/cli.py:1: semfid (0) -> engine (8)"),
        ("registry.py", "import models\n", "registry.py:1: registry (1) -> models (2)"),
        ("metrics/a.py", "from data_tools import x\n", "metrics/a.py:1: metrics (4) -> data_tools (5)"),
        ("user_study/a.py", "import registry\n", "user_study/a.py:1: user_study (apart) -> registry (1)"),
        ("engine/a.py", "import user_study\n", "engine/a.py:1: engine (8) -> user_study (apart)"),
        ("engine/a.py", "from tests.conftest import x\n", "engine/a.py:1: engine (8) -> tests (apart)"),
        (
            "heads/a.py",
            "import importlib\nimportlib.import_module('engine.runs.run')\n",
            "heads/a.py:2: heads (2) -> engine (8)",
        ),
        (
            "heads/a.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from engine import x\n",
            "heads/a.py:3: heads (2) -> engine (8)",
        ),
        ("novelty/a.py", "import os\n", "novelty/a.py: the room 'novelty' has no floor"),
    ],
)
def test_a_forbidden_import_is_named(tmp_path: Path, file: str, code: str, arrow: str) -> None:
    for room in FLOORS:
        if room != "registry":
            (tmp_path / room).mkdir()
            (tmp_path / room / "__init__.py").write_text("import numpy\n")
    (tmp_path / "registry.py").write_text("from semfid.errors import UserError\n")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_x.py").write_text("import heads, engine\n")
    assert wrong_arrows(tmp_path) == []
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text(code)
    faults = wrong_arrows(tmp_path)
    assert len(faults) == 1 and faults[0].startswith(arrow), faults


def test_allowed_imports_pass(tmp_path: Path) -> None:
    for file, code in {
        "semfid/io/pair_table.py": "from semfid.errors import UserError\n",
        "registry.py": "from semfid.errors import UserError\n",
        "heads/a.py": "from heads.b import x\nfrom . import b\nimport registry\nfrom semfid.scoring.scorer import S\n",
        "datamodules/a.py": "import data_tools.synthetic, metrics, backbones\n",
        "engine/commands/a.py": "def f():\n    import user_study\nimport datamodules, lightning_modules\n",
        "user_study/a.py": "import semfid.io.pair_table\n",
    }.items():
        (tmp_path / file).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / file).write_text(code)
    assert wrong_arrows(tmp_path) == []


@pytest.mark.parametrize(
    "module",
    [
        "registry",
        "models.hub",
        *(f"semfid.io.{name}" for name in ("pair_table", "images", "maps", "jsonl", "yaml_file", "coco_file")),
    ],
)
def test_floor_0_loads_no_model_code(module: str) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); import {module}; "
        "print(sorted({name.split('.')[0] for name in sys.modules} & "
        "{'torch', 'timm', 'lightning', 'open_clip', 'peft', 'transformers', 'backbones', 'heads'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600, check=True)
    assert done.stdout.strip() == "[]"


def test_the_fast_tests_touch_every_room() -> None:
    """`make test-fast` runs the files of tests/fast.txt."""
    files = (ROOT / "tests" / "fast.txt").read_text().split()
    assert not [file for file in files if not (ROOT / file).exists()]
    touched = {file.split("/")[1] for file in files}
    assert {room for room in [*FLOORS, APART] if room != "registry"} <= touched
