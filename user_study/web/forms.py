"""Fields of a form that was sent."""

from __future__ import annotations

from starlette.datastructures import FormData

from user_study.web.errors import Problem


def text_of(form: FormData, name: str, longest: int) -> str:
    """A field without spaces around it; empty where there is none.

    Raises:
        Problem: longer than `longest`, or a file.
    """
    value = form.get(name, "")
    if not isinstance(value, str) or len(value) > longest:
        raise Problem(400, "bad_request", f"{name} has more than {longest} characters; shorten it.")
    return value.strip()
