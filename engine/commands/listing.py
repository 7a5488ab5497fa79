"""What is registered, read from the rooms' source without importing them.

Importing every room takes Lightning, and seconds, to print a page. A test holds this reading against the registries.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from registry import REGISTRIES

ROOT = Path(__file__).resolve().parents[2]
Keywords = dict[str, "str | None"]  # name to the source of its default; None: required


@dataclass(frozen=True)
class Row:
    """One registered plugin; `keywords` as a YAML writer sees them: ``depth=3, normalize='unit'``."""

    name: str
    summary: str
    source: str
    location: str
    keywords: str


@dataclass(frozen=True)
class _Registration:
    """One call of `Registry.register` or `Registry.preset`: its arguments as source, and what `register` decorates."""

    path: Path
    line: int
    name: str
    words: dict[str, ast.expr]
    node: ast.ClassDef | ast.FunctionDef | None = None


def listing(kind: str) -> list[Row]:
    """Every plugin of a kind: those of the room's files, and those that imported plugins have registered."""
    registry = REGISTRIES[kind]
    folder = ROOT / registry.room.replace(".", "/")
    found = {one.name: one for path in sorted(folder.rglob("*.py")) for one in _registrations(path, kind.upper())}
    rows = {}
    for name, one in found.items():
        summary, source = (_text(one.words[word]) if word in one.words else "" for word in ("summary", "source"))
        keywords = _keywords(one, found, len(registry.given))
        written = ", ".join(key if default is None else f"{key}={default}" for key, default in keywords.items())
        rows[name] = Row(name, summary, source, f"{one.path.relative_to(ROOT)}:{one.line}", written)
    for entry in registry.registered():
        location = entry.location.replace(f"{ROOT}/", "")
        rows.setdefault(entry.name, Row(entry.name, entry.summary, entry.source, location, entry.signature()))
    return [rows[name] for name in sorted(rows)]


def _registrations(path: Path, registry: str) -> Iterator[_Registration]:
    for node in ast.walk(_tree(path)):
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            line = min([node.lineno, *(one.lineno for one in node.decorator_list)])
            for decorator in node.decorator_list:
                if _calls(decorator, registry, "register"):
                    yield _Registration(path, line, *_arguments(decorator), node)
        elif isinstance(node, ast.Expr) and _calls(node.value, registry, "preset"):
            yield _Registration(path, node.lineno, *_arguments(node.value))


def _calls(node: ast.expr, registry: str, method: str) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func) == f"{registry}.{method}"


def _arguments(call: ast.expr) -> tuple[str, dict[str, ast.expr]]:
    if not isinstance(call, ast.Call):
        raise TypeError("not a call")
    return _text(call.args[0]), {word.arg: word.value for word in call.keywords if word.arg is not None}


def _text(node: ast.expr) -> str:
    """A string of the source; where it is put together as it runs, the expression itself."""
    return str(node.value) if isinstance(node, ast.Constant) else ast.unparse(node)


def _keywords(one: _Registration, found: dict[str, _Registration], given: int) -> Keywords:
    if one.node is None:
        return _of_preset(one, found, given)
    shared = ast.unparse(one.words["shared"]) if "shared" in one.words else ""
    keywords: Keywords = {}
    for argument, default in _parameters(one.node)[given:]:
        annotation = ast.unparse(argument.annotation) if argument.annotation is not None else ""
        if shared and annotation == shared:
            keywords |= _fields(shared, one.path)
        elif not annotation.startswith("Fixed["):
            keywords[argument.arg] = default if default is None else _constant(default, one.path)
    return keywords


def _of_preset(one: _Registration, found: dict[str, _Registration], given: int) -> Keywords:
    """The keywords of the plugin that it is made of, without those that it fixes."""
    defaults = one.words.get("defaults", ast.Dict([], []))
    pairs = zip(defaults.keys, defaults.values, strict=True) if isinstance(defaults, ast.Dict) else ()
    own: Keywords = {_text(key): _constant(ast.unparse(value), one.path) for key, value in pairs if key is not None}
    base = _keywords(found[_text(one.words["of"])], found, given)
    return {key: own.get(key, default) for key, default in base.items() if key not in one.words}


def _parameters(node: ast.ClassDef | ast.FunctionDef) -> list[tuple[ast.arg, str | None]]:
    """Parameters with their defaults; of a class, those of its constructor."""
    first = 0
    if isinstance(node, ast.ClassDef):
        methods = [item for item in node.body if isinstance(item, ast.FunctionDef) and item.name == "__init__"]
        if not methods:  # a base class's, which takes nothing
            return []
        node, first = methods[0], 1  # self
    arguments = [*node.args.posonlyargs, *node.args.args]
    defaults: list[ast.expr | None] = [None] * (len(arguments) - len(node.args.defaults))
    defaults += node.args.defaults
    pairs = list(zip(arguments, defaults, strict=True))[first:]
    pairs += list(zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True))
    return [(argument, None if default is None else ast.unparse(default)) for argument, default in pairs]


def _constant(source: str, path: Path) -> str:
    """The value of a default that is a constant such as ``PROMPT``, of its file or imported by name; another default as it is."""
    for node in _tree(path).body:
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == [source]:
            return ast.unparse(node.value) if isinstance(node.value, ast.Constant) else source
        if isinstance(node, ast.ImportFrom):
            origin = _imported(node, source)
            if origin is not None:
                return _constant(*origin)
    return source


def _imported(node: ast.ImportFrom, name: str) -> tuple[str, Path] | None:
    """The name that an import has for `name`, and the file that it comes from; None where it brings something else."""
    for alias in node.names:
        if (alias.asname or alias.name) == name and node.module is not None:
            module = ROOT / node.module.replace(".", "/")
            file = module / "__init__.py" if module.is_dir() else module.with_suffix(".py")
            return (alias.name, file) if file.is_file() else None
    return None


def _fields(name: str, path: Path) -> Keywords:
    """Fields of a dataclass, as the file sees it: its own class, or one that it imports by name. A base's come first."""
    for node in _tree(path).body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            keywords: Keywords = {}
            for base in node.bases:
                keywords |= _fields(ast.unparse(base), path)
            for item in node.body:
                if isinstance(item, ast.AnnAssign):
                    keywords[ast.unparse(item.target)] = None if item.value is None else ast.unparse(item.value)
            return keywords
        if isinstance(node, ast.ImportFrom):
            origin = _imported(node, name)
            if origin is not None:
                return _fields(*origin)
    return {}


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))
