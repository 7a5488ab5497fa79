"""Exports: made when they are asked for, sent, and forgotten."""

from __future__ import annotations

import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from starlette.background import BackgroundTask
from starlette.responses import FileResponse, Response

from user_study.admin.deps import Desk, see
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


def show(desk: Desk) -> Response:
    """GET /admin/export."""
    with desk.database.read() as c:
        tables = [(name, ABOUT.get(name, "")) for name in export.NAMES]
        return desk.show(c, "export.html", "/admin/export", "Export", tables=tables)


def download(desk: Desk) -> Response:
    """GET /admin/export/file?what=...: one table, or ``all`` as a zip; ``raw=1``, ``images=1``."""
    query = desk.request.query_params
    what, raw, images = query.get("what", ""), query.get("raw") == "1", query.get("images") == "1"
    if what != export.ALL and what not in export.NAMES:
        raise Problem(404, "not_found", "There is no such export; go back to the list of exports.")
    desk.request.state.limits.take("export", f"admin {desk.admin_id}")
    folder: Path = desk.request.state.folder
    work = Path(tempfile.mkdtemp(prefix=".export-", dir=folder))
    try:
        file = work / _name(what, raw, desk.now)
        export.export(desk.database, folder / "images", file, what, Options(raw=raw), with_images=images)
        with desk.database.write() as c:
            audit.note(c, desk.admin, "export", what, {"raw": raw, "images": images}, desk.now)
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
