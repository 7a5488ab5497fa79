"""Templates to pages. The content security policy forbids inline script and style, so templates hold neither."""

from __future__ import annotations

import hashlib
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.requests import Request
from starlette.responses import HTMLResponse

HERE = Path(__file__).resolve().parent
STATIC = HERE / "static"


@cache
def environment() -> Environment:
    """The templates; everything printed is escaped, an unknown name is an error."""
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.globals["asset"] = asset
    made.filters["paragraphs"] = paragraphs
    made.filters["thousands"] = thousands
    return made


def page(request: Request, template: str, status: int = 200, **context: Any) -> HTMLResponse:
    """`template` filled with `context`; pages of people are never kept by a cache.

    `study_title` names the study in the head of every page; without it, "User study".
    """
    filled = environment().get_template(template).render({"study_title": "User study", **context, "request": request})
    return HTMLResponse(filled, status_code=status, headers={"Cache-Control": "no-store"})


@cache
def asset(name: str) -> str:
    """Address of a file of static/, with a mark of its content: a new release is fetched again.

    Raises:
        FileNotFoundError: no such file.
    """
    return f"/static/{name}?v={hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:10]}"


@lru_cache(maxsize=256)  # texts of the settings, the same at every request
def paragraphs(text: str) -> Markup:
    """Plain text as HTML: an empty line separates paragraphs, lines that start with ``- `` make a list."""
    blocks = []
    for block in text.replace("\r\n", "\n").strip().split("\n\n"):
        lines = [line.strip() for line in block.strip().split("\n")]
        if all(line.startswith("- ") for line in lines):
            blocks.append(Markup("<ul>{}</ul>").format(Markup("").join(map(list_item, lines))))
        else:
            blocks.append(Markup("<p>{}</p>").format(Markup("<br>").join(escape(line) for line in lines)))
    return Markup("\n").join(blocks)


def list_item(line: str) -> Markup:
    """A line of text that begins with ``- `` as an item of a list."""
    return Markup("<li>{}</li>").format(line[2:])


def thousands(number: int | float) -> str:
    """12345 as ``12,345``."""
    return f"{number:,}"
