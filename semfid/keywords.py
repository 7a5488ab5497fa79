"""A registered plugin, what a YAML may set of it (read from its factory's signature), and whether a value fits."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Annotated, Any, Generic, Literal, TypeVar

from semfid.errors import UserError, deprecated, did_you_mean

T = TypeVar("T")
_FIXED = "set by a preset"
Fixed = Annotated[T, _FIXED]
"""Type of a factory's parameter that a preset may set and no YAML: ``name: Fixed[str] = "any"``."""


@dataclass(frozen=True)
class Entry(Generic[T]):
    """One registered plugin.

    Attributes:
        factory: the class or function itself; a preset has that of the plugin it is made of. `build` calls it.
        keywords: what a YAML may set, in order; those of a shared group among them.
        group: the factory's parameter that takes a group of keywords, and the group's dataclass.
        preset: values that a preset sets before the YAML's.
    """

    name: str
    factory: Callable[..., T]
    summary: str
    source: str
    location: str
    keywords: dict[str, inspect.Parameter]
    group: tuple[str, type] | None = None
    preset: Mapping[str, Any] = field(default_factory=dict)

    def build(self, *given: Any, **keywords: Any) -> T:
        """Call the factory; `keywords` are flat, as in the YAML, and unchecked."""
        values = {**self.preset, **keywords}
        if self.group is not None:
            parameter, kind = self.group
            own = [one.name for one in fields(kind) if one.name in values]
            values[parameter] = kind(**{key: values.pop(key) for key in own})
        return self.factory(*given, **values)

    def signature(self) -> str:
        """The keywords as a YAML writer sees them: ``depth=3, normalize='unit'``."""
        parts = []
        for keyword in self.keywords.values():
            required = keyword.default is inspect.Parameter.empty
            parts.append(keyword.name if required else f"{keyword.name}={keyword.default!r}")
        return ", ".join(parts)


def keywords_of(
    what: str, factory: Callable[..., Any], given: Sequence[str], shared: type | None
) -> tuple[dict[str, inspect.Parameter], tuple[str, type] | None]:
    """The keywords of a factory, in order.

    Args:
        what: the factory, in the words of a message.
        given: names of the leading parameters, which the framework passes and no YAML sets.
        shared: a dataclass whose fields are keywords too, in place of the parameter that is annotated with it.

    Returns:
        The keywords; the name of the parameter that takes `shared`, and `shared`.

    Raises:
        UserError: a signature with ``*args`` or ``**kwargs``, without the given parameters, or without one for `shared`.
    """
    keywords: dict[str, inspect.Parameter] = {}
    group = None
    for parameter in _without_given(what, factory, given):
        if shared is not None and parameter.annotation in (shared, shared.__name__):
            keywords |= _fields(shared)
            group = parameter.name, shared
        elif _FIXED not in getattr(parameter.annotation, "__metadata__", ()):
            keywords[parameter.name] = parameter
    if shared is not None and group is None:
        raise UserError(f"{what} has no parameter of the type {shared.__name__}, its shared keywords; add one")
    return keywords, group


def _without_given(what: str, factory: Callable[..., Any], given: Sequence[str]) -> list[inspect.Parameter]:
    try:
        parameters = list(inspect.signature(factory, eval_str=True).parameters.values())
    except NameError:  # an annotation that exists for type checkers only: keep the names, leave types unchecked
        parameters = list(inspect.signature(factory).parameters.values())
    for parameter in parameters:
        if parameter.kind in (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL):
            raise UserError(
                f"{what} takes *{parameter.name}: a mistyped keyword would pass unseen; spell the parameters out"
            )
    leading = tuple(parameter.name for parameter in parameters[: len(given)])
    if "trunk" in leading and "backbone" in given:  # the word until 0.1
        deprecated(f"{what}: the parameter 'trunk' is now 'backbone'")
        leading = tuple("backbone" if name == "trunk" else name for name in leading)
    if leading != tuple(given):
        raise UserError(f"{what} must take {tuple(given)} first, not {leading}")
    return parameters[len(given) :]


def _fields(group: type) -> dict[str, inspect.Parameter]:
    """The keywords of a dataclass; annotations are evaluated where each class of its line declares them."""
    types = typing.get_type_hints(group)
    parameters = inspect.signature(group).parameters.values()
    return {one.name: one.replace(annotation=types[one.name]) for one in parameters}


def named(value: Mapping[str, Any] | str, where: str) -> tuple[str, dict[str, Any]]:
    """Split ``{name: x, a: 1}`` or ``"x"`` into a name and keywords.

    Raises:
        UserError: neither of the two; the text begins with `where`.
    """
    if isinstance(value, str):
        return value, {}
    if not isinstance(value, Mapping) or not isinstance(value.get("name"), str):
        near = [key for key in value if did_you_mean(key, ["name"])] if isinstance(value, Mapping) else []
        meant = f"; did you mean 'name' by {near[0]!r}?" if near and "name" not in value else ""
        raise UserError(f"{where} must be a name or a mapping with a name, not {value!r}{meant}")
    return value["name"], {str(key): item for key, item in value.items() if key != "name"}


def misfit(value: Any, annotation: Any) -> str:
    """What a value should be, in the words of a message; empty where it fits its annotation."""
    from semfid.typing_checks import describe_type, fits  # pydantic: half a second, which `semfid list` saves

    if fits(value, annotation):
        return ""
    hint = ""
    if typing.get_origin(annotation) is Literal and isinstance(value, str):
        hint = did_you_mean(value, [choice for choice in typing.get_args(annotation) if isinstance(choice, str)])
    elif fits([str(item) for item in value] if isinstance(value, (list, tuple)) else str(value), annotation):
        hint = "; put texts that look like something else, such as 007, in quotes"
    return f"should be {describe_type(annotation)}{hint}"


def location_of(factory: Callable[..., Any]) -> str:
    """``file:line`` of a factory, or its module."""
    code = inspect.unwrap(factory)
    try:
        return f"{inspect.getsourcefile(code)}:{inspect.getsourcelines(code)[1]}"
    except (OSError, TypeError):
        return getattr(factory, "__module__", "?")
