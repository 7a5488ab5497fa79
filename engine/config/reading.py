"""From YAML to an experiment: what a file extends, the overrides of the command line, environment variables, types."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.config.schema import Experiment
from semfid.errors import UserError
from semfid.io.yaml_file import read_mapping
from semfid.settings import merge, parse_override, refuse_unknown, resolve, validate

FREE = ("data", "model", "trainer", "pretraining")  # sections whose keys are those of what they configure
EXAMPLE = "seed=1 or model.optimizer.lr=1e-3"


def load_experiment(path: str | Path, overrides: Sequence[str] = ()) -> Experiment:
    """Read a YAML with everything it extends, apply ``key=value`` overrides, check the schema, resolve.

    Raises:
        UserError: one line with file, key and fix.
    """
    path = Path(path)
    content: dict[str, Any] = {}
    for layer, origin in _read_layers(path, ()):
        _check_keys(layer, str(origin))
        own_sweep = {"sweep": layer["sweep"]} if "sweep" in layer else {}  # an experiment says itself what it varies
        content = {**merge(content, layer), **own_sweep}
    for text in overrides:
        key, value = _parse_override(text)
        _check_keys({key.split(".")[0]: value}, f"override '{text}'")
        _set(content, key.split(".", 1) if key.startswith("sweep.") else key.split("."), value)
    for key in ("name", "data"):
        if content.get(key) is None:
            raise UserError(f"{path}: {key} is missing; the experiment needs name and data")
    return validate(Experiment, _with_swept(resolve(content, str(path))), str(path))


def get_key(config: Mapping[str, Any], key: str) -> Any:
    """The value at a dotted key, or None."""
    node: Any = config
    for part in key.split("."):
        if not isinstance(node, Mapping) or part not in node:
            return None
        node = node[part]
    return node


def _read_layers(path: Path, seen: tuple[Path, ...]) -> list[tuple[dict[str, Any], Path]]:
    """The file's mapping after those it extends, each with the file that it came from."""
    if path.resolve() in seen:
        raise UserError(f"{path}: extends itself, through {' -> '.join(p.name for p in seen)}")
    mapping = read_mapping(path, "experiment file")
    parents = mapping.pop("extends", [])
    layers: list[tuple[dict[str, Any], Path]] = []
    parents = [parents] if isinstance(parents, str) else parents
    if not isinstance(parents, list) or not all(isinstance(parent, str) for parent in parents):
        raise UserError(f"{path}: extends is {parents!r}; give the path of a YAML, or a list of paths")
    for parent in parents:
        layers += _read_layers(path.parent / parent, (*seen, path.resolve()))
    if isinstance(mapping.get("plugins"), list):
        mapping["plugins"] = [
            str((path.parent / p).resolve()) if str(p).endswith(".py") else p for p in mapping["plugins"]
        ]
    return [*layers, (mapping, path)]


def _check_keys(layer: Mapping[str, Any], where: str) -> None:
    for key in layer:
        refuse_unknown(key, Experiment.model_fields, where)


def _parse_override(text: str) -> tuple[str, Any]:
    try:
        key, value = parse_override(text, EXAMPLE)
    except UserError as error:
        raise UserError(f"override {error}") from error
    if isinstance(value, str) and value[:1] in ("{", "["):  # taken for a text, for it cannot be read as YAML
        raise UserError(f"override '{text}': the value is not YAML; close its brackets")
    return key, value


def _set(content: dict[str, Any], path: Sequence[str], value: Any) -> None:
    """Set a key; sections on the way are made. A mapping replaces what was there."""
    *sections, last = path
    node: Any = content
    for section in sections:
        if isinstance(node, list) and section.isdigit() and int(section) < len(node):
            node = node[int(section)]
            continue
        if isinstance(node.get(section), str):  # a plugin by its name alone
            node[section] = {"name": node[section]}
        if not isinstance(node.get(section), (dict, list)):
            node[section] = {}
        node = node[section]
    if isinstance(node, list):
        node[int(last)] = value
    else:
        node[last] = value


def _with_swept(content: dict[str, Any]) -> dict[str, Any]:
    """The content with the first choice of what the file leaves to its sweep, such as the name of a backbone."""
    sweep = content.get("sweep")
    if not isinstance(sweep, Mapping) or content.get("sweep_mode", "grid") != "grid":
        return content
    filled = copy.deepcopy(content)
    for key, values in sweep.items():
        *sections, last = str(key).split(".")
        node = get_key(filled, ".".join(sections)) if sections and sections[0] in FREE else None
        if isinstance(node, dict) and last not in node and isinstance(values, list) and values:
            node[last] = copy.deepcopy(values[0])
    return filled
