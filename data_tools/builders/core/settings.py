"""A builder's YAML against its dataclasses."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from semfid.errors import UserError, did_you_mean
from semfid.io.yaml_file import read_mapping
from semfid.typing_checks import describe_type, fits

T = TypeVar("T")


def read_settings(schema: type[T], path: str | Path, overrides: Sequence[str] = ()) -> T:
    """Defaults of a dataclass, under the file, under ``key=value``; checked.

    Fields may be dataclasses in turn, or dict[str, <dataclass>] for sections by label; a field of type dict[str, Any] takes
    any keys. A mapping that names another plugin (``name``) replaces one before it. ``${oc.env:NAME}`` is an environment
    variable.

    Raises:
        UserError: an unknown key with near misses, a value of another type, a field without a value; names file and key.
    """
    content = read_mapping(path)
    _check_keys(schema, content, str(path), "")
    for text in overrides:
        key, equals, value = text.partition("=")
        if not equals or not key or value == "":
            raise UserError(f"'{text}' is not key=value, such as seed=1 or inpainter.steps=20")
        layer: Any = _parse(value)
        for part in reversed(key.split(".")):
            layer = {part: layer}
        _check_keys(schema, layer, f"'{text}'", "")
        content = _merge(content, layer)
    try:
        resolved = OmegaConf.to_container(OmegaConf.create(content), resolve=True)
    except OmegaConfBaseException as error:
        where = getattr(error, "full_key", None)
        reason = str(getattr(error, "msg", None) or error).splitlines()[0]
        raise UserError(f"{path}: {where + ': ' if where else ''}{reason}") from error
    assert isinstance(resolved, dict)
    return _build(schema, {str(key): value for key, value in resolved.items()}, str(path), "")


def as_mapping(settings: Any, without: Sequence[str] = ()) -> dict[str, Any]:
    """The settings as nested mappings, less the dotted keys that the content does not depend on."""
    mapping = dataclasses.asdict(settings)
    for key in without:
        *sections, last = key.split(".")
        node = mapping
        for section in sections:
            node = node[section]
        node.pop(last, None)
    return mapping


def require(condition: bool, key: str, value: Any, rule: str) -> None:
    """Raise a UserError that names the setting unless the condition holds."""
    if not condition:
        raise UserError(f"{key}={value} {rule}")


def _build(schema: Any, values: Mapping[str, Any], where: str, prefix: str) -> Any:
    types = typing.get_type_hints(schema)
    given: dict[str, Any] = {}
    for field in dataclasses.fields(schema):
        key, kind = prefix + field.name, types[field.name]
        if field.name not in values:
            if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
                raise UserError(f"{where}: {key} is missing")
            continue
        value = values[field.name]
        if dataclasses.is_dataclass(kind):
            given[field.name] = _build(kind, {**_own_defaults(field), **value}, where, f"{key}.")
        elif (section := _section_of(kind)) is not None:
            given[field.name] = {label: _build(section, one, where, f"{key}.{label}.") for label, one in value.items()}
        elif not fits(value, kind):
            raise UserError(f"{where}: {key}={value!r} should be {describe_type(kind)}")
        else:
            given[field.name] = _as(kind, value)
    return schema(**given)


def _section_of(kind: Any) -> Any:
    """The dataclass of a field that holds sections by label (``dict[str, Section]``); None for other fields."""
    arguments = typing.get_args(kind)
    return arguments[1] if len(arguments) == 2 and dataclasses.is_dataclass(arguments[1]) else None


def _own_defaults(field: dataclasses.Field[Any]) -> dict[str, Any]:
    """Defaults of a section that differ from those of its class."""
    if field.default_factory is dataclasses.MISSING:
        return {}
    section = field.default_factory()
    return {one.name: getattr(section, one.name) for one in dataclasses.fields(section)}


def _as(kind: Any, value: Any) -> Any:
    if kind is float:
        return float(value)
    return tuple(value) if typing.get_origin(kind) is tuple else value


def _check_keys(schema: Any, values: Any, where: str, prefix: str) -> None:
    if not isinstance(values, Mapping):
        raise UserError(f"{where}: {prefix.rstrip('.') or 'the file'} must hold a mapping of keys; it is {values!r}")
    types = typing.get_type_hints(schema)
    for key, value in values.items():
        if key not in types:
            known = ", ".join(types)
            raise UserError(f"{where}: unknown key '{prefix}{key}'{did_you_mean(str(key), types)} (there are: {known})")
        if dataclasses.is_dataclass(types[key]):
            _check_keys(types[key], value, where, f"{prefix}{key}.")
        elif (section := _section_of(types[key])) is not None:
            if not isinstance(value, Mapping):
                raise UserError(f"{where}: {prefix}{key} must hold a mapping of labels; it is {value!r}")
            for label, one in value.items():
                _check_keys(section, one, where, f"{prefix}{key}.{label}.")


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        before = merged.get(key)
        both = isinstance(before, Mapping) and isinstance(value, Mapping)
        if both and value.get("name", before.get("name")) == before.get("name"):  # type: ignore[union-attr]
            value = _merge(before, value)  # type: ignore[arg-type]
        merged[key] = value
    return merged


def _parse(value: str) -> Any:
    try:
        return OmegaConf.to_container(OmegaConf.create(f"value: {value}"), resolve=False)["value"]  # type: ignore
    except (yaml.YAMLError, OmegaConfBaseException):  # a text with a colon
        return value
