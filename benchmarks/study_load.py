"""Load on a study's server, on this machine only: a crowd, a stampede, throughput, and a server that is killed.

    python benchmarks/study_load.py crowd       [--people 100 --seconds 60 --database sqlite|postgresql]
    python benchmarks/study_load.py throughput  [--people 30 --seconds 15]
    python benchmarks/study_load.py kill        [--kills 20 --people 30 --seconds 600]

The server is a process of its own, the clients are another one. `crowd`: everybody signs in at the same moment (landing page,
nickname, consent, instructions), then answers with 3 s of thinking, loads every picture, and the server judges all times by
its own clock. `throughput`: no thinking, no pictures; the server believes the times that clients tell. `kill`: SIGKILL in the
middle of that, and a new server on the same folder.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import httpx

sys.path.insert(0, str(Path(__file__).resolve().parent))

from study_support import ServerProcess, audit, make_study, postgres

from user_study.database.engine import open_database
from user_study.simulation.client import Refusal, Visitor, open_http

LEAVE_S = 90  # what a run may take longer than --seconds
# clients answer at random: nobody is to fail the training or be excluded for it
LENIENT = {
    "per_person_cap": 1000,
    "training": {"items": 0, "pass": 0},
    "rules": {"min_traps": 10_000, "repeat_min": 10_000, "timing_min": 100_000, "same_min": 100_000},
}


@dataclass
class Log:
    """What the clients saw: seconds of each kind of request, refusals, trials whose answers were accepted."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    errors: list[str] = field(default_factory=list)
    accepted: set[str] = field(default_factory=set)
    waits: int = 0

    def timed(self, path: str, seconds: float, status: int) -> None:
        kind = "image" if path.startswith("/image/") else path
        self.seconds[kind].append(seconds)
        if status in (429, 503):
            self.waits += 1

    def table(self, kinds: dict[str, tuple[str, ...]]) -> Iterator[str]:
        for name, paths in kinds.items():
            times = sorted(time for path in paths for time in self.seconds[path])
            if times:
                middle, tail = times[len(times) // 2], times[min(len(times) - 1, int(0.95 * len(times)))]
                shown = ", ".join(
                    f"{word} {value * 1000:.0f} ms"
                    for word, value in (("p50", middle), ("p95", tail), ("max", times[-1]))
                )
                yield f"  {name:18} {len(times):6} requests, {shown}"


async def person(
    http: httpx.AsyncClient, url: str, name: str, log: Log, until: float, think: float, images: bool, rng: Random,
    survive: bool = False, gate: Gate | None = None,
) -> None:  # fmt: skip
    """One visitor. `survive`: go on when the server is gone for a moment; `gate`: wait there until all are signed in."""
    visitor, joined, base, lives = Visitor(http, url, log.timed), False, name, 0
    while time.monotonic() < until:
        try:
            if not joined:
                await visitor.join(name)
                joined = True
                if gate is not None:
                    await gate.wait()
                    until = gate.until
            state = await visitor.next()
            while state["trial"] is not None and time.monotonic() < until:
                trial = state["trial"]
                if images:
                    for shown in (state["trial"], state["upcoming"]):
                        for side in ("left", "right") if shown else ():
                            await visitor.see(shown[side]["url"])
                taken = think * rng.uniform(0.7, 1.3)
                await asyncio.sleep(taken)
                reply = await visitor.answer(
                    trial=trial["id"], answer=rng.choice(("yes", "no")), rt_ms=1000 * taken if think else rng.uniform(900, 3000),
                    load_ms=20.0, input="key", view="side",
                )  # fmt: skip
                if reply["stored"]:
                    log.accepted.add(trial["id"])
                state = reply["state"]
            return
        except Refusal as refusal:
            if survive and refusal.code in ("expired", "unknown_trial", "not_yet", "not_signed_in"):
                continue
            log.errors.append(str(refusal))
            return
        except httpx.HTTPError as error:
            if not survive:
                log.errors.append(f"{type(error).__name__} {error}")
                return
            if not joined:  # half signed in when the server was killed: come as somebody else
                lives += 1
                name, visitor = f"{base}.{lives}", Visitor(http, url, log.timed)
            await asyncio.sleep(0.1)


class Gate:
    """Holds people until all are there, then lets them answer for `seconds`; `opened` is called at that moment."""

    def __init__(self, count: int, seconds: float, opened: Callable[[], None]) -> None:
        self._missing, self._seconds, self._opened, self._event = count, seconds, opened, asyncio.Event()
        self.until = 0.0

    async def wait(self) -> None:
        self._missing -= 1
        if self._missing == 0:
            self.until = time.monotonic() + self._seconds
            self._opened()
            self._event.set()
        await self._event.wait()


async def people(
    url: str, count: int, log: Log, seconds: float, think: float, images: bool, survive: bool = False, name: str = "p",
    gate: Gate | None = None,
) -> None:  # fmt: skip
    until = time.monotonic() + seconds
    async with open_http(count + 4) as http:
        await asyncio.wait_for(
            asyncio.gather(
                *(
                    person(http, url, f"{name}{number:04}", log, until, think, images, Random(number), survive, gate)
                    for number in range(count)
                )
            ),
            seconds + LEAVE_S,
        )


FORMS = ("/join", "/consent", "/instructions", "/")


def crowd(arguments: argparse.Namespace, folder: Path, url: str | None) -> None:
    with contextlib.closing(make_study(folder, quota=30, url=url, **LENIENT).database):
        pass
    server, log = ServerProcess(folder, trust=False), Log()
    server.start()
    try:
        asyncio.run(people(server.url, arguments.people, log, arguments.seconds, 3.0, images=True))
    finally:
        server.stop()
    answers = len(log.accepted)
    print(f"crowd, {arguments.database}: {arguments.people} people at once, {arguments.seconds:g} s, 3 s of thinking")
    print(
        f"  {answers} answers accepted ({answers / arguments.seconds:.1f} a second), {log.waits} put off, load {load()}"
    )
    kinds = {"sign-in stampede": FORMS, "first pair": ("/api/next",), "answer": ("/api/answer",), "image": ("image",)}
    print("\n".join(log.table(kinds)))
    finish(folder, url, log, "target: no error, p95 < 300 ms, accepted = stored, every quota exact")


def throughput(arguments: argparse.Namespace, folder: Path, url: str | None) -> None:
    with contextlib.closing(make_study(folder, quota=30, url=url, **LENIENT).database):
        pass
    server, log = ServerProcess(folder, trust=True), Log()
    server.start()
    marks: list[tuple[float, float, float, int]] = []

    def mark() -> None:
        marks.append((time.monotonic(), time.process_time(), server.cpu(), len(log.seconds["/api/answer"])))

    async def answering() -> None:
        gate = Gate(arguments.people, arguments.seconds, mark)
        await people(server.url, arguments.people, log, 120.0, 0.0, images=False, gate=gate)

    try:
        asyncio.run(answering())
        mark()
    finally:
        server.stop()
    spent, clients, taken, count = (after - before for before, after in zip(*marks, strict=True))
    answers = max(1, round(count))
    rate = answers / spent
    print(
        f"throughput, {arguments.database}: {arguments.people} people without thinking, {spent:.1f} s after all had signed in"
    )
    print(f"  {rate:.1f} judgements a second (target 80), load {load()}")
    print(
        f"  processor time of a judgement: server {1000 * taken / answers:.1f} ms, clients "
        f"{1000 * clients / answers:.1f} ms; the server alone on a core could do {answers / taken:.0f} a second"
    )
    print("\n".join(log.table({"sign-in": FORMS, "answer": ("/api/answer",)})))
    finish(folder, url, log, "target: >= 80 a second")


async def killed(arguments: argparse.Namespace, server: ServerProcess, log: Log) -> int:
    """People answer; the server is killed and started again and again; returns how often."""
    kills = 0
    rounds = arguments.seconds
    crowd = asyncio.create_task(people(server.url, arguments.people, log, rounds + 30, 0.0, False, survive=True))
    deadline = time.monotonic() + rounds + 20
    rng = Random(0)
    while kills < arguments.kills and time.monotonic() < deadline and not crowd.done():
        before = len(log.accepted)
        while len(log.accepted) < before + 20 and not crowd.done() and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        await asyncio.sleep(rng.uniform(0.0, 0.3))
        server.kill()
        kills += 1
        print(f"  kill {kills}, {len(log.accepted)} answers accepted", flush=True)
        await asyncio.to_thread(server.start)
    crowd.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await crowd
    return kills


def kill(arguments: argparse.Namespace, folder: Path, url: str | None) -> None:
    with contextlib.closing(make_study(folder, quota=30, url=url, **LENIENT).database):
        pass
    server, log = ServerProcess(folder, trust=True), Log()
    server.start()
    try:
        kills = asyncio.run(killed(arguments, server, log))
    finally:
        server.kill()
    print(
        f"kill -9, {arguments.database}: {kills} times under {arguments.people} people, {len(log.accepted)} answers accepted"
    )
    finish(folder, url, log, "target: no accepted answer lost, no quota exceeded")


def finish(folder: Path, url: str | None, log: Log, target: str) -> None:
    database = open_database(url or f"sqlite:///{folder}/study.db")
    faults = audit(database, log.accepted)
    database.close()
    print(
        f"  {target}: "
        + ("; ".join([*faults, *sorted(set(log.errors))[:5]]) or "no fault")
        + f" ({len(log.errors)} errors)"
    )


def load() -> str:
    return f"{os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["crowd", "throughput", "kill"])
    parser.add_argument("--people", type=int)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    arguments = parser.parse_args()
    arguments.people = min(arguments.people or {"crowd": 100}.get(arguments.what, 30), 500)
    arguments.seconds = min(arguments.seconds or {"crowd": 60.0, "kill": 600.0}.get(arguments.what, 15.0), 600.0)
    run = {"crowd": crowd, "throughput": throughput, "kill": kill}[arguments.what]
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="semfid-load-"))) / "study"
        url = stack.enter_context(postgres()) if arguments.database == "postgresql" else None
        run(arguments, folder, url)


if __name__ == "__main__":
    main()
