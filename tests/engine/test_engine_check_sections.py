"""A section that is mistyped is told what belongs there, itself included."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.config.check import Checker
from engine.config.expansion import expand
from engine.config.reading import load_experiment
from semfid.errors import UserError

MODEL = {"name": "global_regressor", "backbone": "resnet50_imagenet", "head": {"name": "linear"}}


def checked(folder: Path, model: dict[str, Any], *overrides: str) -> None:
    path = folder / "x.yaml"
    path.write_text(json.dumps({"name": "x", "data": {"name": "scenes"}, "model": model}))
    for variant in expand(load_experiment(path, overrides), str(path)):
        Checker().check(variant.config)


@pytest.mark.parametrize(
    ("key", "wrong", "says"),
    [
        ("backbone", "bakbone", "no keyword 'bakbone'; did you mean 'backbone'"),
        ("backbone", "backbones", "no keyword 'backbones'; did you mean 'backbone'"),
        ("head", "haed", "no keyword 'haed'; did you mean 'head'"),
    ],
)
def test_a_mistyped_section_gets_its_near_miss(tmp_path: Path, key: str, wrong: str, says: str) -> None:
    beside = {**MODEL, wrong: MODEL[key]}
    alone = {name: value for name, value in beside.items() if name != key}
    for model in (beside, alone):
        with pytest.raises(
            UserError, match=rf"^model: .*'global_regressor' has {says}\? \(it takes: backbone, head, loss"
        ):
            checked(tmp_path, model)
    with pytest.raises(UserError, match=says):
        checked(tmp_path, MODEL, f"model.{wrong}.name=linear")


def test_a_section_that_is_not_there_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"model\.backbone is missing; give \{name: resnet50_imagenet\}"):
        checked(tmp_path, {"name": "global_regressor", "head": "linear"})


@pytest.mark.parametrize("section", ["data", "model", "model.backbone", "model.head"])
def test_a_mistyped_name_gets_its_near_miss(tmp_path: Path, section: str) -> None:
    with pytest.raises(
        UserError, match=rf"x\.yaml: {section} must be a name or a mapping with a name.*did you mean 'name' by 'nam'\?"
    ):
        checked(tmp_path, MODEL, f"{section}={{nam: linear, backbone: resnet50_imagenet}}")
