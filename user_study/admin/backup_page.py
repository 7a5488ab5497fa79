"""Backups that a researcher makes from the overview. They stay at the server: they hold everything about everybody."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from starlette.responses import Response

from user_study.admin.deps import AdminRequest, change, done
from user_study.core import audit
from user_study.exports.backup import backup

FOLDER = "backups"


@dataclass(frozen=True)
class Backup:
    """A finished backup; `path` is relative to the study's folder, `size` in bytes."""

    path: str
    size: int


def newest(folder: Path, most: int = 3) -> list[Backup]:
    """The newest backups of a study; their names are their times."""
    files = sorted((folder / FOLDER).glob("*.zip"), reverse=True)[:most]
    return [Backup(f"{FOLDER}/{file.name}", file.stat().st_size) for file in files]


def make(request: AdminRequest) -> Response:
    """POST /admin/backup."""
    folder: Path = request.http.state.folder
    (folder / FOLDER).mkdir(mode=0o700, exist_ok=True)
    name = datetime.fromtimestamp(request.now / 1000, UTC).strftime("%Y-%m-%d_%H%M%S_%f")[:-3]
    out = backup(request.database, folder / "images", folder / FOLDER / f"{name}.zip")
    out.chmod(0o600)
    with request.database.write() as c:
        audit.note(c, request.admin, "backup", out.name, {"bytes": out.stat().st_size}, request.now)
    return done("/admin", "backup")


ROUTES = [change("/admin/backup", make)]
