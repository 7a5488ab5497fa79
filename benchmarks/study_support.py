"""What the study's benchmarks share: a study of 300 pairs, a private PostgreSQL, a server process, an audit of the database."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
from sqlalchemy import func, select

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from user_study.core import study_state
from user_study.core.clock import now_ms
from user_study.core.folder import StudyFolder, create_study
from user_study.core.settings import from_dict
from user_study.database.engine import Database
from user_study.database.schema import assignment, pair, response
from user_study.demo import load_demo
from user_study.trial import pairs
from user_study.trial.pairs import NewPair

ORIGINS = ("smooth", "crisp", "blocky", "tinted")


def make_study(
    folder: Path, main: int = 300, quota: int = 30, url: str | None = None, **settings: object
) -> StudyFolder:
    """A live study: the demo's traps and training, and `main` pairs of four origins made of the demo's pictures."""
    study = create_study(folder, from_dict({"quota": quota, **settings}), url)
    load_demo(study.database, study.images)
    with study.database.write() as c:
        known = sorted(pairs.known_images(c))
        had = pairs.counts(c)["main"]
        new = [
            NewPair(
                f"bench_{number:05}", f"photo_{number // 4:05}", known[number % len(known)], known[(7 * number + 1) % len(known)],
                f"photo_{number // 4:05}.webp", f"{ORIGINS[number % 4]}_photo_{number // 4:05}.webp", ORIGINS[number % 4],
            )
            for number in range(main - had)
        ]  # fmt: skip
        pairs.add_pairs(c, new, now_ms())
        study_state.set_state(c, "live", "benchmark", now_ms())
    return study


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    """A private PostgreSQL in a temporary folder; gives the address of an empty database on it."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not found:
        raise SystemExit("no PostgreSQL here: apt-get install postgresql, or leave --database postgresql out")
    bin_folder = found[-1]
    folder = Path(tempfile.mkdtemp(prefix="semfid-pg-"))
    user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    run = ["runuser", "-u", user, "--"] if os.geteuid() == 0 else []
    if run:
        shutil.chown(folder, user)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    control = [*run, str(bin_folder / "pg_ctl"), "-D", str(folder / "data"), "-w"]
    subprocess.run(
        [*run, str(bin_folder / "initdb"), "-D", str(folder / "data"), "-A", "trust", "-U", "semfid", "-E", "UTF8"],
        check=True, stdout=subprocess.DEVNULL, cwd="/",
    )  # fmt: skip
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c max_connections=200"
    subprocess.run(
        [*control, "-l", str(folder / "log"), "-o", options, "start"], check=True, stdout=subprocess.DEVNULL, cwd="/"
    )
    try:
        yield f"postgresql+psycopg://semfid@127.0.0.1:{port}/postgres"
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], check=False, stdout=subprocess.DEVNULL, cwd="/")
        shutil.rmtree(folder, ignore_errors=True)


class ServerProcess:
    """A study's server in a process of its own, which may be killed and started again on the same port."""

    def __init__(self, folder: Path, trust: bool, port: int | None = None) -> None:
        if port is None:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port = probe.getsockname()[1]
        self.port, self.folder, self.trust = port, folder, trust
        self.url = f"http://127.0.0.1:{port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, patience_s: float = 180.0) -> None:
        code = (
            f"import sys; sys.path.insert(0, {str(Path(__file__).resolve().parents[1])!r}); from pathlib import Path; "
            "from user_study.web.app import ServeOptions; from user_study.web.serving import serve; "
            f"serve(Path({str(self.folder)!r}), '127.0.0.1', {self.port}, "
            f"ServeOptions(rate_limits=False, trust_client_times={self.trust}), [], 1)"
        )
        self._process = subprocess.Popen([sys.executable, "-c", code])
        until = time.monotonic() + patience_s
        while time.monotonic() < until:
            with contextlib.suppress(httpx.HTTPError):
                httpx.get(f"{self.url}/privacy", timeout=2.0, trust_env=False)
                return
            time.sleep(0.05)
        raise SystemExit("the server did not come up")

    def cpu(self) -> float:
        """Seconds of processor time that the server has taken (Linux)."""
        if self._process is None:
            return 0.0
        words = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

    def kill(self) -> None:
        """SIGKILL, in the middle of whatever it does."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()


def audit(database: Database, accepted: set[str]) -> list[str]:
    """What is wrong in the database after a run; `accepted`: trials whose answer the server said was stored."""
    faults = []
    with database.read() as c:
        stored = set(
            c.execute(select(assignment.c.token).join(response, response.c.assignment_id == assignment.c.id)).scalars()
        )
        lost = accepted - stored
        if lost:
            faults.append(f"{len(lost)} accepted answers are not in the database")
        over = c.execute(
            select(func.count()).where(pair.c.kind == "main", pair.c.done + pair.c.open > pair.c.quota)
        ).scalar_one()
        if over:
            faults.append(f"{over} pairs are over their quota")
        counted = (
            select(response.c.pair_id, func.count().label("n"))
            .where(response.c.kind == "main", response.c.counted == 1)
            .group_by(response.c.pair_id)
            .subquery()
        )
        apart = c.execute(
            select(func.count())
            .select_from(pair.outerjoin(counted, counted.c.pair_id == pair.c.id))
            .where(pair.c.kind == "main", pair.c.done != func.coalesce(counted.c.n, 0))
        ).scalar_one()
        if apart:
            faults.append(f"{apart} pairs whose counter differs from their answers")
    return faults
