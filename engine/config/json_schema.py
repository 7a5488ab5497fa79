"""The JSON schema of an experiment file, by which editors complete and check it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic.json_schema import JsonSchemaValue

from engine.config.schema import Experiment
from engine.config.trainer_section import KEYWORDS
from registry import BACKBONES, DATAMODULES, HEADS, LIGHTNING_MODULES, LOSSES, METRICS, Registry

# fields of sections that name a plugin
PLUGINS: Mapping[tuple[str, str], Registry[Any]] = {
    ("Experiment", "data"): DATAMODULES,
    ("Experiment", "baselines"): METRICS,
    ("ModelSection", "backbone"): BACKBONES,
    ("ModelSection", "head"): HEADS,
    ("ModelSection", "loss"): LOSSES,
    ("Pretraining", "data"): DATAMODULES,
}
EXTENDS = {
    "description": "Path of a YAML, or a list of paths, that this file builds on; relative to it.",
    "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
}


def experiment_schema() -> JsonSchemaValue:
    """The schema of an experiment file, with the plugins that are registered now.

    A name that is not registered is allowed, for plugins of third parties; so is a file without `name` and `data`, which
    another extends.
    """
    schema = Experiment.model_json_schema()
    sections = {"Experiment": schema, **schema["$defs"]}
    for (section, field), registry in PLUGINS.items():
        properties = sections[section]["properties"]
        properties[field] = _of_plugins(properties[field], registry)
    for section in ("Experiment", "Pretraining"):
        model = sections[section]["properties"]["model"]
        _suggest(sections["ModelSection"]["properties"]["name"], LIGHTNING_MODULES)
        model.setdefault("description", "Lightning module, backbone and keywords.")
    trainer = sections["TrainerSection"]
    trainer["properties"] |= {key: {} for key in KEYWORDS if key not in trainer["properties"]}
    trainer["additionalProperties"] = False
    schema["properties"]["extends"] = EXTENDS
    schema.pop("required", None)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _of_plugins(field: JsonSchemaValue, registry: Registry[Any]) -> JsonSchemaValue:
    """A field that is a plugin, or a list of them: a name alone, or a mapping with one."""
    name = _suggest({"type": "string"}, registry)
    mapping = {"type": "object", "properties": {"name": name}, "required": ["name"]}
    plugin: JsonSchemaValue = {"anyOf": [name, mapping, {"type": "null"}]}
    kept: JsonSchemaValue = {key: field[key] for key in ("description", "title") if key in field}
    if field.get("type") == "array":
        return {**kept, "type": "array", "items": plugin}
    return {**kept, **plugin}


def _suggest(name: JsonSchemaValue, registry: Registry[Any]) -> JsonSchemaValue:
    """A name for which an editor offers what is registered; others are allowed."""
    name["anyOf"] = [{"enum": registry.names()}, {"type": "string"}]
    name.pop("type", None)
    return name
