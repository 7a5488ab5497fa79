"""The settings of a study as the text of a form, and back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from user_study.admin.settings_fields import FIELDS, Field
from user_study.core.errors import StudyError
from user_study.core.settings import StudySettings, from_dict


class FormFault(StudyError):
    """A field that cannot be read; `key` names it."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


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
        value = now[key] if key in locked else _value(field, typed.get(key, ""))
        *groups, name = key.split(".")
        place = values
        for group in groups:
            place = place.setdefault(group, {})
        place[name] = value
    try:
        return from_dict(values)
    except StudyError as error:
        raise FormFault(fault_key(error), str(error).removeprefix("settings: ")) from error


def fault_key(fault: StudyError | None) -> str:
    """The field that a fault speaks of; empty where it names none."""
    if isinstance(fault, FormFault):
        return fault.key
    return next((word for word in re.split(r"[\s:,]+", str(fault or "")) if word in FIELDS), "")


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
        wanted = {"whole": "a whole number", "number": "a number such as 0.1", "wholes": "whole numbers with commas"}[
            field.kind
        ]
        raise FormFault(field.key, f"{field.title}: write {wanted}, not {text[:40]!r}") from error
    return text


def differences(old: StudySettings | None, new: StudySettings) -> list[tuple[str, str, str]]:
    """(title, before, after) of what differs, in the order of the form."""
    if old is None:
        return []
    before, after = texts(old), texts(new)
    return [
        (FIELDS[key].title, _seen(key, before.get(key, "")), _seen(key, after[key]))
        for key in FIELDS
        if after[key] != before.get(key)
    ]


def _seen(key: str, text: str) -> str:
    if FIELDS[key].kind == "tick":
        return "on" if text else "off"
    return dict(FIELDS[key].options).get(text, text)
