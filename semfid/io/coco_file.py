"""COCO's JSON, read with care: what every reader of photos, objects or captions needs of it.

Ids are numbers or texts: ``7``, ``7.0`` and ``"000000000007"`` are one id; another text stays as it is. Those of images and of
categories must be unique. Messages name a record by its section and its row in it, from 1.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from semfid.errors import UserError

Key = int | str


def read_coco(path: str | Path, where: str, sections: Sequence[str]) -> dict[str, Any]:
    """The mapping of a file, in which each of `sections` is a list.

    Args:
        where: the setting that names the file; messages begin with it.

    Raises:
        UserError: no such file, no JSON, a key that stands twice in one record, a section that is missing or no list.
    """
    try:
        content = json.loads(Path(path).read_bytes(), object_pairs_hook=_once)
    except OSError as error:
        raise UserError(f"{where}: cannot read {path} ({error.strerror}); give the path of COCO's JSON") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where}: {path} is not COCO's JSON ({error}); write it again") from error
    if not isinstance(content, dict):
        raise UserError(f"{where}: {path} is not COCO's JSON (it holds a {type(content).__name__}, not a mapping)")
    for section in sections:
        if not isinstance(content.get(section), list):
            what = f"{section} is a {type(content[section]).__name__}" if section in content else f"it has no {section}"
            raise UserError(f"{where}: {path} is not COCO's JSON ({what}); it needs the lists {' and '.join(sections)}")
    return content


def key_of(value: Any) -> Key:
    """An id in the form that all spellings of it share.

    Raises:
        ValueError: neither a whole number nor a text.
    """
    if isinstance(value, float) and math.isfinite(value) and value == int(value):
        value = int(value)
    if isinstance(value, str) and value.strip():
        value = value.strip()
        value = int(value) if value.isdecimal() and value.isascii() and len(value) < 40 else value
    if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
        return value if isinstance(value, str) or abs(value) < 2**62 else str(value)  # tables hold 64 bits
    raise ValueError(f"{value!r} is no id")


def by_key(content: Mapping[str, Any], section: str, name: str) -> dict[Key, Mapping[str, Any]]:
    """The records of a section by their ids.

    Args:
        name: the file in messages.

    Raises:
        UserError: a record that is none, or without an id; two of one id.
    """
    found: dict[Key, Mapping[str, Any]] = {}
    rows: dict[Key, int] = {}
    for row, one in enumerate(content[section], start=1):
        try:
            key = key_of(one["id"])
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{name}: {section}, row {row} has no id; give it a number of its own") from error
        if key in found:
            raise UserError(
                f"{name}: {section}, rows {rows[key]} and {row} have one id, {one['id']!r}; ids must be unique"
            )
        found[key], rows[key] = one, row
    return found


def text_of(record: Mapping[str, Any], field: str, what: str) -> str:
    """A text that a record must have.

    Raises:
        UserError: none, a blank one, a null, a number, or what no file can be called; `what` names the record.
    """
    given = record.get(field)
    if not isinstance(given, str) or not given.strip():
        shown = "is missing" if field not in record else f"is {json.dumps(given)[:40]} and no text"
        raise UserError(f"{what}: its {field} {shown}; mend it or drop the row")
    if "\0" in given or any("\ud800" <= letter <= "\udfff" for letter in given):
        raise UserError(f"{what}: its {field} {given[:40]!r} holds a broken letter; mend it or drop the row")
    return given


def captions(content: Mapping[str, Any], name: str) -> list[tuple[Any, Key, str]]:
    """Id, image's id and sentence of each caption, in the file's order.

    Args:
        name: the file in messages.

    Raises:
        UserError: a caption that is no text, or blank; one without an image.
    """
    rows = []
    for row, one in enumerate(content["annotations"], start=1):
        try:
            key = key_of(one["image_id"])
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{name}: annotations, row {row} has no image_id; add it or drop the row") from error
        rows.append(
            (one.get("id"), key, text_of(one, "caption", f"{name}: annotations, row {row} (image {one['image_id']})"))
        )
    return rows


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} stands twice in one record")
    return found
