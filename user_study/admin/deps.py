"""What every admin page shares: who may see it, what a template gets, how a change is read and confirmed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeVar
from urllib.parse import urlencode

from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from semfid.errors import UserError
from user_study.admin import charts, formats
from user_study.analysis.queries import ListFilter
from user_study.core import study_state
from user_study.database.engine import Database
from user_study.web.errors import Problem
from user_study.web.forms import text_of
from user_study.web.rendering import page

F = TypeVar("F", bound=ListFilter)

# what the page after a redirect says: a code, so that no link can put words into our mouth
SAID = {
    "live": "The study is live: people can take part.",
    "paused": "The study is paused.",
    "closed": "The study is closed.",
    "saved": "Saved as a new version.",
    "same": "Nothing was changed.",
    "excluded": "Excluded. The places of the answers are open again.",
    "restored": "Restored. The answers count again where there was room.",
    "tester": "Marked as a tester.",
    "participant": "Made a participant.",
    "retired": "Retired.",
    "returned": "In use again.",
    "withdrawn": "The link does not work any more.",
    "imported": "Imported.",
    "discarded": "The upload was thrown away.",
    "backup": "The backup is made.",
}
FORMATS: dict[str, Any] = {
    "charts": charts,
    "percent": formats.percent,
    "figure": formats.figure,
    "seconds": formats.seconds,
    "moment": formats.moment,
    "ago": formats.ago,
    "flag_names": formats.FLAG_NAMES,
    "why_not": formats.WHY_NOT,
    "entry_channels": formats.ENTRY_CHANNELS,
    "steps": formats.STEPS,
}


@dataclass(frozen=True)
class AdminRequest:
    """A signed-in researcher who asks for a page.

    Attributes:
        form: what was sent; empty for a page that is only looked at.
    """

    http: Request
    admin: str
    admin_id: int
    now: int
    form: FormData

    @property
    def database(self) -> Database:
        return self.http.state.database

    def text(self, name: str, longest: int = 500) -> str:
        """A field of the form; see `text_of`."""
        return text_of(self.form, name, longest)

    def required(self, name: str, longest: int = 500) -> str:
        """Like `text`, but not empty."""
        value = self.text(name, longest)
        if not value:
            raise Problem(400, "bad_request", f"{name} is empty; go back and fill it in.")
        return value

    def show(
        self, c: Connection, template: str, section: str, heading: str, status: int = 200, **context: Any
    ) -> Response:
        """A page under the head of the admin pages."""
        facts = study_state.facts(c)
        common = {
            **FORMATS,
            "study_title": facts.settings.title,
            "unsure": facts.settings.answers == "unsure",
            "trap_pass": facts.settings.rules.trap_pass,
            "section": section,
            "heading": heading,
            "admin_name": self.admin,
            "now": self.now,
            "said": SAID.get(self.http.query_params.get("said", "")),
            "fault": None,
        }
        return page(self.http, f"admin/{template}", status, **{**common, **context})


Handler = Callable[[AdminRequest], Response]
Endpoint = Callable[[Request], Awaitable[Response]]


def see(path: str, handler: Handler, name: str | None = None) -> Route:
    """A page to look at; who is not signed in is asked to, and comes back afterwards."""

    def endpoint(request: Request) -> Response:
        if request.state.admin is None:
            wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
            return RedirectResponse(f"/admin/login?{urlencode({'next': wanted})}", status_code=303)
        return handler(_read(request, FormData()))

    return Route(path, endpoint, methods=["GET"], name=name)


def change(path: str, handler: Handler, largest_file: int | None = None) -> Route:
    """A change, by POST (that it comes from our own page is checked for all of them in `security`).

    A `UserError` becomes a page that says it; nothing of a failed change is stored.
    """

    async def endpoint(request: Request) -> Response:
        if request.state.admin is None:
            raise Problem(403, "not_signed_in", "Sign in again at /admin/login, then repeat this.")
        form = await request.form(max_files=1, max_fields=200)
        try:
            return await run_in_threadpool(_guarded, handler, _read(request, form))
        finally:
            await form.close()

    return Route(path, endpoint, methods=["POST"])


def _guarded(handler: Handler, request: AdminRequest) -> Response:
    try:
        return handler(request)
    except UserError as error:
        with request.database.read() as c:
            return request.show(c, "fault.html", "", "That did not work", status=409, fault=str(error))


def _read(request: Request, form: FormData) -> AdminRequest:
    name, number = request.state.admin
    return AdminRequest(request, name, number, request.state.now, form)


def done(address: str, said: str) -> RedirectResponse:
    """Back to a page of ours, which says one of `SAID`."""
    return RedirectResponse(f"{address}{'&' if '?' in address else '?'}said={said}", status_code=303)


def own_address(wanted: str, otherwise: str) -> str:
    """`wanted` if it is a path below /admin, so that no form sends people elsewhere."""
    fits = wanted.startswith("/admin") and "\\" not in wanted and wanted.isprintable() and len(wanted) < 1000
    return wanted if fits else otherwise


def asked(kind: type[F], query: Mapping[str, str], down: bool = False) -> F:
    """The filter of a list that an address asks for.

    Args:
        query: fields of the filter by name, as text; those that are missing have their defaults.
        down: whether the order is descending where the address does not say.
    """
    names = {field.name for field in fields(kind)} - {"down", "page"}
    texts = {name: query[name][:200] for name in names if name in query}
    if "search" in query:
        texts["search"] = query["search"].strip()[:200]
    return kind(**texts, down=query.get("down", "1" if down else "0") == "1", page=whole(query.get("page", "1"), 1))


def linker(path: str, values: Mapping[str, Any], defaults: Mapping[str, Any]) -> Callable[..., str]:
    """A function that makes addresses of a list: its filter with some values changed; defaults are left out."""

    def link(**changed: Any) -> str:
        wanted = {**values, **changed}
        query = {
            key: int(value) if isinstance(value, bool) else value
            for key, value in wanted.items()
            if value != defaults[key]
        }
        return f"{path}?{urlencode(query)}" if query else path

    return link


def whole(text: str, otherwise: int) -> int:
    """A page number or the like from an address."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else otherwise
