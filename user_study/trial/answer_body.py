"""Reads the JSON that the trial page sends: every key has a type and a range, unknown keys are refused."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from starlette.requests import Request

from user_study.trial.answers import Submitted
from user_study.web.errors import Problem

_BROWSERS = re.compile(r"(Edg|OPR|SamsungBrowser|Firefox|FxiOS|CriOS|Chrome|Version)/(\d+)")
_FAMILIES = {"Edg": "Edge", "OPR": "Opera", "FxiOS": "Firefox", "CriOS": "Chrome", "Version": "Safari"}


def _bad(what: str) -> Problem:
    return Problem(400, "bad_request", f"{what}; reload the page and try again.")


async def read_body(request: Request, known: set[str] | dict[str, Any]) -> dict[str, Any]:
    """The request's JSON object; unknown keys are refused."""
    try:
        values = json.loads(await request.body() or b"{}")
    except (ValueError, RecursionError) as error:
        raise _bad("The request is no JSON") from error
    if not isinstance(values, dict):
        raise _bad("The request is no JSON object")
    unknown = [key for key in values if key not in known]
    if unknown:
        raise _bad(f"The request has an unknown key {unknown[0][:40]!r}")
    return values


async def read_token(request: Request) -> str:
    """The trial that a request names."""
    return _token(await read_body(request, {"trial"}))


def _token(values: dict[str, Any]) -> str:
    token = values.get("trial")
    if not isinstance(token, str) or not 1 <= len(token) <= 32 or not token.isascii() or not token.isprintable():
        raise _bad("The request names no trial")
    return token


def _number(most: float) -> Callable[[Any], float | None]:
    def read(value: Any) -> float | None:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or not value >= 0:
            raise ValueError
        return float(min(value, most))

    return read


def _whole(most: int) -> Callable[[Any], int | None]:
    def read(value: Any) -> int | None:
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise ValueError
        return min(value, most)

    return read


def _one_of(*words: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if value not in words:
            raise ValueError
        return str(value)

    return read


def _pair(read: Callable[[Any], Any]) -> Callable[[Any], tuple[Any, Any]]:
    def both(value: Any) -> tuple[Any, Any]:
        if not isinstance(value, list) or len(value) != 2:
            raise ValueError
        return read(value[0]), read(value[1])

    return both


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError
    return value


def _rounded(value: Any) -> int:
    return round(_number(100_000)(value) or 0)


def _share(value: Any) -> float:
    number = _number(2)(value)
    if number is None or number > 1:
        raise ValueError
    return number


_HOUR = 3_600_000
_FIELDS: dict[str, Callable[[Any], Any]] = {
    "trial": str,
    "answer": _one_of("yes", "no", "unsure"),
    "rt_ms": _number(24 * _HOUR),
    "load_ms": _number(24 * _HOUR),
    "input": _one_of("key", "mouse", "touch", "pen"),
    "held": _flag,
    "view": _one_of("side", "toggle"),
    "toggles": _whole(1_000_000),
    "zoom_max": _number(1_000),
    "blurs": _whole(1_000_000),
    "blur_ms": _number(24 * _HOUR),
    "viewport": _pair(_rounded),
    "pixel_ratio": _number(100),
    "shown_width": _number(100_000),
    "category": _one_of("detail", "structure", "meaning"),
    "where": _pair(_share),
}


async def read_answer(request: Request) -> Submitted:
    """The answer in a request.

    Raises:
        Problem: no such key, or a value of another type or out of range.
    """
    values = await read_body(request, _FIELDS)
    user_agent = request.headers.get("user-agent", "")
    taken: dict[str, Any] = {"trial": _token(values), "browser": browser(user_agent[:400])}
    for key, value in values.items():
        if key == "trial" or value is None:
            continue
        try:
            taken[key] = _FIELDS[key](value)
        except (ValueError, OverflowError) as error:
            raise _bad(f"The request's {key} is not valid") from error
    if "answer" not in taken:
        raise _bad("The request holds no answer")
    return Submitted(**taken)


@lru_cache(maxsize=1000)
def browser(user_agent: str) -> str | None:
    """Family and major version, such as ``Firefox 140``; no more is kept."""
    found = dict((name, number) for name, number in _BROWSERS.findall(user_agent))
    for name in ("Edg", "OPR", "SamsungBrowser", "FxiOS", "CriOS", "Firefox", "Chrome", "Version"):
        if name in found:
            return f"{_FAMILIES.get(name, name)} {found[name]}"[:40]
    return None
