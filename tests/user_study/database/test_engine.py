"""Transactions: whole or not at all, in order, shared, and visible only when they are done."""

from __future__ import annotations

import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest
from sqlalchemy import Connection, event, func, insert, select
from sqlalchemy.exc import DBAPIError
from study_support import quick_migrate

from user_study.core.clock import Clock
from user_study.core.errors import StudyError
from user_study.database.engine import Database, TryAgain, open_database
from user_study.database.schema import audit


def note(c: Connection, action: str) -> None:
    c.execute(insert(audit).values(at=1, actor="t", action=action))


def notes(database: Database) -> list[str]:
    with database.read() as c:
        return list(c.execute(select(audit.c.action).order_by(audit.c.id)).scalars())


def test_a_failing_job_takes_nobody_with_it(database: Database) -> None:
    def bad(c: Connection) -> None:
        note(c, "bad")
        raise ValueError("mine")

    futures = [database.submit(bad if i == 5 else lambda c, i=i: note(c, f"job{i}")) for i in range(12)]
    wait(futures)
    assert isinstance(futures[5].exception(), ValueError)
    assert all(future.exception() is None for i, future in enumerate(futures) if i != 5)
    assert sorted(notes(database)) == sorted(f"job{i}" for i in range(12) if i != 5)


def test_write_is_whole_or_nothing(database: Database) -> None:
    with pytest.raises(ValueError, match="lost"), database.write() as c:
        note(c, "lost")
        raise ValueError("lost")
    with database.write() as c:
        note(c, "kept")
    assert notes(database) == ["kept"]


def test_readers_may_not_write(database: Database) -> None:
    with pytest.raises(DBAPIError), database.read() as c:
        note(c, "no")
    database.transact(lambda c: note(c, "yes"))
    assert notes(database) == ["yes"]


def test_a_job_that_others_block_is_tried_again(tmp_path: Path, postgres) -> None:
    if postgres.reason:
        pytest.skip(postgres.reason)
    name = postgres.new()
    database = open_database(postgres.url(name))
    tries = []

    def work(c: Connection) -> int:
        tries.append(1)
        if len(tries) < 3:
            raise TryAgain
        return len(tries)

    assert database.transact(work) == 3
    database.close()
    postgres.drop(name)


def test_commits_are_shared_and_synced(tmp_path: Path, synced: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs that wait together take one commit; the database syncs every commit."""
    monkeypatch.setattr("user_study.database.engine.SHARED_S", 600.0)  # a slow machine shares as much
    database = open_database(f"sqlite:///{tmp_path}/a.db")
    quick_migrate(database)
    commits = []
    event.listen(database.engine, "commit", lambda _: commits.append(1))
    with database.write() as c:  # holds the lock while jobs gather
        assert c.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert c.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert c.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
        futures = [database.submit(lambda c, i=i: note(c, f"{i:03d}")) for i in range(40)]
    wait(futures)
    assert len(commits) <= 4  # the block above, a first batch, the rest
    assert notes(database) == [f"{i:03d}" for i in range(40)]  # in the order of asking
    database.close()
    with pytest.raises(RuntimeError, match="closed"):
        database.submit(lambda c: note(c, "late"))


def test_a_result_is_on_the_disk(tmp_path: Path) -> None:
    """What another process sees when the result is there."""
    database = open_database(f"sqlite:///{tmp_path}/a.db")
    quick_migrate(database)
    for i in range(5):
        database.transact(lambda c, i=i: note(c, str(i)))
        other = sqlite3.connect(tmp_path / "a.db")
        assert other.execute("SELECT count(*) FROM audit").fetchone() == (i + 1,)
        other.close()
    database.close()


def test_close_finishes_what_was_handed_in(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path}/a.db")
    quick_migrate(database)
    futures = [database.submit(lambda c, i=i: note(c, str(i))) for i in range(100)]
    database.close()
    assert all(future.done() and future.exception() is None for future in futures)


def test_two_databases_of_one_file_do_not_lose_writes(tmp_path: Path) -> None:
    """As two processes would: BEGIN IMMEDIATE waits for the other."""
    two = [open_database(f"sqlite:///{tmp_path}/a.db") for _ in range(2)]
    quick_migrate(two[0])

    def number(c: Connection) -> None:
        note(c, str(c.execute(select(func.count()).select_from(audit)).scalar()))

    futures = [one.submit(number) for _ in range(30) for one in two]
    wait(futures)
    assert [future.exception() for future in futures if future.exception()] == []
    assert sorted(map(int, notes(two[0]))) == list(range(60))
    for one in two:
        one.close()


def test_blocks_of_many_threads_share_commits_and_none_overlaps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty threads write in `with` blocks, one fails: nineteen are stored, in fewer commits, one after the other."""
    monkeypatch.setattr("user_study.database.engine.SHARED_S", 600.0)
    database = open_database(f"sqlite:///{tmp_path}/a.db")
    quick_migrate(database)
    commits, inside, waiting = [], [], threading.Semaphore(0)
    event.listen(database.engine, "commit", lambda _: commits.append(1))
    submit = database._runner.submit
    monkeypatch.setattr(database._runner, "submit", lambda work: (submit(work), waiting.release())[0])

    notes_written: list[int] = []

    def run(number: int) -> str:
        try:
            with database.write() as c:
                inside.append(number)
                assert len(inside) == 1
                for _ in range(20 if not notes_written else 0):  # the first waits until all have asked
                    waiting.acquire()
                notes_written.append(number)
                note(c, f"{number:03d}")
                inside.pop()
                if number == 7:
                    raise ValueError("mine")
        except ValueError:
            return "failed"
        return "stored"

    with ThreadPoolExecutor(20) as threads:
        said = list(threads.map(run, range(20)))
    assert said.count("failed") == 1 and said[7] == "failed"
    assert sorted(notes(database)) == [f"{i:03d}" for i in range(20) if i != 7]
    assert len(commits) <= 3  # the first transaction, and the rest in one or two
    database.close()


def test_what_cannot_begin_is_told_to_everybody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another program holds the file: blocks and jobs fail, none hangs, and the next one works."""
    monkeypatch.setattr("user_study.database.engine.BUSY_MS", 100)
    database = open_database(f"sqlite:///{tmp_path}/a.db")
    quick_migrate(database)
    other = sqlite3.connect(tmp_path / "a.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    futures = [database.submit(lambda c: note(c, "x")) for _ in range(2)]
    with pytest.raises(DBAPIError), database.write() as c:
        note(c, "y")
    assert all(isinstance(future.exception(timeout=600), DBAPIError) for future in futures)
    other.execute("ROLLBACK")
    database.transact(lambda c: note(c, "z"))
    assert notes(database) == ["z"]
    other.close()
    database.close()


@pytest.mark.parametrize("url", ["nonsense", "mysql://x/y", "sqlite://", "sqlite:///:memory:"])
def test_an_address_that_cannot_be(url: str) -> None:
    with pytest.raises(StudyError, match=r"postgresql\+psycopg|needs a file"):
        open_database(url)


def test_the_clock_does_not_follow_the_wall(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    before = clock.now_ms()
    assert abs(before - time.time() * 1000) < 600_000
    for turned in (0, 4_000_000_000):
        monkeypatch.setattr(time, "time_ns", lambda turned=turned: turned * 1_000_000_000)
        assert before <= clock.now_ms() < before + 600_000  # and not the years that the wall clock jumped
