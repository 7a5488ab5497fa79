"""The pictures: under random names, for people of the study only, kept by browsers for good."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

from sqlalchemy import select
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from user_study.database.engine import Database
from user_study.database.schema import image
from user_study.web import sessions
from user_study.web.errors import Problem

FOR_MS = 60_000  # how long a browser that was let in is not looked up again
KEPT = 50_000


class ImageAccess:
    """Files by token, and browsers that were let in lately."""

    def __init__(self) -> None:
        self._files: dict[str, tuple[str, str]] = {}
        self._allowed: OrderedDict[tuple[str | None, str | None], int] = OrderedDict()

    def allows(self, request: Request) -> bool:
        """Whether one of the browser's sessions is good."""
        key = (sessions.cookie_hash(request, "participant"), sessions.cookie_hash(request, "admin"))
        if key == (None, None):
            return False
        now: int = request.state.now
        if self._allowed.get(key, 0) > now:
            return True
        with request.state.database.read() as c:
            found = sessions.who(c, request, now)
        if found.participant_id is None and found.admin is None:
            return False
        self._allowed[key] = now + FOR_MS
        while len(self._allowed) > KEPT:
            self._allowed.popitem(last=False)
        return True

    def find(self, database: Database, token: str) -> tuple[str, str] | None:
        """(file name, media type)."""
        if token not in self._files:
            with database.read() as c:
                row = c.execute(select(image.c.file, image.c.media_type).where(image.c.token == token)).first()
            if row is None:
                return None
            if len(self._files) > KEPT:
                self._files.clear()
            self._files[token] = (row.file, row.media_type)
        return self._files[token]


async def serve_image(request: Request) -> Response:
    """GET /image/<token>."""
    return await run_in_threadpool(_serve, request)


def _serve(request: Request) -> Response:
    access: ImageAccess = request.app.state.images
    folder: Path = request.state.folder
    if not access.allows(request):
        raise Problem(403, "not_signed_in", "Sign in to the study to see its images.")
    found = access.find(request.state.database, request.path_params["token"])
    if found is None:
        raise Problem(404, "not_found", "There is no such image.")
    name, media_type = found
    try:
        content = (folder / "images" / name).read_bytes()
    except FileNotFoundError as error:
        raise Problem(404, "not_found", "The image's file is missing; tell the study's contact.") from error
    return Response(content, media_type=media_type, headers={"Cache-Control": "private, max-age=31536000, immutable"})


ROUTES = [Route("/image/{token}", serve_image, methods=["GET"])]
