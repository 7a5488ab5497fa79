"""The page as text: a template, a style sheet and a script, put together so that nothing outside is asked for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

HERE = Path(__file__).resolve().parent


def render(view: Mapping[str, Any], data: Mapping[str, Any]) -> str:
    """The whole HTML file.

    Args:
        view: what the template prints; everything in it is escaped.
        data: what the script reads; JSON without NaN.

    Raises:
        ValueError: NaN or infinity in `data`.
    """
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("template.html").render(
        **view,
        style=Markup((HERE / "style.css").read_text(encoding="utf-8")),
        script=Markup((HERE / "script.js").read_text(encoding="utf-8")),
        data=Markup(script_json(data)),
    )


def script_json(data: Mapping[str, Any]) -> str:
    """JSON that may stand inside a script element: no character in it can end the element or start a comment."""
    text = json.dumps(data, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
