"""Whether a value that YAML spelled fits an annotation, by pydantic, and what the annotation is called in a message."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from typing import Annotated, Any, Literal, Union

from pydantic import (
    BeforeValidator,
    ConfigDict,
    PydanticSchemaGenerationError,
    PydanticUserError,
    TypeAdapter,
    ValidationError,
)

_SPELLABLE = (str, int, float, bool, type(None))


def fits(value: Any, annotation: Any) -> bool:
    """Whether a YAML value fits an annotation; what a YAML cannot spell is left to the factory.

    Types are strict (``1`` is no text, ``true`` no number), but a list may stand for a tuple and an int for a float.
    """
    if not _spellable(annotation):
        return True
    try:
        adapter = _adapter(annotation)
    except (PydanticSchemaGenerationError, PydanticUserError):
        return True
    try:
        adapter.validate_python(_without_tuples(value), strict=True)
    except ValidationError:
        return False
    return True


def describe_type(annotation: Any) -> str:
    """The annotation in the words of a message."""
    if typing.get_origin(annotation) is Literal:
        return "one of " + ", ".join(repr(choice) for choice in typing.get_args(annotation))
    if typing.get_origin(annotation) in (Union, types.UnionType):
        return " or ".join(describe_type(option) for option in typing.get_args(annotation))
    if annotation is type(None):
        return "null"
    return (
        getattr(annotation, "__name__", str(annotation)) if typing.get_origin(annotation) is None else str(annotation)
    )


def _spellable(annotation: Any) -> bool:
    if annotation in (Any, inspect.Parameter.empty) or isinstance(annotation, str):
        return False
    origin = typing.get_origin(annotation)
    if origin is Literal:
        return True
    if origin is not None:
        container = origin in (list, tuple, dict, Mapping, Sequence, Union, types.UnionType)
        return container and all(_spellable(one) for one in typing.get_args(annotation) if one is not Ellipsis)
    return annotation in (*_SPELLABLE, list, tuple, dict, Mapping, Sequence, None)


@lru_cache(maxsize=512)
def _adapter(annotation: Any) -> TypeAdapter[Any]:
    return TypeAdapter(_lists_for_tuples(annotation), config=ConfigDict(strict=True))


def _lists_for_tuples(annotation: Any) -> Any:
    """The annotation with lists in place of what YAML spells as a list."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation in (tuple, Sequence):
        return list
    if annotation is Mapping:
        return dict
    if origin is Literal:
        return Annotated[annotation, BeforeValidator(partial(_same_type, arguments))]
    if origin is None:
        return annotation
    inner = tuple(_lists_for_tuples(one) for one in arguments if one is not Ellipsis)
    if origin in (tuple, Sequence, list):
        return list[inner[0]] if len(set(inner)) == 1 else list  # type: ignore[valid-type]
    if origin in (dict, Mapping):
        return dict[inner[0], inner[1]]  # type: ignore[valid-type]
    return Union[inner]  # noqa: UP007


def _same_type(choices: tuple[Any, ...], value: Any) -> Any:
    """The value, unless it only equals a choice, as True equals 1."""
    if not any(value == choice and type(value) is type(choice) for choice in choices):
        raise ValueError("not one of the choices")
    return value


def _without_tuples(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_without_tuples(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _without_tuples(item) for key, item in value.items()}
    return value
