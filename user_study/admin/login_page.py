"""Signing in and out of the admin pages."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from user_study.admin.deps import own_address
from user_study.core import accounts, audit, study_state
from user_study.web import sessions
from user_study.web.rendering import page

REFUSED = "This name and password do not fit. Check both, and whether caps lock is on."


def _form(request: Request, status: int, fault: str | None, name: str, wanted: str) -> Response:
    with request.state.database.read() as c:
        title = study_state.facts(c).settings.title
    return page(request, "admin/login.html", status, study_title=title, fault=fault, name=name[:80], next=wanted)


def ask(request: Request) -> Response:
    """The form; who is signed in goes on."""
    wanted = own_address(request.query_params.get("next", ""), "/admin")
    if request.state.admin is not None:
        return RedirectResponse(wanted, status_code=303)
    return _form(request, 200, None, "", wanted)


async def sign_in(request: Request) -> Response:
    """Check the password; the same words after the same time for an unknown name and a wrong password."""
    form = await request.form(max_files=0, max_fields=10)
    name, password, wanted = (str(form.get(field, "")) for field in ("name", "password", "next"))
    return await run_in_threadpool(_check, request, name, password, wanted)


def _check(request: Request, name: str, password: str, wanted: str) -> Response:
    request.state.limits.take("login", request.client.host if request.client else "socket")
    with request.state.database.read() as c:
        known = accounts.look_up(c, name)
    wanted = own_address(wanted, "/admin")
    now = request.state.now
    if not accounts.right_password(known, password) or known.account is None:
        with request.state.database.write() as c:
            audit.note(c, "nobody", "sign-in refused", now=now)  # not what was typed: it may be a password
        return _form(request, 403, REFUSED, name, wanted)
    with request.state.database.write() as c:
        sessions.delete_expired(c, now)
        value = sessions.begin(c, request, "admin", known.account.id, now)
        audit.note(c, known.account.name, "signed in", now=now)
    response = RedirectResponse(wanted, status_code=303)
    sessions.set_cookie(request, response, "admin", value)
    return response


def sign_out(request: Request) -> Response:
    """End the session on the server and in the browser."""
    with request.state.database.write() as c:
        if request.state.admin is not None:
            audit.note(c, request.state.admin[0], "signed out", now=request.state.now)
        sessions.end(c, request, "admin")
    response = RedirectResponse("/admin/login", status_code=303)
    sessions.drop_cookie(request, response, "admin")
    return response


ROUTES = [
    Route("/admin/login", ask, methods=["GET"]),
    Route("/admin/login", sign_in, methods=["POST"]),
    Route("/admin/logout", sign_out, methods=["POST"]),
]
