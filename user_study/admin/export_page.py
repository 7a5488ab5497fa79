"""Exports: made when they are asked for, sent, and forgotten."""

from __future__ import annotations

import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from starlette.background import BackgroundTask
from starlette.responses import FileResponse, Response

from user_study.admin.deps import AdminRequest, see
from user_study.core import audit
from user_study.exports import export
from user_study.exports.options import Options
from user_study.web.errors import Problem

ABOUT = {
    "pairs": "One row per pair: votes, score, intervals, a split grouped by photo. What the trainer reads.",
    "legacy": "One row per answer in the format of the reference study.",
    "responses": "Every answer with times, view, window and inputs.",
    "participants": "Every person by pseudonym: traps, repeats, times, standing.",
    "traps": "Every trap with its pass rates.",
    "crowdkit": "task, worker, label: for crowd-kit (Dawid-Skene and others).",
    "study": "Settings of all versions, rules, state, versions of the program (JSON).",
}


def show(request: AdminRequest) -> Response:
    """GET /admin/export."""
    with request.database.read() as c:
        tables = [(name, ABOUT.get(name, "")) for name in export.NAMES]
        return request.show(c, "export.html", "/admin/export", "Export", tables=tables)


def download(request: AdminRequest) -> Response:
    """GET /admin/export/file?what=...: one table, or ``all`` as a zip; ``raw=1``, ``images=1``."""
    query = request.http.query_params
    what, raw, images = query.get("what", ""), query.get("raw") == "1", query.get("images") == "1"
    if what != export.ALL and what not in export.NAMES:
        raise Problem(404, "not_found", "There is no such export; go back to the list of exports.")
    request.http.state.limits.take("export", f"admin {request.admin_id}")
    folder: Path = request.http.state.folder
    work = Path(tempfile.mkdtemp(prefix=".export-", dir=folder))
    try:
        file = work / _name(what, raw, request.now)
        export.export(request.database, folder / "images", file, what, Options(raw=raw), with_images=images)
        with request.database.write() as c:
            audit.note(c, request.admin, "export", what, {"raw": raw, "images": images}, request.now)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
    return FileResponse(file, filename=file.name, background=BackgroundTask(shutil.rmtree, work, ignore_errors=True))


def _name(what: str, raw: bool, now: int) -> str:
    at = datetime.fromtimestamp(now / 1000, UTC).strftime("%Y%m%d_%H%M%S")
    if what == "legacy" and not raw:
        return f"study_results_{at}.csv"  # the reference study's own name
    ending = {export.ALL: "zip", "study": "json"}.get(what, "csv")
    return f"study_{what}_{'raw' if raw else 'clean'}_{at}.{ending}"


ROUTES = [see("/admin/export", show), see("/admin/export/file", download)]
