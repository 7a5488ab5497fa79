"""YAML files that people write: one reader for experiments, builds, labels, the study's settings and the configurations of runs.

A key that stands twice in one mapping is refused with both lines: YAML's own readers keep the last of them without a word.
"""

from __future__ import annotations

import io
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from semfid.errors import UserError, did_you_mean

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml is ten times faster, and not always there
_Misfits = (
    ValueError,
    AttributeError,
    LookupError,
)  # PyYAML's, of a tag that does not fit its value: !!timestamp 2, !!int x
UNREADABLE = (yaml.YAMLError, OmegaConfBaseException, OSError, RecursionError, *_Misfits)


def read_mapping(path: str | Path, what: str = "file", resolve: bool = False) -> dict[str, Any]:
    """The mapping that a file holds; an empty file holds an empty one. Keys become text.

    Args:
        what: the word for a file that is not there.
        resolve: put in what ``${...}`` stands for; else it stays as it is written.

    Raises:
        UserError: no such file, with near misses; no YAML; no mapping; a key that stands twice.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
        node = yaml.compose(text, Loader=_Loader)
        _refuse_twice(node, set(), path)
        if node is not None and not isinstance(node, yaml.MappingNode):
            raise UserError(f"{path}: the file must hold a mapping, `key: value` lines; it holds a {_kind(node)}")
        content: Any = OmegaConf.to_container(OmegaConf.load(io.StringIO(text)), resolve=resolve)
    except FileNotFoundError as error:
        near = did_you_mean(path.name, [one.name for one in path.parent.glob("*.yaml")]) if path.parent.is_dir() else ""
        raise UserError(f"no {what} {path}{near}; give the path of a YAML") from error
    except UNREADABLE as error:
        raise UserError(
            f"{path} is not a YAML file: {' '.join(str(error).split())}; write `key: value` lines"
        ) from error
    return {str(key): value for key, value in content.items()}


def _kind(node: yaml.Node) -> str:
    return "list" if isinstance(node, yaml.SequenceNode) else "text"


def _refuse_twice(node: yaml.Node | None, seen: set[Hashable], path: Path) -> None:
    """Walk all mappings once: an alias leads to what was seen before, or to itself.

    Raises:
        UserError: a key that stands twice; 1 and "1" are one key, for keys become text.
    """
    if node is None or id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for child in node.value:
            _refuse_twice(child, seen, path)
    elif isinstance(node, yaml.MappingNode):
        lines: dict[str, int] = {}
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                line = key.start_mark.line + 1
                if key.value in lines:
                    raise UserError(
                        f"{path} is not a YAML file: the key '{key.value}' stands twice, in lines {lines[key.value]} and "
                        f"{line}; remove one of them"
                    )
                lines[key.value] = line
            _refuse_twice(value, seen, path)
