"""The code in the documentation runs."""

import pkgutil
import re
from pathlib import Path

import pytest
import torch
import yaml

from backbones import build_backbone
from heads import build_head
from heads.statistics import pool, squared_differences
from registry import load_plugins

ROOT = Path(__file__).resolve().parents[1]
BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "plugins.md").read_text(), flags=re.S)


def test_plugins_of_the_documentation_work(tmp_path: Path) -> None:
    assert len(BLOCKS) == 2
    files = []
    for index, block in enumerate(BLOCKS):
        assert len(block.strip().splitlines()) < 30, "the documentation promises plugins of under 30 lines"
        files.append(tmp_path / f"documented_plugin_{index}.py")
        files[-1].write_text(block)
    load_plugins(list(map(str, files)))
    backbone = build_backbone("two_layers", {"width": 8})
    head = build_head("top_stage", backbone, {"start": 0.2})
    x, y = torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32)
    features = backbone.features(x)
    assert [f.shape[1] for f in features] == [8, 16]
    assert [32 // f.shape[2] for f in features] == list(backbone.strides)
    assert backbone.embed(x).shape == (2, 16)
    assert not backbone.state_dict(), "frozen weights in the state dict"
    score = head(pool(squared_differences(features, backbone.features(y), head.normalize)))
    assert score.shape == (2,) and bool((score > 0).all())
    assert bool((head(pool(squared_differences(features, features, head.normalize))) == 0).all())


@pytest.mark.parametrize("name", ["experiments.md", "local_maps.md", "plugins.md", "pretraining.md"])
def test_yaml_of_the_documentation_is_yaml(name: str) -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / name).read_text(), flags=re.S)
    assert blocks
    for block in blocks:
        assert isinstance(yaml.safe_load(block), dict)


def test_documented_experiment_passes_the_check(tmp_path: Path) -> None:
    """The long example names only keys that exist."""
    from engine.config.check import Checker
    from engine.config.expansion import expand
    from engine.config.reading import load_experiment

    block = re.search(r"```yaml\n(extends.*?)```", (ROOT / "docs" / "experiments.md").read_text(), flags=re.S)
    assert block is not None
    (tmp_path / "base.yaml").write_text((ROOT / "experiments" / "base.yaml").read_text())
    (tmp_path / "x.yaml").write_text(block[1])
    config = load_experiment(
        tmp_path / "x.yaml", ["plugins=[]", "trainer.devices=1", "trainer.accelerator=cpu", "trainer.strategy=auto"]
    )
    variants = expand(config, "x.yaml")
    assert len(variants) == 2 * 3 * 3
    for variant in variants:
        Checker().check(variant.config)


PAGES = [ROOT / "README.md", ROOT / ".github" / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
PATH = re.compile(r"(?<![\w./<{*-])[\w.-]+(?:/[\w.-]+)*(?:\.py|\.yaml|/)(?![\w.*<{/-])")
# files and folders of the reader, or of other projects
EXAMPLES = {
    *("my_plugin.py", "my_trunk.yaml", "FILE.yaml", "CONFIG.yaml", "settings.yaml", "x.yaml", "run.py"),
    *("train/", "val/", "test/", "HQ/", "SR/", "regions/", "trunks/", "live_subset/", "koniq_photos/", ".cache/"),
    *("data/scenes/", "1024x768/", "512x384/", "preset/models/", "my_study/"),
}


def _inline_code(page: Path) -> list[str]:
    """Text between single backticks, without the fenced and the indented blocks."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.S | re.M)
    return re.findall(r"`([^`\n]+)`", re.sub(r"^ {4}.*$", "", text, flags=re.M))


def _exists(path: str) -> bool:
    """At the root, or inside one of its folders: tables name the modules of a package without its name."""
    return (ROOT / path).exists() or any(True for _ in ROOT.glob(f"*/{path}"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_paths_of_the_documentation_exist(page: Path) -> None:
    named = {path for code in _inline_code(page) for path in PATH.findall(code)}
    assert not {path for path in named - EXAMPLES if not _exists(path)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_modules_of_the_documentation_exist(page: Path) -> None:
    """`package.module.Name` in backticks can be imported, where the package is one of the repository's."""
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    for code in _inline_code(page):
        dotted = re.match(r"([a-z_]+(?:\.\w+)+)(?:\(.*\))?$", code)
        if dotted and dotted[1].split(".")[0] in packages and not dotted[1].endswith((".csv", ".json")):
            pkgutil.resolve_name(dotted[1])
