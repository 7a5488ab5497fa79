"""What is registered, read from the rooms' source without importing them.

Importing every room takes Lightning, and seconds, to print a page. A test holds this reading against the registries.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

from registry import REGISTRIES

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Row:
    """One registered plugin; `keywords` as a YAML writer sees them: ``depth=3, normalize='unit'``."""

    name: str
    summary: str
    source: str
    location: str
    keywords: str


def listing(kind: str) -> list[Row]:
    """Every plugin of a kind: those of the room's files, and those that imported plugins have registered."""
    registry = REGISTRIES[kind]
    rows: dict[str, Row] = {}
    for path in sorted((ROOT / registry.room.replace(".", "/")).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
                for decorator in node.decorator_list:
                    row = _row(node, decorator, kind, len(registry.given), path)
                    if row is not None:
                        rows[row.name] = row
    for entry in registry.registered():
        location = entry.location.replace(f"{ROOT}/", "")
        rows.setdefault(entry.name, Row(entry.name, entry.summary, entry.source, location, entry.signature()))
    return [rows[name] for name in sorted(rows)]


def _row(node: ast.ClassDef | ast.FunctionDef, decorator: ast.expr, kind: str, given: int, path: Path) -> Row | None:
    """The row of ``@KIND.register("name", summary=..., source=...)``."""
    if not (
        isinstance(decorator, ast.Call)
        and isinstance(decorator.func, ast.Attribute)
        and decorator.func.attr == "register"
        and isinstance(decorator.func.value, ast.Name)
        and decorator.func.value.id == kind.upper()
    ):
        return None
    words = {keyword.arg: _text(keyword.value) for keyword in decorator.keywords}
    name = _text(decorator.args[0])
    location = f"{path.relative_to(ROOT)}:{min(node.lineno, *(d.lineno for d in node.decorator_list))}"
    return Row(name, words.get("summary", ""), words.get("source", ""), location, _keywords(node, given))


def _text(node: ast.expr) -> str:
    """A string of the source; where it is put together as it runs, the expression itself."""
    return str(node.value) if isinstance(node, ast.Constant) else ast.unparse(node)


def _keywords(node: ast.ClassDef | ast.FunctionDef, given: int) -> str:
    if isinstance(node, ast.ClassDef):
        methods = [item for item in node.body if isinstance(item, ast.FunctionDef) and item.name == "__init__"]
        if not methods:  # a base class's, which takes nothing
            return ""
        node, given = methods[0], given + 1  # self
    arguments = [*node.args.posonlyargs, *node.args.args]
    defaults: list[ast.expr | None] = [None] * (len(arguments) - len(node.args.defaults))
    defaults += node.args.defaults
    pairs = list(zip(arguments, defaults, strict=True))[given:]
    pairs += list(zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True))
    return ", ".join(a.arg if default is None else f"{a.arg}={ast.unparse(default)}" for a, default in pairs)
