"""Refusals and failures as JSON below /api/, as pages elsewhere; never a traceback."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from semfid.errors import UserError
from user_study.web.errors import Problem
from user_study.web.rendering import page

TITLES = {
    400: "That did not work",
    401: "Please sign in",
    403: "Not allowed",
    404: "Nothing here",
    405: "Not like that",
    409: "Too late",
    413: "Too large",
    429: "Too fast",
    500: "Our mistake",
}
_MESSAGES = {404: "There is no such page.", 405: "This address does not take that method."}


def problem_response(request: Request, problem: Problem) -> Response:
    """The answer to a request that failed."""
    response: Response
    if request.url.path.startswith("/api/"):
        response = JSONResponse({"error": {"code": problem.code, "message": problem.message}}, problem.status)
    else:
        title = TITLES.get(problem.status, TITLES[400])
        response = page(
            request, "error.html", problem.status, title=title, message=problem.message, status_code=problem.status
        )
    if problem.retry_after is not None:
        response.headers["Retry-After"] = str(problem.retry_after)
    return response


def on_problem(request: Request, error: Exception) -> Response:
    """Of `Problem`."""
    return problem_response(request, error) if isinstance(error, Problem) else on_failure(request, error)


def on_user_error(request: Request, error: Exception) -> Response:
    """Of `UserError`: its text says what to do."""
    return problem_response(request, Problem(400, "bad_request", str(error)))


def on_http(request: Request, error: Exception) -> Response:
    """Of Starlette's own refusals."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    message = _MESSAGES.get(status) or "The request could not be understood; go back and try again."
    return problem_response(request, Problem(status, "not_found" if status == 404 else "bad_request", message))


def on_failure(request: Request, error: Exception) -> Response:
    """Of anything else; the server logs it."""
    said = "Something went wrong on our side. What you sent before is stored; try again in a minute."
    return problem_response(request, Problem(500, "failure", said))


HANDLERS = {Problem: on_problem, UserError: on_user_error, HTTPException: on_http, Exception: on_failure}


class Problems:
    """ASGI middleware: answers for refusals of the middleware further in, which Starlette's handlers do not see."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except Problem as problem:
            await problem_response(Request(scope), problem)(scope, receive, send)
