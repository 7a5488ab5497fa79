"""The web application: routes of all pages, behind the middleware that keeps them safe."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import HTTPConnection
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from user_study.core import clock
from user_study.database.engine import Database
from user_study.trial import expiry_job
from user_study.web import images, sessions
from user_study.web.limits import BodyLimit, RateLimits
from user_study.web.problems import HANDLERS, Problems
from user_study.web.rendering import STATIC
from user_study.web.routes import ROUTES
from user_study.web.security import RequestRules, SecurityHeaders

logger = logging.getLogger("semfid.study")


@dataclass(frozen=True)
class ServeOptions:
    """How the application behaves.

    Attributes:
        plain_http: other machines may come without HTTPS.
        rate_limits: off only for load tests.
        trust_client_times: take the response times that clients tell without comparing them to the server's clock; for
            simulated people, who do not wait.
        upload_bytes: largest body of an import.
        expiry_s: seconds between two runs of the expiry job; 0: never.
    """

    plain_http: bool = False
    rate_limits: bool = True
    trust_client_times: bool = False
    upload_bytes: int = 4 << 30
    expiry_s: float = 5.0


class Context:
    """ASGI middleware: what handlers find in request.state. Who asks is looked up here for the researchers' pages; participants'
    pages and the API do it themselves, in the transaction of their work, and images by `ImageAccess`.
    """

    def __init__(
        self, app: ASGIApp, database: Database, folder: Path, options: ServeOptions, limits: RateLimits
    ) -> None:
        self._app = app
        self._fixed = {"database": database, "folder": folder, "options": options, "limits": limits}
        self._database = database

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        now = clock.now_ms()
        who = sessions.Who()
        if scope["path"].startswith("/admin"):
            connection = HTTPConnection(scope)
            if connection.cookies:
                who = await run_in_threadpool(self._look_up, connection, now)
        scope["state"] = {
            **scope.get("state", {}),
            **self._fixed,
            "now": now,
            "participant_id": who.participant_id,
            "admin": who.admin,
        }
        await self._app(scope, receive, send)

    def _look_up(self, connection: HTTPConnection, now: int) -> sessions.Who:
        with self._database.read() as c:
            return sessions.who(c, connection, now)


class Static(StaticFiles):
    """Files of static/; an address with ?v= of their content is kept for good."""

    async def get_response(self, path: str, scope: Scope):  # type: ignore[no-untyped-def]
        response = await super().get_response(path, scope)
        versioned = b"v=" in scope.get("query_string", b"")
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable" if versioned else "no-cache"
        return response


def create_app(
    database: Database, folder: Path, options: ServeOptions | None = None, close: Callable[[], None] | None = None
) -> Starlette:
    """The application of one study.

    Args:
        folder: of the study; its images are in images/.
        close: called when the server has stopped.
    """
    options = options or ServeOptions()
    limits = RateLimits(options.rate_limits)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        expiry = asyncio.create_task(_expire_forever(database, options.expiry_s)) if options.expiry_s > 0 else None
        yield
        if expiry is not None:
            expiry.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await expiry
        if close is not None:
            close()

    app = Starlette(
        routes=[
            *ROUTES,
            # static files hold no secret, so compression reveals none
            Mount("/static", GZipMiddleware(Static(directory=STATIC))),
        ],
        middleware=[
            Middleware(SecurityHeaders),
            Middleware(Problems),
            Middleware(RequestRules, plain_http=options.plain_http),
            Middleware(BodyLimit, json_bytes=8 << 10, form_bytes=256 << 10, upload_bytes=options.upload_bytes),
            Middleware(Context, database=database, folder=folder, options=options, limits=limits),
        ],
        exception_handlers=HANDLERS,
        lifespan=lifespan,
    )
    app.state.images = images.ImageAccess()
    return app


async def _expire_forever(database: Database, every_s: float) -> None:
    while True:
        await asyncio.sleep(every_s)
        try:
            await asyncio.wrap_future(database.submit(lambda c: expiry_job.run(c, clock.now_ms())))
        except SQLAlchemyError as error:
            logger.warning("expiry of leases failed, will be tried again: %s", type(error).__name__)
