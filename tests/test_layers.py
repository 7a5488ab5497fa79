"""Who may import whom. Imports run down the floors, never up and never sideways."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

RUNTIME = (
    "semfid.runtime"  # inside the package that the wheel carries, below everything; imports nothing of the project
)

FLOORS: dict[str, int] = {
    RUNTIME: 0,
    **dict.fromkeys(("registry", "pairs", "images", "difference_maps", "batch", "hub", "json_lines"), 0),
    **dict.fromkeys(("yaml_file", "coco_file", "vector_cache", "sharding", "small_networks"), 0),
    **dict.fromkeys(("scenes", "evaluation", "degradations", "text_embedders", "captioners", "towers", "splice"), 1),
    **dict.fromkeys(("backbones", "heads"), 2),
    **dict.fromkeys(("lightning_modules", "datamodules", "dataset_builders", "pseudo_labels", "metrics"), 3),
    "engine": 4,
    "semfid": 5,
}
APART = "user_study"  # shares only the pair table with the rest; only the command line starts it
APART_MAY_IMPORT = {"pairs", "registry", "yaml_file", RUNTIME}
ABOVE = {"tests", "benchmarks", "assets"}  # scripts: may import anything; nobody may import them
NO_CODE = {"docs", "experiments", "runs", "data", "build", "dist", "node_modules"}


def rooms(root: Path) -> dict[str, list[Path]]:
    """Every room (package or module of the root) with its files."""
    found = {path.stem: [path] for path in sorted(root.glob("*.py"))}
    for folder in sorted(root.iterdir()):
        if folder.is_dir() and not folder.name.startswith(".") and folder.name not in NO_CODE | ABOVE:
            files = sorted(folder.rglob("*.py"))
            below = [file for file in files if file.relative_to(root).parts[:2] == ("semfid", "runtime")]
            if below:
                found[RUNTIME] = below
            if files:
                found[folder.name] = [file for file in files if file not in below]
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
    return [(line, RUNTIME if f"{name}.".startswith(f"{RUNTIME}.") else name.split(".")[0]) for line, name in names]


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
                why = fault(room, target)
                if why:
                    faults.append(
                        f"{file.relative_to(root)}:{line}: {room} ({FLOORS.get(room, 'apart')}) -> "
                        f"{target} ({FLOORS.get(target, 'apart')}): {why}"
                    )
    return faults


def fault(room: str, target: str) -> str:
    """Why `room` must not import `target`; empty where it may."""
    if target in ABOVE:
        return "nothing imports tests, benchmarks or assets"
    if room == APART:
        return (
            "" if target in APART_MAY_IMPORT else "user_study imports only pairs, registry, yaml_file and the runtime"
        )
    if target == APART:
        return "" if room == "semfid" else "only the command line knows user_study"
    if target not in FLOORS:
        return "that room has no floor"
    if room == RUNTIME:
        return "the runtime imports nothing of the project"
    if FLOORS[room] == 0:
        return "" if target in ("registry", RUNTIME) else "files of floor 0 import only registry and the runtime"
    if FLOORS[target] > FLOORS[room]:
        return "an arrow that runs up"
    return "an arrow between rooms of one floor" if FLOORS[target] == FLOORS[room] else ""


def test_every_import_runs_down() -> None:
    assert len(rooms(ROOT)) >= 12, "the walk finds too few rooms to prove anything"
    faults = wrong_arrows(ROOT)
    assert not faults, "forbidden imports:\n" + "\n".join(faults)


def test_registry_imports_nothing_of_the_project() -> None:
    names = {name for _, name in imported(ast.parse((ROOT / "registry.py").read_text()))}
    assert not names & {*FLOORS, APART, *ABOVE}


@pytest.mark.parametrize(
    ("file", "code", "arrow"),
    [
        ("heads/a.py", "import torch\n\nfrom engine.run import run\n", "heads/a.py:3: heads (2) -> engine (4)"),
        ("heads/a.py", "import backbones\n", "heads/a.py:1: heads (2) -> backbones (2)"),
        ("heads/a.py", "def f():\n    from backbones import x\n", "heads/a.py:2: heads (2) -> backbones (2)"),
        (
            "heads/deep/er.py",
            "import lightning_modules.losses as l\n",
            "heads/deep/er.py:1: heads (2) -> lightning_modules (3)",
        ),
        ("engine/a.py", "import os, semfid.cli\n", "engine/a.py:1: engine (4) -> semfid (5)"),
        ("pairs.py", "import images\n", "pairs.py:1: pairs (0) -> images (0)"),
        ("semfid/runtime/a.py", "import registry\n", "semfid/runtime/a.py:1: semfid.runtime (0) -> registry (0)"),
        ("semfid/runtime/a.py", "from semfid import cli\n", "semfid/runtime/a.py:1: semfid.runtime (0) -> semfid (5)"),
        ("heads/a.py", "from semfid.cli import main\n", "heads/a.py:1: heads (2) -> semfid (5)"),
        ("registry.py", "import pairs\n", "registry.py:1: registry (0) -> pairs (0)"),
        ("datamodules/a.py", "from metrics import x\n", "datamodules/a.py:1: datamodules (3) -> metrics (3)"),
        ("user_study/a.py", "import images\n", "user_study/a.py:1: user_study (apart) -> images (0)"),
        ("engine/a.py", "import user_study\n", "engine/a.py:1: engine (4) -> user_study (apart)"),
        ("engine/a.py", "from tests.conftest import x\n", "engine/a.py:1: engine (4) -> tests (apart)"),
        (
            "heads/a.py",
            "import importlib\nimportlib.import_module('engine.run')\n",
            "heads/a.py:2: heads (2) -> engine (4)",
        ),
        (
            "heads/a.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from engine import x\n",
            "heads/a.py:3: heads (2) -> engine (4)",
        ),
        ("novelty/a.py", "import os\n", "novelty/a.py: the room 'novelty' has no floor"),
    ],
)
def test_a_forbidden_import_is_named(tmp_path: Path, file: str, code: str, arrow: str) -> None:
    for room in ("heads", "backbones", "engine", "metrics", "semfid", "lightning_modules"):
        (tmp_path / room).mkdir()
        (tmp_path / room / "__init__.py").write_text("import registry\nimport numpy\n")
    for module in ("registry", "images"):
        (tmp_path / f"{module}.py").write_text("import os\n")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_x.py").write_text("import heads, engine\n")
    assert wrong_arrows(tmp_path) == []
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text(code)
    faults = wrong_arrows(tmp_path)
    assert len(faults) == 1 and faults[0].startswith(arrow), faults


def test_allowed_imports_pass(tmp_path: Path) -> None:
    for file, code in {
        "pairs.py": "from registry import UserError\n",
        "heads/a.py": "from heads.b import x\nfrom . import b\nimport pairs, images\nfrom semfid.runtime.scorer import S\n",
        "datamodules/a.py": "import scenes, batch\n",
        "engine/a.py": "import evaluation, datamodules, lightning_modules\n",
        "semfid/a.py": "def f():\n    import engine, user_study\nfrom semfid.runtime import scorer\n",
        "user_study/a.py": "import pairs, registry\n",
    }.items():
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text(code)
    assert wrong_arrows(tmp_path) == []


@pytest.mark.parametrize(
    "module", ["registry", "pairs", "images", "difference_maps", "hub", "json_lines", "yaml_file", "coco_file"]
)
def test_floor_0_loads_no_model_code(module: str) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); import {module}; "
        "print(sorted({name.split('.')[0] for name in sys.modules} & "
        "{'torch', 'timm', 'lightning', 'open_clip', 'peft', 'transformers', 'backbones', 'heads'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600, check=True)
    assert done.stdout.strip() == "[]"
