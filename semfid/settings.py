"""Typed settings from YAML: one base class, one reader, one way to say what is wrong.

Experiments, builds, labels, concepts and the study describe their files as classes over `Settings`; `read_settings` lays
``key=value`` over the file over the defaults, and gives the class back. A mistake is one line that names file, key and fix.
"""

from __future__ import annotations

import copy
import json
import types
import typing
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar, Union

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import (
    BaseModel,
    ConfigDict,
    ModelWrapValidatorHandler,
    PrivateAttr,
    ValidationError,
    model_serializer,
    model_validator,
)
from pydantic_core import ErrorDetails

from semfid.errors import UserError, deprecated, did_you_mean
from semfid.io.yaml_file import read_mapping
from semfid.keywords import named
from semfid.typing_checks import describe_type

EXAMPLE = "seed=1"


class Settings(BaseModel):
    """A section of a file: immutable, strict about types, without unknown keys.

    Attributes:
        renamed: old key -> key of today. An old key is taken for one version, with a warning.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True)
    renamed: ClassVar[Mapping[str, str]] = {}


class KeyFault(ValueError):
    """A fault of a value whose text names the key itself; ``{key}`` in it stands for the dotted key."""


class Section(BaseModel):
    """A section whose keywords are those of what it configures. It is given back as it was written: nothing is filled in."""

    model_config = ConfigDict(extra="allow", frozen=True, use_attribute_docstrings=True)
    _given: Any = PrivateAttr(default_factory=dict)
    _mapping: dict[str, Any] = PrivateAttr(default_factory=dict)

    @model_validator(mode="wrap")
    @classmethod
    def _keep(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if isinstance(value, cls):
            return value
        mapping = cls.spelled_out(value)
        section = handler(mapping)
        section._given, section._mapping = copy.deepcopy(value), copy.deepcopy(dict(mapping))
        return section

    @model_serializer(mode="plain")
    def _as_written(self) -> Any:
        return copy.deepcopy(self._given)

    @classmethod
    def spelled_out(cls, value: Any) -> Any:
        """The mapping that a short spelling stands for.

        Raises:
            KeyFault: no spelling of such a section.
        """
        return value

    @property
    def written(self) -> dict[str, Any]:
        """What the file gives, as a mapping."""
        return copy.deepcopy(self._mapping)

    @property
    def text(self) -> str:
        """Equal for sections that say the same."""
        return json.dumps(self._mapping, sort_keys=True, default=str)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, type(self)) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    def changed(self, keywords: Mapping[str, Any]) -> Self:
        """The section with other values of some keys."""
        return type(self).model_validate({**self.written, **keywords})


class PluginSpec(Section):
    """A registered plugin and its keywords, written ``{name: x, a: 1}`` or ``x``."""

    name: str

    @classmethod
    def spelled_out(cls, value: Any) -> Any:
        try:
            name, _ = named(value, "{key}")
        except UserError as error:
            raise KeyFault(str(error)) from error
        return {"name": name} if isinstance(value, str) else value

    @property
    def keywords(self) -> dict[str, Any]:
        """The keywords, as the registry checks and passes them."""
        return {str(key): value for key, value in self.written.items() if key != "name"}


S = TypeVar("S", bound=Settings)
M = TypeVar("M", bound=BaseModel)


def read_settings(schema: type[S], path: str | Path | None, overrides: Sequence[str] = (), example: str = EXAMPLE) -> S:
    """The settings in a file, with ``key=value`` over them.

    A mapping that names another plugin (``name``) replaces the one before it; other mappings are merged.
    ``${oc.env:NAME}`` is an environment variable.

    Args:
        path: None: no file, the defaults alone.
        example: of an override, for messages.

    Raises:
        UserError: as `validate`, or an override that is not ``key=value``.
    """
    content = {} if path is None else read_mapping(path)
    where = "settings" if path is None else str(path)
    content = check_keys(schema, content, where)
    for text in overrides:
        key, value = parse_override(text, example)
        layer = check_keys(schema, nested(key, value), f"'{text}'")
        content = merge(content, layer)
    return _validated(schema, resolve(content, where), where)


def validate(schema: type[S], values: Mapping[str, Any], where: str) -> S:
    """Settings from plain values; a section that is given in part keeps the other defaults of its field.

    Raises:
        UserError: an unknown key with near misses, a value of another type or out of range, a key that is missing; names
            `where` and the key.
    """
    return _validated(schema, check_keys(schema, values, where), where)


def _validated(schema: type[S], values: Mapping[str, Any], where: str) -> S:
    """Settings from values whose keys are checked."""
    try:
        # as JSON: strict, but a list may stand for a tuple and an int for a float
        return schema.model_validate_json(json.dumps(_over_defaults(schema, values), default=str))
    except ValidationError as error:
        raise UserError(f"{where}: {_first_fault(schema, error.errors())}") from error


def as_mapping(settings: Settings, without: Sequence[str] = ()) -> dict[str, Any]:
    """The settings as nested mappings, less the dotted keys that the content does not depend on."""
    mapping = settings.model_dump(mode="json", by_alias=True)
    for key in without:
        *sections, last = key.split(".")
        node = mapping
        for section in sections:
            node = node[section]
        node.pop(last, None)
    return mapping


def check_keys(schema: Any, values: Any, where: str, prefix: str = "") -> dict[str, Any]:
    """The values under today's keys.

    Raises:
        UserError: an unknown key, or a section that is no mapping.
    """
    if not isinstance(values, Mapping):
        raise UserError(f"{where}: {prefix.rstrip('.') or 'the file'} must hold a mapping of keys; it is {values!r}")
    known = {field.alias or name: field for name, field in schema.model_fields.items()}
    taken: dict[str, Any] = {}
    for key, value in values.items():
        if key in schema.renamed:
            deprecated(f"{where}: the key '{prefix}{key}' is now '{prefix}{schema.renamed[key]}'")
            key = schema.renamed[key]
        refuse_unknown(key, known, where, prefix)
        section, labelled = section_of(known[key].annotation, Settings)
        if section is not None and labelled:
            if not isinstance(value, Mapping):
                raise UserError(f"{where}: {prefix}{key} must hold a mapping of labels; it is {value!r}")
            value = {label: check_keys(section, one, where, f"{prefix}{key}.{label}.") for label, one in value.items()}
        elif section is not None and value is not None:
            value = check_keys(section, value, where, f"{prefix}{key}.")
        taken[str(key)] = value
    return taken


def refuse_unknown(key: object, known: Collection[str], where: str, prefix: str = "") -> None:
    """Raise a UserError with near misses for a key that a section does not have."""
    if key not in known:
        raise UserError(
            f"{where}: unknown key '{prefix}{key}'{did_you_mean(str(key), known)} (there are: {', '.join(known)})"
        )


def section_of(annotation: Any, kind: type[M]) -> tuple[type[M] | None, bool]:
    """The class of a field that is a section (also one that may be null), and whether it holds many of them by label."""
    options = typing.get_args(annotation) if _is_union(annotation) else (annotation,)
    for option in options:
        if isinstance(option, type) and issubclass(option, kind):
            return option, False
        inner = typing.get_args(option)
        if len(inner) == 2 and isinstance(inner[1], type) and issubclass(inner[1], kind):
            return inner[1], True
    return None, False


def parse_override(text: str, example: str = EXAMPLE) -> tuple[str, Any]:
    """``key=value`` as a dotted key and a value; what is no YAML (a text with a colon) is a text.

    Raises:
        UserError: no ``=``, or nothing on one side.
    """
    key, equals, value = text.partition("=")
    if not equals or not key or value == "":
        raise UserError(f"'{text}' is not key=value, such as {example}")
    try:
        return key, OmegaConf.to_container(OmegaConf.create(f"value: {value}"), resolve=False)["value"]  # type: ignore
    except (yaml.YAMLError, OmegaConfBaseException):
        return key, value


def nested(key: str, value: Any) -> dict[str, Any]:
    """``a.b`` and a value as ``{a: {b: value}}``."""
    for part in reversed(key.split(".")):
        value = {part: value}
    return dict(value)


def merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """One mapping over another. A mapping that names another plugin replaces the one below: its keywords are not that one's."""
    merged = dict(below)
    for key, value in above.items():
        before = merged.get(key)
        if isinstance(before, str) and isinstance(value, Mapping):
            before = {"name": before}
        both = isinstance(before, Mapping) and isinstance(value, Mapping)
        if both and before.get("name") in (None, value.get("name", before.get("name"))):  # type: ignore[union-attr]
            value = merge(before, value)  # type: ignore[arg-type]
        merged[key] = value
    return merged


def resolve(content: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The content with what ``${...}`` stands for.

    Raises:
        UserError: an interpolation that leads nowhere; names the key.
    """
    try:
        resolved = OmegaConf.to_container(OmegaConf.create(dict(content)), resolve=True)
    except OmegaConfBaseException as error:
        key = getattr(error, "full_key", None)
        reason = str(getattr(error, "msg", None) or error).splitlines()[0]
        raise UserError(f"{where}: {key + ': ' if key else ''}{reason}") from error
    return {str(key): value for key, value in typing.cast(Mapping[Any, Any], resolved).items()}


def _over_defaults(schema: type[Settings], values: Mapping[str, Any]) -> dict[str, Any]:
    """The values, each section over the default of its field where that is not the default of its class."""
    filled = dict(values)
    for name, field in schema.model_fields.items():
        key = field.alias or name
        section, labelled = section_of(field.annotation, Settings)
        if section is None or labelled or not isinstance(values.get(key), Mapping):
            continue
        own = _over_defaults(section, values[key])
        default = field.get_default(call_default_factory=True) if not field.is_required() else None
        filled[key] = merge(as_mapping(default), own) if isinstance(default, Settings) else own
    return filled


def _first_fault(schema: type[Settings], errors: Sequence[ErrorDetails]) -> str:
    """The first fault, with all that pydantic says of the same key."""
    first = errors[0]
    path, annotation = _key_of(schema, first["loc"])
    if first["type"] == "missing" and path.split(".")[-1] == str(first["loc"][-1]):  # no item of a list
        return f"{path} is missing"
    value, context = _shown(first["input"]), first.get("ctx", {})
    if "error" in context:  # a rule of ours: it says itself what is wrong
        if isinstance(context["error"], KeyFault):
            return str(context["error"]).replace("{key}", path)
        return str(context["error"]) if not path else f"{path}={value}: {context['error']}"
    bounds = {"greater_than_equal": ("ge", "{:g} or more"), "greater_than": ("gt", "above {:g}")}
    bounds |= {"less_than_equal": ("le", "{:g} or less"), "less_than": ("lt", "below {:g}")}
    if first["type"] in bounds:
        word, text = bounds[first["type"]]
        return f"{path}={value} must be {text.format(context[word])}"
    if annotation is not None and first["type"].endswith(("_type", "_error", "_parsing")):
        return f"{path}={value} should be {describe_type(annotation)}"
    return f"{path}={value}: {first['msg'][0].lower()}{first['msg'][1:]}"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:197]}..."


def _key_of(schema: type[Settings], place: Sequence[int | str]) -> tuple[str, Any]:
    """The dotted key that an error's place names, and its annotation; parts below the last known key are left out."""
    path: list[str] = []
    current: type[BaseModel] | None = schema
    annotation: Any = None
    parts = list(place)
    while parts and current is not None:
        name = str(parts.pop(0))
        field = next((f for n, f in current.model_fields.items() if name in (n, f.alias)), None)
        if field is None:
            break
        path.append(name)
        annotation = field.annotation
        current, labelled = section_of(annotation, BaseModel)
        if labelled and parts:
            path.append(str(parts.pop(0)))
        if current is not None and parts and parts[0] == current.__name__:  # the branch of a union
            parts.pop(0)
    return ".".join(path), annotation


def _is_union(annotation: Any) -> bool:
    return typing.get_origin(annotation) in (Union, types.UnionType)
