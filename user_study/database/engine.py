"""Connections of a study, and who may write when.

SQLite (WAL, every commit synced) has one writer at a time. Writers of this process queue first come, first served, and share
transactions: while one commit waits for the disk, the next jobs gather, run each in its own savepoint, and are synced together.
A job's result is handed out after its commit. PostgreSQL runs jobs side by side and tries those again that the database broke
off.
"""

from __future__ import annotations

import contextlib
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from dataclasses import dataclass
from random import random
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from user_study.core.errors import StudyError

T = TypeVar("T")
Work = Callable[[Connection], T]

BUSY_MS = 15_000
SYNCHRONOUS = "FULL"  # SQLite: every commit reaches the disk before its result is handed out
BATCH = 64  # jobs of one transaction at most, so that other processes get their turn
SHARED_S = 0.05  # and no new job begins in it after this long
TRIES = 8
# serialization failure, deadlock, lock not available: the transaction may be tried again
AGAIN = {"40001", "40P01", "55P03"}


class TryAgain(Exception):
    """Raised by a job: others hold what it needs at the moment; run it again from the start, a little later."""


class Runner(Protocol):
    """How what writes reaches the database."""

    def submit(self, work: Work[T]) -> Future[T]: ...

    def write(self) -> AbstractContextManager[Connection]: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Database:
    """A study's database. Every function of the study takes a Connection from here."""

    url: URL
    _readers: Engine
    _writers: Engine
    _runner: Runner

    @property
    def dialect(self) -> str:
        """``sqlite`` or ``postgresql``."""
        return self._readers.dialect.name

    @property
    def engine(self) -> Engine:
        """The engine that may write, for tools such as Alembic; outside the queue of writers."""
        return self._writers

    @contextlib.contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection in one read-only transaction: a stable view."""
        with self._readers.connect() as connection, connection.begin():
            yield connection

    def write(self) -> AbstractContextManager[Connection]:
        """A connection in one transaction: all or nothing, on the disk when the block is left. Keep it short; neither `write`
        nor `transact` may be called inside.
        """
        return self._runner.write()

    def submit(self, work: Work[T]) -> Future[T]:
        """Run `work` in a transaction, perhaps more than once; the result comes when it is on the disk."""
        return self._runner.submit(work)

    def transact(self, work: Work[T]) -> T:
        """`submit`, and wait. Not to be called inside `write`."""
        return self.submit(work).result()

    def close(self) -> None:
        """Finish what was handed in and let go of all connections."""
        self._runner.close()
        self._readers.dispose()
        self._writers.dispose()


def open_database(url: str | URL) -> Database:
    """Open a database; the tables are `user_study.database.migrate`'s business.

    Raises:
        StudyError: not an address, an unsupported kind, or a driver that is not installed.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise StudyError(f"--database {url}: not an address; write postgresql+psycopg://user@host/name") from error
    if parsed.get_backend_name() == "sqlite":
        return _sqlite(parsed)
    if parsed.get_backend_name() != "postgresql":
        raise StudyError(
            f"--database {parsed.drivername}: use a SQLite file (no --database) or postgresql+psycopg://..."
        )
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    return _postgresql(parsed)


def _sqlite(url: URL) -> Database:
    if url.database in (None, "", ":memory:"):
        raise StudyError("a study needs a file: threads of the server cannot share a database in memory")
    options: dict[str, Any] = {
        "hide_parameters": True,
        "connect_args": {"check_same_thread": False, "isolation_level": None, "timeout": BUSY_MS / 1000},
    }
    readers = create_engine(url, pool_size=8, max_overflow=40, **options)
    writers = create_engine(url, pool_size=1, max_overflow=4, **options)
    # the writer's thread holds one connection; Alembic and tests may ask for another
    for engine, begin, read_only in ((readers, "BEGIN", True), (writers, "BEGIN IMMEDIATE", False)):
        _hook_sqlite(engine, begin, read_only)
    return Database(url, readers, writers, _GroupWriter(writers))


def _hook_sqlite(engine: Engine, begin: str, read_only: bool) -> None:
    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _: Any) -> None:
        for pragma in ("foreign_keys=ON", f"synchronous={SYNCHRONOUS}", "cache_size=-16384", "temp_store=MEMORY"):
            connection.execute(f"PRAGMA {pragma}")
        if read_only:
            connection.execute("PRAGMA query_only=ON")
        else:
            _write_ahead(connection)

    @event.listens_for(engine, "begin")
    def start(connection: Connection) -> None:
        # a deferred BEGIN that reads and then writes fails at once when somebody else wrote, whatever the timeout
        if read_only:  # takes no lock and cannot fail: straight to the driver, which is quicker
            connection.connection.cursor().execute(begin)
        else:
            connection.exec_driver_sql(begin)


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Let readers and a writer work side by side (WAL). A file changes to it once, and there SQLite does not wait for another
    writer, such as one that changes the file as well, whatever the timeout: it is tried again.
    """
    until = time.monotonic() + BUSY_MS / 1000
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY  # an extended code has more bits
            if not busy or time.monotonic() > until:
                raise
        time.sleep(0.005)


def _postgresql(url: URL) -> Database:
    workers = min(32, 4 * (os.cpu_count() or 2) + 4)
    try:
        engine = create_engine(url, pool_size=workers + 4, max_overflow=16, pool_timeout=30, hide_parameters=True)
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        raise StudyError(
            f"--database {url.drivername}: its driver is not installed; pip install 'psycopg[binary]' and use postgresql+psycopg://"
        ) from error
    readers = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    return Database(url, readers, engine, _ParallelWriter(engine, workers))


class _LentConnection:
    """Lends the writer's connection to a thread that waits for it, for the length of a `with` block."""

    def __init__(self) -> None:
        self._connection: Connection | None = None
        self._error: BaseException | None = None
        self._ready, self._finished = threading.Event(), threading.Event()

    def job(self, connection: Connection) -> None:
        """In the writer's thread: wait until the block is left."""
        self._connection = connection
        self._ready.set()
        self._finished.wait()
        if self._error is not None:
            raise self._error

    @contextlib.contextmanager
    def block(self, future: Future[None]) -> Iterator[Connection]:
        """In the asking thread."""
        future.add_done_callback(lambda _: self._ready.set())  # where no transaction could begin
        self._ready.wait()
        if self._connection is None:
            future.result()
            raise RuntimeError("the writer ended without lending its connection")
        try:
            yield self._connection
        except BaseException as error:
            self._error = error
            raise
        finally:
            self._finished.set()
            wait([future])
        future.result()


class _GroupWriter:
    """One thread that runs jobs in shared transactions; started with the first job."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._jobs: queue.SimpleQueue[tuple[Work[Any], Future[Any]] | None] = queue.SimpleQueue()
        self._guard = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False

    def submit(self, work: Work[T]) -> Future[T]:
        future: Future[T] = Future()
        with self._guard:
            if self._closed:
                raise RuntimeError("the database is closed")
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="study-writer", daemon=True)
                self._thread.start()
            self._jobs.put((work, future))
        return future

    def write(self) -> AbstractContextManager[Connection]:
        lent = _LentConnection()
        return lent.block(self.submit(lent.job))

    def close(self) -> None:
        with self._guard:
            self._closed = True
            thread, self._thread = self._thread, None
            if thread is not None:
                self._jobs.put(None)
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        job = self._jobs.get()
        while job is not None:
            job = self._transaction(job)

    def _transaction(self, job: tuple[Work[Any], Future[Any]]) -> tuple[Work[Any], Future[Any]] | None:
        """Run this job and those that wait behind it; returns the one that begins the next transaction."""
        outcomes: list[tuple[Future[Any], Any, BaseException | None]] = []
        following: tuple[Work[Any], Future[Any]] | None = job
        try:
            with self._engine.connect() as connection, connection.begin():
                until = time.monotonic() + SHARED_S
                while following is not None and len(outcomes) < BATCH:
                    work, future = following
                    following = None
                    if future.set_running_or_notify_cancel():
                        outcomes.append((future, *_run_in_savepoint(connection, work)))
                    if self._jobs.empty() or time.monotonic() > until:
                        break
                    following = self._jobs.get()
                    if following is None:  # the end; the rest of the loop must not wait for another
                        self._jobs.put(None)
                        break
        except Exception as error:  # noqa: BLE001 - no commit: nobody's work is stored
            if not outcomes:  # no transaction could begin
                outcomes = [(job[1], None, error)] if following is job and job[1].set_running_or_notify_cancel() else []
                following = None
            outcomes = [(future, None, error) for future, _, _ in outcomes]
        for future, result, failure in outcomes:
            if failure is None:
                future.set_result(result)
            else:
                future.set_exception(failure)
        return following if following is not None else self._jobs.get()


def _run_in_savepoint(connection: Connection, work: Work[T]) -> tuple[T | None, BaseException | None]:
    run = connection.connection.cursor().execute  # straight to the driver: three statements around every job
    try:
        run("SAVEPOINT job")
        try:
            result = work(connection)
        except BaseException:
            run("ROLLBACK TO job")
            run("RELEASE job")
            raise
        run("RELEASE job")
    except BaseException as error:  # noqa: BLE001 - whatever a job raises belongs to its caller
        return None, error
    return result, None


class _ParallelWriter:
    """Jobs side by side, each in its own transaction, tried again when the database broke it off."""

    def __init__(self, engine: Engine, workers: int) -> None:
        self._engine = engine
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="study-writer")

    def submit(self, work: Work[T]) -> Future[T]:
        return self._threads.submit(self._run, work)

    def write(self) -> AbstractContextManager[Connection]:
        return self._engine.begin()

    def _run(self, work: Work[T]) -> T:
        for attempt in range(1, TRIES + 1):
            try:
                with self._engine.begin() as connection:
                    return work(connection)
            except Exception as error:
                if attempt == TRIES or not _may_try_again(error):
                    raise
                time.sleep(0.002 * 2**attempt * (0.5 + random()))
        raise AssertionError("unreachable")

    def close(self) -> None:
        self._threads.shutdown(wait=True)


def _may_try_again(error: Exception) -> bool:
    if isinstance(error, TryAgain) or (isinstance(error, DBAPIError) and error.connection_invalidated):
        return True
    # SQLAlchemy wraps the driver's errors; those of prepared statements come as they are
    return getattr(getattr(error, "orig", error), "sqlstate", None) in AGAIN
