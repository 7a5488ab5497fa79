"""The wheel alone, beside a stranger's modules of this repository's names: it scores, it gives gradients."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scoring_support import Runs, loaded_image, naive_scores, regressor, write_folders

ROOT = Path(__file__).resolve().parents[2]

STRANGERS = (
    "registry.py",
    "images.py",
    "heads/__init__.py",
    "backbones/__init__.py",
    "lightning_modules/__init__.py",
)

SCRIPT = """
import json, sys
import torch

torch.set_num_threads(1)
file, references, candidates, run, images = sys.argv[1:]
saved = torch.load(images)
plain = torch.export.load(file).module()(*saved).tolist()  # before anything of semfid is there
assert "semfid" not in sys.modules

import semfid
from semfid import SemanticDifference, SemanticDifferenceLoss
from semfid.cli import main

codes = {
    "score": main(["score", references, candidates, "--run", file, "--out", "scores.csv", "--map", "maps"]),
    "ablate": main(["ablate", "x.yaml"]),
    "list": main(["list"]),
    "run": main(["score", references, candidates, "--run", run]),
    "default": main(["score", references, candidates, "--out", "default.json", "--map", "default_maps"]),
}
candidate = saved[1].clone().requires_grad_()
SemanticDifferenceLoss(file)(saved[0], candidate).backward()
metric = SemanticDifference(file)
metric.update(*saved)
default = SemanticDifference()
default.update(*saved)
SemanticDifferenceLoss()(saved[0], saved[1].clone().requires_grad_()).backward()
torch.save(candidate.grad, "gradient.pt")
clone = {"registry", "images", "pairs", "heads", "backbones", "lightning_modules", "engine", "scenes", "lightning", "timm"}
print(json.dumps({
    "codes": codes, "plain": plain, "metric": float(metric.compute()), "default": float(default.compute()),
    "place": semfid.__file__,
    "clone": sorted(clone & set(sys.modules)),
}))
"""


PUBLIC = ("semfid", "semfid.cli", "semfid.__main__", "semfid.stats")
INSTALLED = {"torch", "numpy", "PIL", "scipy", "torchmetrics"}
WHERE_THERE = {"pyarrow", "onnxruntime", "rapidocr_onnxruntime", "tqdm"}  # imported where they are installed


def excluded() -> set[str]:
    """Files of the package that the wheel leaves out."""
    return set(
        tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]["exclude"]
    )


def modules() -> dict[str, Path]:
    """Modules of the package, with their files."""
    found = {}
    for path in (ROOT / "semfid").rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(path: Path) -> set[str]:
    """What a file imports: modules, and each name of a ``from``, which may be one; also the places of lazy names."""
    tree, found = ast.parse(path.read_text(encoding="utf-8")), set[str]()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and path.name == "__init__.py":
            found |= {node.value} if node.value.startswith("semfid.") and " " not in node.value else set()
    return found


def reached(start: Iterable[str]) -> set[str]:
    """Modules of the package that are imported from some of them, with the packages that they are in."""
    known, found, todo = modules(), set[str](), list(start)
    while todo:
        name = todo.pop()
        if name in known and name not in found:
            found.add(name)
            todo += [*imports(known[name]), name.rpartition(".")[0]]
    return found


def test_nothing_in_the_wheel_is_dead_and_nothing_of_the_clone_is_needed() -> None:
    left_out = {name for name, path in modules().items() if str(path.relative_to(ROOT)) in excluded()}
    assert len(left_out) == len(excluded()), "an excluded file is not there"
    packed = set(modules()) - left_out
    assert reached(PUBLIC) == packed, (
        "unreachable from a public name (exclude it in pyproject.toml), or needed and excluded"
    )
    outside = {name.split(".")[0] for one in packed for name in imports(modules()[one])}
    assert outside - {"semfid"} - set(sys.stdlib_module_names) <= INSTALLED | WHERE_THERE


def test_the_statistics_need_numpy_and_scipy_only() -> None:
    statistics = [path for name, path in modules().items() if name.startswith("semfid.stats")]
    found = {name for path in statistics for name in imports(path)}
    assert all(name.startswith(("semfid.stats", "semfid.errors")) for name in found if name.startswith("semfid"))
    assert {name.split(".")[0] for name in found} - {"semfid"} - set(sys.stdlib_module_names) == {"numpy", "scipy"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from hatchling.build import build_wheel

    folder, before = tmp_path_factory.mktemp("wheel"), Path.cwd()
    os.chdir(ROOT)  # the build hook's rule
    try:
        return folder / build_wheel(str(folder))
    finally:
        os.chdir(before)


def test_it_holds_the_package_alone(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (metadata,) = [archive.read(name).decode() for name in names if name.endswith("METADATA")]
        (entries,) = [archive.read(name).decode() for name in names if name.endswith("entry_points.txt")]
    assert {name.split("/")[0].split("-")[0] for name in names} == {"semfid"}
    packed = {name for name in names if name.startswith("semfid/")}
    own = {str(path.relative_to(ROOT)) for path in (ROOT / "semfid").rglob("*.py")}
    assert packed == (own - excluded()) | {"semfid/scoring/weights/default_metric.pt", "semfid/py.typed"}
    assert wheel.stat().st_size < 15e6
    required = {
        re.split(r"[^a-z]", line.split(": ")[1])[0]
        for line in metadata.splitlines()
        if line.startswith("Requires-Dist") and "extra ==" not in line
    }
    assert required == {"torch", "numpy", "pillow", "scipy", "torchmetrics"}
    assert "semfid = semfid.cli:main" in entries


@pytest.mark.slow
def test_it_works_where_nothing_else_of_the_repository_is(
    wheel: Path, runs: Runs, exported: Path, tmp_path: Path
) -> None:
    installed, stranger = tmp_path / "installed", tmp_path / "stranger"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)
    for name in STRANGERS:
        (stranger / name).parent.mkdir(parents=True, exist_ok=True)
        (stranger / name).write_text("raise ImportError('a stranger was imported')\n")
    references, candidates = write_folders(tmp_path / "photos", 2)
    pair: tuple[Any, Any] = torch.rand(2, 3, 48, 40), torch.rand(2, 3, 48, 40)
    torch.save(pair, tmp_path / "pair.pt")
    torch_spec = importlib.util.find_spec("torch")
    assert torch_spec is not None and torch_spec.origin is not None
    libraries = Path(torch_spec.origin).parents[1]
    arguments = [exported, references, candidates, runs["linear"], tmp_path / "pair.pt"]
    done = subprocess.run(
        # -S: the .pth file of the editable install, which leads to the clone, is not read
        [sys.executable, "-S", "-c", SCRIPT, *map(str, arguments)],
        cwd=stranger,
        env={
            "PATH": os.environ.get("PATH", ""),
            "PYTHONPATH": os.pathsep.join(map(str, (stranger, installed, libraries))),
            "OMP_NUM_THREADS": "1",
        },
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.strip().splitlines()[-1])
    assert found["codes"] == {"score": 0, "ablate": 2, "list": 2, "run": 2, "default": 0}, done.stderr
    assert "semfid: 'ablate' needs the clone of the repository" in done.stderr
    assert "is a run folder, which needs the clone of the repository" in done.stderr
    assert Path(found["place"]).is_relative_to(installed) and found["clone"] == []

    module = regressor(runs, "linear")
    x, y = pair[0], pair[1].requires_grad_()
    expected = module(x, y)
    np.testing.assert_allclose(found["plain"], expected.detach(), atol=1e-5)
    assert found["metric"] == pytest.approx(float(expected.detach().mean()), abs=1e-5)
    gradient = torch.autograd.grad(expected.mean(), y)[0]
    torch.testing.assert_close(torch.load(stranger / "gradient.pt"), gradient, atol=1e-6, rtol=1e-4)
    assert gradient.abs().max() > 1e-5

    table = pd.read_csv(stranger / "scores.csv")
    files = [(Path(a), Path(b)) for a, b in zip(table["reference"], table["candidate"], strict=True)]
    assert len(files) == 4
    np.testing.assert_allclose(table["difference"], naive_scores(module, files, 64), atol=1e-5)
    assert len(list((stranger / "maps").iterdir())) == len(list((stranger / "default_maps").iterdir())) == 16

    from semfid.scoring.default_metric import load_default_metric

    default = load_default_metric()
    with torch.no_grad():
        assert found["default"] == pytest.approx(float(default(*pair).mean()), abs=1e-5)
    rows = json.loads((stranger / "default.json").read_text())["pairs"]
    expected = [default(*(loaded_image(row[key], None) for key in ("reference", "candidate"))) for row in rows]
    np.testing.assert_allclose([row["difference"] for row in rows], torch.cat(expected).numpy(), atol=1e-5)
    assert [row["word"] for row in rows] == [default.word(float(value)) for value in expected]
