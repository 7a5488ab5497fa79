"""What tests of the study share: a private PostgreSQL, a small study, people who are past the training."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import psycopg
import uvicorn
from PIL import Image
from sqlalchemy import Connection, insert, select, update
from starlette.testclient import TestClient

from user_study.core import settings_store, study_state
from user_study.core.clock import now_ms
from user_study.core.folder import StudyFolder
from user_study.core.settings import from_dict
from user_study.database.engine import Database, open_database
from user_study.database.migrate import migrate
from user_study.database.schema import assignment as assignment_table
from user_study.database.schema import ledger, pair, participant, response, session
from user_study.participant import joining
from user_study.trial import answering, assignment, game, pairs, undoing
from user_study.trial.answers import Stored, Submitted
from user_study.trial.pairs import NewImage, NewPair
from user_study.trial.person import Person, look
from user_study.trial.trials import Trial, TrialState
from user_study.trial.turn import Turn
from user_study.web import sessions

T0 = 1_800_000_000_000  # epoch ms at which tests begin
SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}


class Postgres:
    """A cluster in a temporary folder, reached by its socket only; SEMFID_TEST_POSTGRES names another server instead."""

    def __init__(self) -> None:
        self.reason = ""
        self._folder: str | None = None
        self._count = 0
        self._tables = ""
        self._connection: psycopg.Connection[Any] | None = None
        given = os.environ.get("SEMFID_TEST_POSTGRES")
        if given:
            self._base = given.rstrip("/")
            return
        programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
        found = str(programs[-1]) if programs else shutil.which("initdb")
        if found is None:
            self.reason = "no PostgreSQL here (apt-get install postgresql), and SEMFID_TEST_POSTGRES is not set"
            return
        try:
            self._start(Path(found).parent)
        except (OSError, subprocess.SubprocessError) as error:
            self.reason = f"PostgreSQL does not start: {error}"

    def _start(self, programs: Path) -> None:
        self._folder = tempfile.mkdtemp(prefix="study-pg-")
        self._as = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        if self._as:
            shutil.chown(self._folder, "postgres")
        self._programs, self._data = programs, f"{self._folder}/data"
        self._call(
            "initdb", "-D", self._data, "-U", "postgres", "--auth=trust", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8"
        )
        options = f"-c listen_addresses='' -k {self._folder} -c fsync=off -c max_connections=120 -c shared_buffers=64MB"
        self._call("pg_ctl", "-D", self._data, "-o", options, "-l", f"{self._folder}/log", "-w", "start")
        self._base = f"postgresql://postgres@/{{}}?host={self._folder}"

    def _call(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [*self._as, str(self._programs / program), *arguments], check=True, capture_output=True, timeout=600
        )

    def new(self, template: str | None = None, *, empty: bool = False) -> str:
        """Make a database with the tables of a study, with what `template` holds, or `empty`; returns its name."""
        if template is None and not empty:
            if not self._tables:
                name = self._create()
                with contextlib.closing(open_database(self.url(name))) as opened:
                    migrate(opened)
                self._tables = name
            template = self._tables
        return self._create(template)

    def _create(self, template: str | None = None) -> str:
        self._count += 1
        name = f"study_{os.getpid()}_{self._count}"
        self._admin().execute(f"CREATE DATABASE {name}" + (f" TEMPLATE {template}" if template else ""))
        return name

    def drop(self, name: str) -> None:
        self._admin().execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def _admin(self) -> psycopg.Connection[Any]:
        """One connection for all databases to be made and dropped."""
        if self._connection is None:
            self._connection = psycopg.connect(self.address("postgres"), autocommit=True)
        return self._connection

    def address(self, name: str) -> str:
        """For psycopg."""
        return self._base.format(name) if "{}" in self._base else f"{self._base}/{name}"

    def url(self, name: str) -> str:
        """For SQLAlchemy."""
        return self.address(name).replace("postgresql://", "postgresql+psycopg://", 1)

    def stop(self) -> None:
        if self._connection is not None:
            if self._tables:
                self.drop(self._tables)
            self._connection.close()
        if self._folder is not None:
            if not self.reason:
                with contextlib.suppress(subprocess.SubprocessError):
                    self._call("pg_ctl", "-D", self._data, "-m", "immediate", "stop")
            shutil.rmtree(self._folder, ignore_errors=True)


@cache
def _empty_file() -> bytes:
    """A SQLite file with the tables and no row, as the program itself makes it."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "study.db"
        with contextlib.closing(open_database(f"sqlite:///{file}")) as opened:
            migrate(opened)
        return file.read_bytes()


def quick_migrate(database: Database) -> None:
    """`migrate`, but the tables of a new SQLite file are made once per process and copied."""
    if database.dialect == "sqlite" and not Path(str(database.url.database)).exists():
        Path(str(database.url.database)).write_bytes(_empty_file())
    migrate(database)


def write_picture(folder: Path, seed: int, side: int = 24) -> NewImage:
    """A small random PNG in images/ under the name of its content."""
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    temporary = folder / f"picture{seed}.png"
    Image.fromarray(pixels).save(temporary)
    content = temporary.read_bytes()
    sha = hashlib.sha256(content).hexdigest()
    temporary.rename(folder / f"{sha}.png")
    return NewImage(sha, f"{sha}.png", "image/png", side, side, len(content))


def fill(c: Connection, images: Path, main: int = 12, traps: int = 4, training: int = 6, examples: int = 2) -> None:
    """A small study, live: main pairs of three origins, traps and training of both polarities, worked examples."""
    pictures: list[NewImage] = []
    new: list[NewPair] = []

    def add(key: str, kind: Any, number: int, **more: Any) -> None:
        two = [write_picture(images, len(pictures) + i) for i in range(2)]
        pictures.extend(two)
        new.append(
            NewPair(
                key, f"photo{number}", two[0].sha256, two[1].sha256, f"{key}_hq.png", f"{key}_sr.png", kind=kind, **more
            )
        )

    for number in range(main):
        add(f"m{number:03d}", "main", number, origin=f"model{number % 3}", extra={"note": "x"})
    for number in range(traps):
        add(f"t{number:03d}", "trap", number, truth="yes" if number % 2 else "no")
    for number in range(training):
        add(f"p{number:03d}", "training", number, truth="yes" if number % 2 else "no", explanation="Look at it.")
    for number in range(examples):
        add(f"e{number:03d}", "training", number, truth="yes" if number % 2 else "no", explanation="See.", example=True)
    study_state.put(c, "secret", "0" * 64)  # the same schedules on every run
    pairs.add_images(c, pictures)
    pairs.add_pairs(c, new, T0, Random(0))
    study_state.set_state(c, "live", "tests", T0)


def settle(c: Connection, number: int) -> None:
    """Past consent, instructions and training."""
    c.execute(
        update(participant)
        .where(participant.c.id == number)
        .values(step="main", consent_hash="c", consented_at=T0, training_passed_at=T0, training_attempts=1)
    )


def newcomer(study: StudyFolder, name: str, *, ready: bool = True, role: str = "participant", now: int = T0) -> int:
    """A participant; `ready`: past the training. Returns the id."""
    with study.database.write() as c:
        joined = joining.join(c, study_state.facts(c).settings, name, "nickname", now, role=role)
        if ready:
            settle(c, joined.id)
    return joined.id


def sign_in(client: TestClient, study: StudyFolder, number: int) -> None:
    """Give the client a session of a participant."""
    value = f"session-of-{number}-" + "x" * 30
    with study.database.write() as c:
        c.execute(
            insert(session).values(
                id_hash=sessions.digest(value),
                participant_id=number,
                created_at=now_ms(),
                expires_at=now_ms() + 3_600_000,
            )
        )
    client.cookies.set("study", value)


def submitted(token: str, answer: str = "yes", **more: Any) -> Submitted:
    """An honest answer."""
    return Submitted(
        trial=token, answer=answer, **{"rt_ms": 1500.0, "load_ms": 100.0, "input": "key", "view": "side", **more}
    )


class LiveServer:
    """uvicorn in a thread."""

    def __init__(self, app: Any, study: StudyFolder) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.study = study
        self._server = uvicorn.Server(
            uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning", access_log=False)
        )
        self._thread = threading.Thread(target=self._server.run, daemon=True)

    @contextlib.contextmanager
    def running(self) -> Iterator[LiveServer]:
        self._thread.start()
        while not self._server.started:
            if not self._thread.is_alive():
                raise RuntimeError("the server does not start")
            time.sleep(0.02)
        try:
            yield self
        finally:
            self._server.should_exit = True
            self._thread.join()


class Player:
    """A participant who plays by the domain's functions, with a clock and a chance of its own."""

    def __init__(self, study: StudyFolder, name: str, *, seed: int = 0, now: int = T0, **how: Any) -> None:
        self.study, self.database, self.now, self.rng = study, study.database, now, Random(seed)
        self.id = newcomer(study, name, now=now, **how)

    def turn(self, c: Connection) -> Turn:
        return Turn.begin(c, self.id, self.now, self.rng)

    def next(self) -> TrialState:
        return self.database.transact(lambda c: assignment.current(self.turn(c)))

    def answer(self, token: str, answer: str = "yes", *, wait: int = 2_000, **more: Any) -> Stored:
        self.now += wait
        return self.database.transact(lambda c: answering.answer(self.turn(c), submitted(token, answer, **more)))

    def undo(self, token: str) -> TrialState:
        return self.database.transact(lambda c: undoing.undo(self.turn(c), token))

    def spin(self) -> game.Spin:
        return self.database.transact(lambda c: game.spin(self.turn(c)))

    def play(self, count: int = 10_000, choose: Callable[[Trial], str] | None = None, **more: Any) -> TrialState:
        """Answer up to `count` trials; `choose` sees what the page does not."""
        state = self.next()
        for _ in range(count):
            if state.trial is None:
                break
            state = self.answer(state.trial.token, choose(state.trial) if choose else "yes", **more).state
        return state

    def person(self) -> Person:
        with self.database.read() as c:
            return look(c, self.id)


def honest(trial: Trial) -> str:
    """Right at traps, "no" else."""
    return trial.truth or "no"


def wrong(trial: Trial) -> str:
    """Wrong at traps."""
    return {"yes": "no", "no": "yes", None: "no"}[trial.truth]


def save_settings(study: StudyFolder, **values: Any) -> None:
    """Other settings, written past the lock of a live study."""
    with study.database.write() as c:
        since = study_state.get(c, "live_since")
        study_state.drop(c, "live_since")
        settings_store.save(c, from_dict(values), "tests", T0)
        study_state.put(c, "live_since", str(since))


def assert_consistent(database: Database) -> None:
    """Counters say what the rows say, whatever happened."""
    with database.read() as c:
        pairs_ = c.execute(select(pair)).mappings().all()
        answers = c.execute(select(response)).mappings().all()
        open_ = c.execute(
            select(
                assignment_table.c.pair_id, assignment_table.c.kind, participant.c.role, participant.c.id.label("who")
            )
            .join(participant, participant.c.id == assignment_table.c.participant_id)
            .where(assignment_table.c.state == "open")
        ).all()
        people = c.execute(select(participant)).mappings().all()
        points = c.execute(select(ledger)).mappings().all()
    for row in pairs_:
        mine = [one for one in answers if one["pair_id"] == row["id"] and one["counted"]]
        for word in ("yes", "no", "unsure"):
            assert row[word] == sum(one["answer"] == word for one in mine), (row["pair_key"], word)
        assert row["done"] == len(mine), row["pair_key"]
        held = sum(one.pair_id == row["id"] and one.kind == "main" and one.role != "tester" for one in open_)
        assert row["open"] == held, row["pair_key"]
        if row["kind"] == "main":
            assert row["done"] + row["open"] <= row["quota"]
    who = [(one["participant_id"], one["pair_id"]) for one in answers if one["counted"] and one["participant_id"]]
    assert len(who) == len(set(who)), "a pair counted twice for one person"
    for person in people:
        mine_ = [one for one in answers if one["participant_id"] == person["id"] and one["kind"] != "training"]
        paid = [one for one in mine_ if one["why_not"] not in ("fast", "held", "unseen", "undone")]
        assert person["valid"] <= len(paid)
        assert person["score"] == sum(one["points"] for one in points if one["participant_id"] == person["id"])
        assert sum(one.who == person["id"] for one in open_) <= 2
        if person["standing"] == "excluded":
            assert not any(one["counted"] for one in mine_)
