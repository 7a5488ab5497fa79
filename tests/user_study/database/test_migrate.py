"""Tables: made once, the same as the schema, refused when newer."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from user_study.core.errors import StudyError
from user_study.core.folder import create_study, open_study
from user_study.core.settings import StudySettings
from user_study.database.engine import Database, open_database
from user_study.database.migrate import current_revision, migrate, newest_revision
from user_study.database.schema import metadata


@pytest.mark.filterwarnings("ignore:autogenerate skipping")
def test_the_tables_are_those_of_the_schema(database: Database) -> None:
    with database.engine.connect() as c:
        assert current_revision(c) == newest_revision()
        found = compare_metadata(MigrationContext.configure(c, opts={"compare_type": True}), metadata)
        # expressions of indexes are written differently by each database
        assert [one for one in found if "_index" not in str(one[0])] == []
        sqlite = "SELECT name FROM sqlite_master WHERE type = 'index'"
        query = sqlite if database.dialect == "sqlite" else "SELECT indexname FROM pg_indexes"
        there = set(c.execute(text(query)).scalars())
        assert {str(index.name) for table in metadata.tables.values() for index in table.indexes} <= there


def test_migrating_twice_and_together_is_harmless(tmp_path: Path) -> None:
    def once(_: int) -> None:
        opened = open_database(f"sqlite:///{tmp_path}/a.db")
        migrate(opened)
        opened.close()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(once, range(4)))


def test_a_new_file_that_another_writes_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two programs that open a new study at once both change its file to WAL."""
    other = sqlite3.connect(tmp_path / "a.db", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        other.execute("COMMIT")

    monkeypatch.setattr("user_study.database.engine.time.sleep", wait)
    opened = open_database(f"sqlite:///{tmp_path}/a.db")
    migrate(opened)
    with opened.read() as c:
        assert c.execute(text("PRAGMA journal_mode")).scalar() == "wal" and len(waits) == 1
    opened.close()
    other.close()


def test_a_newer_schema_is_refused_with_the_fix(tmp_path: Path) -> None:
    made = create_study(tmp_path / "s", StudySettings())
    with made.database.write() as c:
        c.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    made.database.close()
    with pytest.raises(StudyError, match=r"9999.*newer semfid; update this program"):
        open_study(tmp_path / "s")


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "study.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(StudyError, match="not a study's database"):
        open_study(tmp_path)
    with pytest.raises(StudyError, match="semfid study init"):
        open_study(tmp_path / "nowhere")
    with pytest.raises(StudyError, match="holds a study already"):
        create_study(tmp_path, StudySettings())


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="check that the server runs") as caught:
        create_study(tmp_path / "s", StudySettings(), "postgresql+psycopg://u:topsecret@127.0.0.1:1/x")
    assert "topsecret" not in str(caught.value)
    assert not (tmp_path / "s" / "database.url").exists()


def test_the_address_is_kept_for_the_owner_alone(tmp_path: Path, postgres) -> None:
    if postgres.reason:
        pytest.skip(postgres.reason)
    name = postgres.new()
    made = create_study(tmp_path / "s", StudySettings(), postgres.url(name))
    made.database.close()
    assert (tmp_path / "s" / "database.url").stat().st_mode & 0o777 == 0o600
    opened = open_study(tmp_path / "s")
    assert opened.database.dialect == "postgresql"
    opened.database.close()
    with pytest.raises(StudyError, match="holds a study already"):
        create_study(tmp_path / "other", StudySettings(), postgres.url(name))
    postgres.drop(name)


def test_the_database_itself_refuses_a_quota_that_is_exceeded(database: Database) -> None:
    with database.write() as c:
        c.execute(
            text(
                "INSERT INTO image (token, sha256, file, media_type, width, height, bytes) "
                "VALUES ('t', 's', 'f', 'm', 1, 1, 1)"
            )
        )
        c.execute(
            text(
                "INSERT INTO pair (pair_key, source_key, reference_image, candidate_image, reference_name, candidate_name, "
                "quota, shuffle, created_at) SELECT 'a', 'b', id, id, 'r', 'c', 2, 0.5, 1 FROM image"
            )
        )
    for change in ("open = 3", "done = 1", "open = -1", "done = 3, yes = 3"):
        with pytest.raises(IntegrityError), database.write() as c:
            c.execute(text(f"UPDATE pair SET {change}"))
