"""What every participant page shares: who is signed in, that person's step, how a form is read."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from user_study.core import study_state
from user_study.core.settings import StudySettings
from user_study.database.engine import Database
from user_study.trial import person
from user_study.trial.person import Person
from user_study.web import sessions
from user_study.web.errors import Problem
from user_study.web.forms import text_of
from user_study.web.rendering import page

# where a person goes on, by participant.step
NEXT = {
    "consent": "/consent",
    "instructions": "/instructions",
    "training": "/study",
    "main": "/study",
    "finished": "/finish",
}


@dataclass(frozen=True)
class ParticipantRequest:
    """One request for a participant page.

    Attributes:
        person: who is signed in; None: nobody.
        form: what was sent; empty for a page that is only looked at.
        reading: the connection that was read from so far, for a page that is only looked at.
    """

    http: Request
    state: str
    settings: StudySettings
    person: Person | None
    now: int
    form: FormData
    reading: Connection | None = None

    @contextlib.contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection to read by: of the transaction that `settings` and `person` are from, if it still lasts."""
        if self.reading is not None:
            yield self.reading
        else:
            with self.database.read() as c:
                yield c

    @property
    def database(self) -> Database:
        return self.http.state.database

    @property
    def signed_in(self) -> Person:
        """The person; pages that need one are made with ``person=True``."""
        if self.person is None:
            raise Problem(401, "not_signed_in", "Start on the first page, or come back with your resume code.")
        return self.person

    def text(self, name: str, longest: int = 200) -> str:
        """A field of the form; see `text_of`."""
        return text_of(self.form, name, longest)

    def limit(self, action: str) -> None:
        """Count this request against the rate of `action`; raises Problem (429)."""
        self.http.state.limits.take(action, self.http.client.host if self.http.client else "socket")

    def show(self, template: str, heading: str = "", status: int = 200, **context: Any) -> Response:
        """A page with the study's head and foot."""
        common = {
            "study_title": self.settings.title,
            "contact": self.settings.contact,
            "settings": self.settings,
            "person": self.person,
            "here": "",
            "heading": heading,
        }
        return page(self.http, f"participant/{template}", status, **{**common, **context})

    @property
    def next(self) -> str:
        """Address of the page where this person is to go on."""
        return NEXT.get(self.person.step, "/") if self.person else "/"

    def go_on(self) -> Response:
        """To that page."""
        return goto(self.next)


Handler = Callable[[ParticipantRequest], Response]
SetCookie = Callable[[Response], Response]


def goto(address: str) -> Response:
    """After a change, by GET: loading the page again repeats nothing."""
    return RedirectResponse(address, status_code=303)


def see(path: str, handler: Handler, needs_person: bool = False) -> Route:
    """A page to look at; it changes nothing. Without the person it needs, the first page is shown."""

    def endpoint(request: Request) -> Response:
        with request.state.database.read() as c:
            found = _read(c, request, FormData())
            return _handled(handler, dataclasses.replace(found, reading=c), needs_person)

    return Route(path, endpoint, methods=["GET"])


def change(path: str, handler: Handler, needs_person: bool = False) -> Route:
    """A form, by POST; that it comes from our own page is checked for all of them in `security`."""

    async def endpoint(request: Request) -> Response:
        async with request.form(max_files=0, max_fields=20) as form:
            return await run_in_threadpool(handle, request, form)

    def handle(request: Request, form: FormData) -> Response:
        with request.state.database.read() as c:
            found = _read(c, request, form)
        return _handled(handler, found, needs_person)

    changing: Callable[[Request], Awaitable[Response]] = endpoint
    return Route(path, changing, methods=["POST"])


def _handled(handler: Handler, request: ParticipantRequest, needs_person: bool) -> Response:
    return handler(request) if request.person or not needs_person else goto("/")


def _read(c: Connection, request: Request, form: FormData) -> ParticipantRequest:
    session = sessions.cookie_hash(request, "participant")
    facts = study_state.facts(c)
    found = None if session is None else person.look_by_session(c, session, request.state.now)
    return ParticipantRequest(request, facts.state, facts.settings, found, request.state.now, form)


def sign_in(request: ParticipantRequest, c: Connection, number: int) -> SetCookie:
    """Begin a session in `c`; the function returned puts it into the response's cookie."""
    value = sessions.begin(c, request.http, "participant", number, request.now)

    def with_cookie(response: Response) -> Response:
        sessions.set_cookie(request.http, response, "participant", value)
        return response

    return with_cookie


def sign_out(request: ParticipantRequest, response: Response) -> Response:
    """End the session on the server and in the browser."""
    with request.database.write() as c:
        sessions.end(c, request.http, "participant")
    sessions.drop_cookie(request.http, response, "participant")
    return response
