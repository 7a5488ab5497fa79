"""A builder's YAML: what is wrong is named."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from data_tools.builders.edits.config import EditsConfig
from data_tools.builders.inpainting.config import InpaintingConfig
from data_tools.builders.sr_outputs.config import SrSettings
from semfid.errors import UserError
from semfid.settings import read_settings

GOOD = "out: o\nphotos: {images: i, instances: j}\ninpainter: {name: flux_fill, steps: 20}\n"


def read(tmp_path: Path, text: str = GOOD, *overrides: str) -> InpaintingConfig:
    (tmp_path / "c.yaml").write_text(text)
    return read_settings(InpaintingConfig, tmp_path / "c.yaml", overrides)


def test_defaults_are_the_documented_ones(tmp_path: Path) -> None:
    config = read(tmp_path)
    filters = config.filters
    assert filters.model_dump() == {
        "crowd": False, "short_side": 384, "area": (0.02, 0.40), "box_side": 64, "border": 8, "connected": 0.90,
        "overlap": 0.20, "sharpness": 100.0, "categories": (),
    }  # fmt: skip
    assert [config.masks.shape_of(level) for level in config.levels] == ["segmentation", "dilated", "dilated"]
    assert [config.difference_of(level) for level in config.levels] == [0.0, 1.0, 1.0]


def test_overrides_reach_every_section(tmp_path: Path) -> None:
    config = read(
        tmp_path,
        GOOD,
        "filters.area=[0.1,0.3]",
        "inpainter.steps=5",
        "split.val=0",
        "masks.shape.same_class=box",
        "seed=3",
    )
    assert config.filters.area == (0.1, 0.3) and config.inpainter == {"name": "flux_fill", "steps": 5}
    assert config.masks.shape_of("same_class") == "box" and config.seed == 3 and config.split.val == 0.0
    assert read(tmp_path, GOOD, "inpainter={name: patch_donor}").inpainter == {"name": "patch_donor"}
    assert read(tmp_path, GOOD, "prompt=a photo: {category}").prompt == "a photo: {category}"


def test_a_section_keeps_its_own_defaults(tmp_path: Path) -> None:
    config = read(tmp_path, GOOD + "donors: {border: 5}\n")
    assert (config.donors.border, config.donors.short_side, config.donors.area) == (5.0, 0, (0.01, 0.9))


def test_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHOTOS", "/p")
    assert read(tmp_path, GOOD.replace("images: i", 'images: "${oc.env:PHOTOS}/x"')).photos.images == "/p/x"
    monkeypatch.delenv("PHOTOS")
    with pytest.raises(UserError, match=r"c\.yaml: photos\.images: .*'PHOTOS' not found"):
        read(tmp_path, GOOD.replace("images: i", 'images: "${oc.env:PHOTOS}/x"'))


@pytest.mark.parametrize(
    ("text", "overrides", "message"),
    [
        (GOOD + "sed: 1\n", (), r"c\.yaml: unknown key 'sed'; did you mean 'seed'\?"),
        (GOOD + "filters: {boxside: 3}\n", (), r"unknown key 'filters\.boxside'; did you mean 'box_side'"),
        (GOOD, ("filters.boarder=3",), r"'filters\.boarder=3': unknown key 'filters\.boarder'; did you mean 'border'"),
        (GOOD, ("seed",), "'seed' is not key=value"),
        (GOOD + "seed: many\n", (), r"seed='many' should be int"),
        (GOOD + "filters: 3\n", (), r"filters must hold a mapping of keys; it is 3"),
        ("out: o\n", (), r"photos is missing"),
        ("out: o\nphotos: {images: i}\ninpainter: {}\n", (), r"photos\.instances is missing"),
        (GOOD + "levels: [same_clas]\n", (), r"levels=.*no level 'same_clas'; did you mean 'same_class'"),
        (
            GOOD + "masks: {shape: {same_class: round}}\n",
            (),
            r"masks\.shape=.*same_class=round must be one of segmentation",
        ),
        (GOOD + "masks: {label: all}\n", (), r"masks\.label='all' should be one of 'object', 'repaint'"),
        (GOOD + "difference: {same_class: 2}\n", (), r"difference=.*same_class=2 must lie in 0 \.\. 1"),
        (GOOD + "table: pairs.txt\n", (), r"table='pairs\.txt': must end in \.csv or \.parquet"),
        (GOOD + "filters: {overlap: 2}\n", (), r"c\.yaml: filters\.overlap=2 must be 1 or less"),
        (GOOD + "filters: {area: [0.5, 0.2]}\n", (), r"filters\.area=\[0\.5, 0\.2\]: must be two"),
        (GOOD + "split: {val: 0.5, test: 0.5}\n", (), "must leave something for training"),
        (GOOD + "prompt: 'a {thing}'\n", (), r"use \{category\}, \{article\} and \{caption\} only"),
        (GOOD + "prompt: '{caption}'\n", (), r"photos\.captions is not set"),
        ("- a\n", (), "must hold a mapping"),
        ("a: [\n", (), "is not a YAML file"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, overrides: tuple[str, ...], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        read(tmp_path, text, *overrides)
    assert "\n" not in str(caught.value)


def test_a_missing_file_has_near_misses(tmp_path: Path) -> None:
    (tmp_path / "inpainting.yaml").write_text(GOOD)
    with pytest.raises(UserError, match=r"no file .*inpaintng\.yaml; did you mean 'inpainting\.yaml'"):
        read_settings(InpaintingConfig, tmp_path / "inpaintng.yaml")


def digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def test_hashes_of_builds_stay(tmp_path: Path) -> None:
    """Computed when the settings were dataclasses: 1 and 1.0 are told apart."""
    text = GOOD + (
        "levels: [same_class]\nfilters: {area: [0.1, 0.3], border: 5, categories: [dog]}\nmasks: {shape: {same_class: box}}\n"
        "difference: {same_class: 1}\nsplit: {val: 0}\n"
    )
    assert digest(read(tmp_path, text).stamp("p", "q")) == "9929528853792135"
    (tmp_path / "e.yaml").write_text(
        "out: o\nphotos: {coco: {images: i, instances: j}}\nkinds: {text: 1, swap: 0.25}\n"
        "after: {sr: {share: 1, strength: [0, 1]}, b: {share: 0}}\nstrength: [1, 1]\ndonors: {border: 1}\n"
    )
    edits = read_settings(EditsConfig, tmp_path / "e.yaml")
    assert digest(edits.stamp("p", {"a": 1}, "r")) == "bd16a06dfbdf10d4"
    (tmp_path / "s.yaml").write_text("out: o\nphotos: {folder: p}\nupscalers: {b: bicubic}\nstrengths: [1, 0.5]\n")
    outputs = read_settings(SrSettings, tmp_path / "s.yaml")
    assert json.dumps(outputs.stamp(outputs.build_degradation())["strengths"]) == "[1, 0.5]"
