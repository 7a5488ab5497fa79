"""All kinds of edits by name, in the order of the table."""

from __future__ import annotations

from data_tools.builders.edits.contract import Kind
from data_tools.builders.edits.keeping import inside_object, unchanged, whole_photo
from data_tools.builders.edits.objects import exchange, insert, moved, refilled, remove, same_class
from data_tools.builders.edits.parts import part
from data_tools.builders.edits.text import text

_ALL = (
    Kind("exchange", True, "plain", exchange, "another object in an object's place"),
    Kind("exchange_hard", True, "hard", exchange, "the same of a small object, matched in colour", hard=True),
    Kind("insert", True, "nothing", insert, "an object where none was"),
    Kind("insert_hard", True, "nothing", insert, "a small one, matched in colour", hard=True),
    Kind("remove", True, "plain", remove, "an object gone"),
    Kind("remove_hard", True, "hard", remove, "a small object gone", hard=True),
    Kind("part", True, "plain", part, "a part of an object exchanged or disordered"),
    Kind("part_hard", True, "hard", part, "the same of a small object", hard=True),
    Kind("text", True, "text", text, "a line of text that says something else"),
    Kind("same_class", False, "plain", same_class, "an object exchanged for another one of its class"),
    Kind("same_class_hard", False, "hard", same_class, "the same of a small object, matched in colour", hard=True),
    Kind("moved", False, "any", moved, "an object a few pixels aside, with the traces of an exchange"),
    Kind("refilled", False, "nothing", refilled, "a piece of background for a like one, with the traces of a removal"),
    Kind("global", False, "nothing", whole_photo, "the whole photo degraded"),
    Kind("local", False, "any", inside_object, "one object degraded, or moved by a pixel"),
    Kind("unchanged", False, "nothing", unchanged, "the photo itself"),
)
KINDS: dict[str, Kind] = {kind.name: kind for kind in _ALL}
