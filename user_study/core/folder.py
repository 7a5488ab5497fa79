"""The folder of a study: its database, or where that is, and its images."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from user_study.core import settings_store, study_state
from user_study.core.clock import now_ms
from user_study.core.errors import StudyError
from user_study.core.settings import StudySettings
from user_study.database.engine import Database, open_database
from user_study.database.migrate import migrate

SQLITE_FILE = "study.db"
URL_FILE = "database.url"
IMAGES = "images"


@dataclass(frozen=True)
class StudyFolder:
    """An open study."""

    path: Path
    database: Database

    def __enter__(self) -> StudyFolder:
        return self

    def __exit__(self, *_: object) -> None:
        self.database.close()

    @property
    def images(self) -> Path:
        """The folder of images/<sha256>.<ending>."""
        return self.path / IMAGES


def is_study(path: str | Path) -> bool:
    """Whether a study lives in this folder."""
    return (Path(path) / SQLITE_FILE).exists() or (Path(path) / URL_FILE).exists()


def open_study(path: str | Path) -> StudyFolder:
    """Open a folder that `create_study` made, and bring its tables up to date.

    Raises:
        StudyError: no study in there, or its database cannot be used.
    """
    path = Path(path)
    if not is_study(path):
        raise StudyError(f"{path}: no study in this folder; make one with `semfid study init {path}`")
    database = open_database(_url(path))
    try:
        migrate(database)
    except StudyError:
        database.close()
        raise
    return StudyFolder(path, database)


def create_study(
    path: str | Path, settings: StudySettings, database_url: str | None = None, actor: str = "command line"
) -> StudyFolder:
    """Make a study without pairs, in the state `draft`.

    Args:
        database_url: of a PostgreSQL database without tables; None: a SQLite file in the folder.

    Raises:
        StudyError: there is one already, the folder holds other things, or the database cannot be used.
    """
    path = Path(path)
    if is_study(path):
        raise StudyError(
            f"{path}: holds a study already; open it with `semfid study serve {path}`, or name another folder"
        )
    if path.exists() and not path.is_dir():
        raise StudyError(f"{path}: is a file; name a folder")
    (path / IMAGES).mkdir(parents=True, exist_ok=True)
    database = open_database(_sqlite_url(path) if database_url is None else database_url)
    try:
        migrate(database)
        with database.write() as connection:
            if study_state.exists(connection):
                raise StudyError(f"{database.url.render_as_string()}: holds a study already; name an empty database")
            study_state.create(connection, secrets.token_hex(32))
            settings_store.save(connection, settings, actor, now_ms())
    except StudyError:
        database.close()
        raise
    if database_url is not None and database.dialect != "sqlite":
        _write_private(path / URL_FILE, database.url.render_as_string(hide_password=False) + "\n")
    return StudyFolder(path, database)


def _sqlite_url(path: Path) -> URL:
    return URL.create("sqlite", database=str(path / SQLITE_FILE))


def _url(path: Path) -> URL:
    file = path / URL_FILE
    if not file.exists():
        return _sqlite_url(path)
    try:
        return make_url(file.read_text(encoding="utf-8").strip())
    except (ArgumentError, UnicodeDecodeError) as error:
        raise StudyError(
            f"{file}: not a database's address; write postgresql+psycopg://user:password@host/name"
        ) from error


def _write_private(path: Path, text: str) -> None:
    """It may hold a password: nobody else may read it, not even for a moment."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
