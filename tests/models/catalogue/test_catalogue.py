"""The catalogue holds every model that a plugin names, and each plugin takes its default from it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import open_clip
import pytest
import timm
import torch
import yaml

from models.catalogue import ids
from models.catalogue.contract import FileSource, HubSource
from models.catalogue.known import CATALOGUE, find, find_all
from models.catalogue.places import Places
from registry import REGISTRIES
from semfid.errors import UserError

ROOT = Path(__file__).resolve().parents[3]
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
# folders of this repository, or inside a program's own one
FOLDERS = {"data/scenes", "data/scene_images", "checkpoints/stable-diffusion-v1-5"}
KNOWN = {source.id: model for model in CATALOGUE for source in model.sources}


def named_by_plugins() -> Iterator[tuple[str, str]]:
    """(plugin, text) of every default and preset value that looks like a hub's id."""
    for kind, registry in REGISTRIES.items():
        for entry in registry.describe():
            values = [keyword.default for keyword in entry.keywords.values()] + list(entry.preset.values())
            for value in values:
                if isinstance(value, str) and HUB_ID.fullmatch(value) and value not in FOLDERS:
                    yield f"{kind}.{entry.name}", value


def test_every_id_that_a_plugin_names_is_in_the_catalogue() -> None:
    found = dict(named_by_plugins())
    assert len(found) >= 9
    lacking = {plugin: model for plugin, model in found.items() if model not in KNOWN}
    assert not lacking, f"add to models/catalogue/known.py: {lacking}"
    for plugin, model in found.items():
        assert plugin in KNOWN[model].used_by


def test_a_plugin_with_an_unknown_id_would_be_found() -> None:
    class Other:
        def __init__(self, model: str = "nobody/knows-this") -> None:
            pass

    REGISTRIES["captioners"].names()  # the room's own plugins first
    REGISTRIES["captioners"].register("other_captioner", summary="a test's")(Other)
    assert ("captioners.other_captioner", "nobody/knows-this") in list(named_by_plugins())


def test_users_are_registered() -> None:
    for model in CATALOGUE:
        for plugin in model.used_by:
            kind, _, name = plugin.partition(".")
            assert name in REGISTRIES[kind].names(), f"{model.name}: {plugin}"


def test_names_and_ids_are_unique() -> None:
    names = [model.name for model in CATALOGUE]
    assert names == sorted(set(names))
    sources = [source.id for model in CATALOGUE for source in model.sources]
    assert len(sources) == len(set(sources))


def test_an_id_is_written_once() -> None:
    """In the code; ids that only documentation holds do not count."""
    known = {value for name, value in vars(ids).items() if name.isupper()}
    again = []
    for file in ROOT.rglob("*.py"):
        rooms = file.relative_to(ROOT).parts
        if rooms[0] in ("tests", "benchmarks", "build", "runs") or rooms[0].startswith(".") or file.name == "ids.py":
            continue
        tree = ast.parse(file.read_text(encoding="utf-8"))
        sources = {
            id(word.value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Call)
            for word in node.keywords
            if word.arg == "source"
        }
        again += [
            f"{file.relative_to(ROOT)}:{node.lineno}: {node.value}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and node.value in known and id(node) not in sources
        ]
    assert not again


@pytest.mark.parametrize(
    ("plugin", "model"),
    [
        ("backbones.resnet50_imagenet", "resnet50.{tag}"),
        ("backbones.resnet50_clip", "resnet50_clip.{tag}"),
        ("metrics.dinov2_cosine", "{model}"),
    ],
)
def test_what_timm_loads_for_a_default(plugin: str, model: str) -> None:
    kind, _, name = plugin.partition(".")
    keywords = {key: one.default for key, one in REGISTRIES[kind].get(name).keywords.items()}
    config = timm.get_pretrained_cfg(model.format_map(keywords))
    assert plugin in KNOWN[config.hf_hub_id].used_by
    assert str(KNOWN[config.hf_hub_id].licence).lower() == config.license


@pytest.mark.parametrize(
    "plugin", ["backbones.open_clip", "dual_encoders.open_clip", "metrics.clip_cosine", "metrics.siglip_cosine"]
)
def test_what_open_clip_loads_for_a_default(plugin: str) -> None:
    kind, _, name = plugin.partition(".")
    keywords = REGISTRIES[kind].get(name).keywords
    config = open_clip.get_pretrained_cfg(keywords["model"].default, keywords["pretrained"].default)
    assert plugin in KNOWN[config["hf_hub"].rstrip("/")].used_by


def test_models_of_the_experiments() -> None:
    """timm names in the repository's YAML files whose weights come from the hub."""

    def specs(value: object) -> Iterator[dict[str, str]]:
        if isinstance(value, dict):
            if value.get("name") == "timm" and value.get("pretrained", "hub") == "hub":
                yield value
            for one in value.values():
                yield from specs(one)
        elif isinstance(value, list):
            for one in value:
                yield from specs(one)

    found = [
        spec["model"]
        for file in (ROOT / "experiments").glob("*.yaml")
        for spec in specs(yaml.safe_load(file.read_text()))
    ]
    assert found
    for model in found:
        assert timm.get_pretrained_cfg(model).hf_hub_id in KNOWN


def test_files_of_lpips() -> None:
    from metrics.lpips import BACKBONES

    files = {source.id: source for model in CATALOGUE for source in model.sources if isinstance(source, FileSource)}
    assert set(files) == {file for _, file in BACKBONES.values()}
    for name, source in files.items():
        assert source.sha256 in name, "torchvision's names end with the beginning of the hash"
    assert Places.standard().checkpoints == Path(torch.hub.get_dir()) / "checkpoints"


def test_finding() -> None:
    assert find("clip") is find(ids.CLIP_VIT_L14)
    assert [one.name for one in find_all(["clip", ids.CLIP_VIT_L14, "blip"])] == ["clip", "blip"]
    assert find_all([]) == list(CATALOGUE)
    other = find("Salesforce/blip-image-captioning-large")
    assert other.sources == (HubSource("Salesforce/blip-image-captioning-large"),) and not other.used_by
    for name in ("clipp", "a/b/c", "/", "qwen2vl"):
        with pytest.raises(UserError, match="no model"):
            find(name)
    with pytest.raises(UserError, match="did you mean 'qwen2_vl'"):
        find("qwen2vl")
