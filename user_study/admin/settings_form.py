"""The settings of a study as a form: what its fields are, made from the model, and their text, written and read."""

from __future__ import annotations

import re
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic.fields import FieldInfo

from semfid.errors import UserError
from semfid.settings import Settings, merge, nested, section_of
from user_study.core.errors import StudyError
from user_study.core.settings import StudySettings, from_dict

Kind = Literal["line", "text", "whole", "number", "tick", "choice", "wholes", "lines"]
KINDS: dict[Any, Kind] = {bool: "tick", int: "whole", float: "number", tuple[int, ...]: "wholes"}
LONGEST_LINE = 500  # characters; a longer text gets a box
NUMBERS = {"whole": "a whole number", "number": "a number such as 0.1", "wholes": "whole numbers with commas"}


@dataclass(frozen=True)
class Field:
    """One setting; `key` is its place in a settings file, `kind` how it is written in the form."""

    key: str
    title: str
    kind: Kind
    help: str
    options: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Group:
    """Settings that are shown together."""

    name: str
    title: str
    fields: tuple[Field, ...]


class FormFault(StudyError):
    """A field that cannot be read; `key` names it."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


def _fields(schema: type[Settings], prefix: str = "") -> Iterator[Field]:
    """The fields of a model and of its sections, in its order."""
    for name, info in schema.model_fields.items():
        key = f"{prefix}{info.alias or name}"
        section, _ = section_of(info.annotation, Settings)
        if section is not None:
            yield from _fields(section, f"{key}.")
        else:
            extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
            options = typing.cast(dict[str, str], extra.get("options", {}))
            yield Field(key, info.title or key, _kind(info), info.description or "", tuple(options.items()))


def _kind(info: FieldInfo) -> Kind:
    if typing.get_origin(info.annotation) is Literal:
        return "choice"
    if info.annotation in KINDS:
        return KINDS[info.annotation]
    if typing.get_origin(info.annotation) is tuple:
        return "lines"
    longest = max((item.max_length for item in info.metadata if hasattr(item, "max_length")), default=0)
    return "text" if longest > LONGEST_LINE else "line"


FIELDS = {field.key: field for field in _fields(StudySettings)}


def _group(name: str, title: str, *keys: str) -> Group:
    """A group of fields; a section means all its fields."""
    return Group(
        name, title, tuple(field for key in keys for field in FIELDS.values() if f"{field.key}.".startswith(f"{key}."))
    )


GROUPS = (
    _group(
        "texts", "What people read", "title", "contact", "question", "definition", "consent_text", "retention_text"
    ),
    _group(
        "answers_group", "Answers and pairs", "answers", "quota", "per_person_cap", "break_every", "lease_s",
        "follow_up_category", "follow_up_where", "key_swap", "phones",
    ),
    _group("checks", "Traps, repeats, practice", "trap_rate", "repeat_rate", "repeat_gap", "training"),
    _group("rules", "Rules of exclusion", "rules"),
    _group("game", "Points and prizes", "leaderboard", "prizes", "game"),
    _group("entry", "How people come and go", "open_registration", "prolific", "keep_answers_on_delete"),
)  # fmt: skip


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"rules": {"min_traps": 8}} as {"rules.min_traps": 8}."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return found


def written(value: Any) -> str:
    """A value as its field shows it."""
    if isinstance(value, list):
        numbers = bool(value) and all(isinstance(item, int) for item in value)
        return (", " if numbers else "\n").join(map(str, value))
    if isinstance(value, bool):
        return "yes" if value else ""
    return str(value)


def texts(settings: StudySettings) -> dict[str, str]:
    """Every setting as its field shows it."""
    return {key: written(value) for key, value in flat(settings.to_dict()).items()}


def read(typed: Mapping[str, str], current: StudySettings, locked: tuple[str, ...] = ()) -> StudySettings:
    """Settings from a form that was sent.

    Args:
        typed: text by key; a tick that is not set is left out.
        current: values of fields that the form cannot change.
        locked: keys of them.

    Raises:
        FormFault: a field that holds no fitting value; names it.
    """
    now = flat(current.to_dict())
    values: dict[str, Any] = {}
    for key, field in FIELDS.items():
        values = merge(values, nested(key, now[key] if key in locked else _value(field, typed.get(key, ""))))
    try:
        return from_dict(values)
    except UserError as error:
        raise FormFault(fault_key(error), str(error).removeprefix("settings: ")) from error


def fault_key(fault: UserError | None) -> str:
    """The field that a fault names; empty where it names none."""
    if isinstance(fault, FormFault):
        return fault.key
    return next((word for word in re.split(r"[\s:,=]+", str(fault or "")) if word in FIELDS), "")


def _value(field: Field, text: str) -> Any:
    text = text.replace("\r\n", "\n").strip()
    if field.kind == "tick":
        return text == "yes"
    if field.kind == "lines":
        return [line.strip() for line in text.split("\n") if line.strip()]
    try:
        if field.kind == "whole":
            return int(text)
        if field.kind == "wholes":
            return [int(part) for part in text.replace("\N{MINUS SIGN}", "-").split(",") if part.strip()]
        if field.kind == "number":
            return float(text)
    except ValueError as error:
        raise FormFault(field.key, f"{field.title}: write {NUMBERS[field.kind]}, not {text[:40]!r}") from error
    return text


def differences(old: StudySettings | None, new: StudySettings) -> list[tuple[str, str, str]]:
    """(title, before, after) of what differs, in the order of the form."""
    if old is None:
        return []
    before, after = texts(old), texts(new)
    return [
        (field.title, _seen(field, before[field.key]), _seen(field, after[field.key]))
        for group in GROUPS
        for field in group.fields
        if after[field.key] != before[field.key]
    ]


def _seen(field: Field, text: str) -> str:
    if field.kind == "tick":
        return "on" if text else "off"
    return dict(field.options).get(text, text)
