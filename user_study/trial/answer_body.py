"""Reads the JSON that the trial page sends: every key has a type and a range, unknown keys are refused."""

from __future__ import annotations

import re
from functools import lru_cache, partial
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request

from user_study.trial.answers import Submitted
from user_study.web.errors import Problem

_BROWSERS = re.compile(r"(Edg|OPR|SamsungBrowser|Firefox|FxiOS|CriOS|Chrome|Version)/(\d+)")
_FAMILIES = {"Edg": "Edge", "OPR": "Opera", "FxiOS": "Firefox", "CriOS": "Chrome", "Version": "Safari"}
_DAY_MS = 86_400_000.0

# measurements above a bound are stored as the bound: the answer itself is good
_NUMBER = Field(ge=0, allow_inf_nan=False)
Milliseconds = Annotated[float, _NUMBER, AfterValidator(partial(min, _DAY_MS))]
Count = Annotated[int, Field(ge=0), AfterValidator(partial(min, 1_000_000))]
Pixels = Annotated[float, _NUMBER, AfterValidator(partial(min, 100_000.0))]
WholePixels = Annotated[Pixels, AfterValidator(round)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class EmptyBody(BaseModel):
    """No keys."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class TrialBody(EmptyBody):
    """Names a trial."""

    trial: str = Field(min_length=1, max_length=32, pattern=r"^[ -~]+$")


class AnswerBody(TrialBody):
    """An answer as the page sends it; see `Submitted`."""

    answer: Literal["yes", "no", "unsure"]
    rt_ms: Milliseconds | None = None
    load_ms: Milliseconds | None = None
    input: Literal["key", "mouse", "touch", "pen"] | None = None
    held: bool | None = None
    view: Literal["side", "toggle"] | None = None
    toggles: Count | None = None
    zoom_max: Annotated[float, _NUMBER, AfterValidator(partial(min, 1_000.0))] | None = None
    blurs: Count | None = None
    blur_ms: Milliseconds | None = None
    viewport: tuple[WholePixels, WholePixels] | None = None
    pixel_ratio: Annotated[float, _NUMBER, AfterValidator(partial(min, 100.0))] | None = None
    shown_width: Pixels | None = None
    category: Literal["detail", "structure", "meaning"] | None = None
    where: tuple[Share, Share] | None = None


B = TypeVar("B", bound=EmptyBody)


async def read_body(request: Request, kind: type[B]) -> B:
    """The request's JSON object.

    Raises:
        Problem: no object, an unknown or missing key, or a value of another type or out of range.
    """
    try:
        return kind.model_validate_json(await request.body() or b"{}")
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        key = str(first["loc"][0])[:40] if first["loc"] else ""
        said = {
            "extra_forbidden": f"The request has an unknown key {key!r}",
            "missing": f"The request has no {key}",
        }.get(first["type"], f"The request's {key} is not valid" if key else "The request is no JSON object")
        raise Problem(400, "bad_request", f"{said}; reload the page and try again.") from error


async def read_answer(request: Request) -> Submitted:
    """The answer in a request; raises as `read_body`."""
    body = await read_body(request, AnswerBody)
    user_agent = request.headers.get("user-agent", "")
    return Submitted(**{**dict(body), "held": bool(body.held)}, browser=browser(user_agent[:400]))


@lru_cache(maxsize=1000)
def browser(user_agent: str) -> str | None:
    """Family and major version, such as ``Firefox 140``; no more is kept."""
    found = dict(_BROWSERS.findall(user_agent))
    for name in ("Edg", "OPR", "SamsungBrowser", "FxiOS", "CriOS", "Firefox", "Chrome", "Version"):
        if name in found:
            return f"{_FAMILIES.get(name, name)} {found[name]}"[:40]
    return None
