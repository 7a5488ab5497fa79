"""Makes the tables and brings older ones up to date, under a lock; refuses what a newer program wrote."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect
from sqlalchemy.exc import DatabaseError, OperationalError

from user_study.core.errors import StudyError
from user_study.database.engine import Database

SCRIPTS = Path(__file__).parent / "migrations"
ADVISORY_LOCK = 7_303_201  # of PostgreSQL: any number that all servers of a study share


def migrate(database: Database) -> None:
    """Create or upgrade the tables. Several processes may call it at once.

    Raises:
        StudyError: the database cannot be reached, is not a study's, or was written by a newer program.
    """
    where = database.url.render_as_string(hide_password=True)
    try:
        if _is_current(database):
            return
        with database.write() as connection:
            if database.dialect == "postgresql":
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({ADVISORY_LOCK})")
            _upgrade(connection, where)
    except OperationalError as error:
        raise StudyError(
            f"{where}: cannot be opened ({_first_line(error)}); check that the server runs and the address is right, "
            "or that the folder can be written"
        ) from error
    except DatabaseError as error:
        raise StudyError(
            f"{where}: not a study's database ({_first_line(error)}); name another file or database"
        ) from error


def _is_current(database: Database) -> bool:
    """Whether nothing is to be done, without the lock of a writer. A SQLite file that is not there is not made."""
    file = database.url.database
    if database.dialect == "sqlite" and not (file and Path(file).exists() and Path(file).stat().st_size):
        return False
    with database.read() as connection:
        return current_revision(connection) == newest_revision()


def current_revision(connection: Connection) -> str | None:
    """What the database says it is; None before its tables were made."""
    return MigrationContext.configure(connection).get_current_revision()


@cache
def newest_revision() -> str:
    """What this program writes."""
    return str(ScriptDirectory(str(SCRIPTS)).get_current_head())


def _upgrade(connection: Connection, where: str) -> None:
    found = current_revision(connection)
    if found == newest_revision():
        return
    known = {script.revision for script in ScriptDirectory(str(SCRIPTS)).walk_revisions()}
    if found is not None and found not in known:
        raise StudyError(
            f"{where}: its tables (version {found}) were written by a newer semfid; update this program "
            "(`git pull && make quickstart`), or open the study with the version that wrote it"
        )
    if found is None and inspect(connection).has_table("participant"):
        raise StudyError(f"{where}: holds tables of something else; name an empty database")
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _first_line(error: DatabaseError) -> str:
    return str(error.orig).strip().splitlines()[0] if str(error.orig).strip() else type(error.orig).__name__
