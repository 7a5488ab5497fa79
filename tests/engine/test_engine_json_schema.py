"""The JSON schema of an experiment knows what the experiments say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from run_support import ROOT

from engine.config.json_schema import experiment_schema

EXPERIMENTS = sorted((ROOT / "experiments").glob("*.yaml"))


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return json.loads(json.dumps(experiment_schema()))


def unknown_keys(value: Any, node: dict[str, Any], schema: dict[str, Any], path: str = "") -> Iterator[str]:
    """Keys of a value that the schema does not allow; it is followed through references and alternatives."""
    options = [node]
    while any("$ref" in one or "anyOf" in one for one in options):
        options = [
            deeper
            for one in options
            for deeper in (
                one.get("anyOf") or ([schema["$defs"][one["$ref"].rsplit("/", 1)[1]]] if "$ref" in one else [one])
            )
        ]
    mappings = [one for one in options if "properties" in one]
    if not isinstance(value, dict) or not mappings:
        return
    for key, item in value.items():
        if key in mappings[0]["properties"]:
            yield from unknown_keys(item, mappings[0]["properties"][key], schema, f"{path}{key}.")
        elif mappings[0].get("additionalProperties") is False:
            yield f"{path}{key}"


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_every_key_of_an_experiment_is_known(schema: dict[str, Any], path: Any) -> None:
    assert list(unknown_keys(yaml.safe_load(path.read_text()), schema, schema)) == []


def test_mistyped_keys_are_not(schema: dict[str, Any]) -> None:
    wrong = {"sed": 1, "trainer": {"max_epoch": 3}, "cache": {"maxgb": 1}, "model": {"anything": 1}}
    assert list(unknown_keys(wrong, schema, schema)) == ["sed", "trainer.max_epoch", "cache.maxgb"]


def test_names_and_descriptions_are_offered(schema: dict[str, Any]) -> None:
    model = schema["$defs"]["ModelSection"]["properties"]
    name, mapping, _ = model["head"]["anyOf"]
    assert "lpips_linear" in name["anyOf"][0]["enum"] and mapping["properties"]["name"] == name
    assert "global_regressor" in model["name"]["anyOf"][0]["enum"]
    assert schema["properties"]["seed"]["description"] == "Of initial weights, order and dropout."
    assert "psnr" in schema["properties"]["baselines"]["items"]["anyOf"][0]["anyOf"][0]["enum"]
