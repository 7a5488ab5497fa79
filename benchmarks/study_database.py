"""A study with a million stored answers: how long an assignment takes, and how long the overview page.

    python benchmarks/study_database.py [--answers 1000000 --database sqlite|postgresql]

The rows are written in bulk: 33,334 pairs of four origins, 30 answers each, by 10,000 people. Then 300 answers with the next
assignment are timed one by one, and the pages of the admin.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
import time
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from sqlalchemy import func, insert, select, update

sys.path.insert(0, str(Path(__file__).resolve().parent))

from starlette.testclient import TestClient
from study_support import make_study, postgres

from user_study.core import accounts, study_state
from user_study.core.clock import now_ms
from user_study.core.folder import StudyFolder
from user_study.database.schema import assignment, pair, participant, response
from user_study.trial import answering
from user_study.trial import assignment as assigning
from user_study.trial.answers import Stored, Submitted
from user_study.trial.turn import Turn
from user_study.web.app import ServeOptions, create_app

QUOTA = 30
CHUNK = 20_000
PASSWORD = "a long password for nobody"


def fill(study: StudyFolder, answers: int) -> None:
    """Answers to all but the last tenth of the places of the pairs, in the order in which people gave them."""
    rng = np.random.default_rng(0)
    now = now_ms()
    with study.database.write() as c:
        pairs = np.array(c.execute(select(pair.c.id).where(pair.c.kind == "main").order_by(pair.c.id)).scalars().all())
        each = answers // len(pairs)
        c.execute(insert(participant), [_participant(k, now) for k in range(max(1, answers // 100))])
        people = np.array(c.execute(select(participant.c.id).order_by(participant.c.id)).scalars().all())
    rates = rng.beta(0.8, 0.8, len(pairs))
    total = each * len(pairs)
    order = np.tile(np.arange(len(pairs)), each)
    yes = rng.random(total) < rates[order]
    for done in range(0, total, CHUNK):
        span = range(done, min(total, done + CHUNK))
        with study.database.write() as c:
            first = c.execute(select(func.coalesce(func.max(assignment.c.id), 0))).scalar_one() + 1
            facts = [
                (first + k, int(people[(n // 100) % len(people)]), int(pairs[order[n]]), now - 3000 * (total - n))
                for k, n in enumerate(span)
            ]
            c.execute(insert(assignment), [_assignment(*fact) for fact in facts])
            c.execute(insert(response), [_response(bool(yes[n]), *fact) for n, fact in zip(span, facts, strict=True)])
    _count(study, pairs, np.bincount(order[yes], minlength=len(pairs)), each)


def _participant(k: int, now: int) -> dict[str, Any]:
    return {
        "code": f"B-{k:06}", "nickname": f"b{k}", "nickname_key": f"b{k}", "resume_hash": f"b{k}", "door": "nickname",
        "step": "finished", "position": 100, "valid": 100, "created_at": now, "last_seen_at": now,
    }  # fmt: skip


def _assignment(key: int, who: int, which: int, at: int) -> dict[str, Any]:
    return {
        "id": key, "token": f"b{key}", "participant_id": who, "pair_id": which, "kind": "main", "position": 1,
        "slot": 0, "reference_left": key % 2, "state": "answered", "assigned_at": at, "expires_at": at,
    }  # fmt: skip


def _response(yes: bool, key: int, who: int, which: int, at: int) -> dict[str, Any]:
    return {
        "assignment_id": key, "participant_id": who, "pair_id": which, "kind": "main", "answer": "yes" if yes else "no",
        "counted": 1, "reference_left": key % 2, "position": 1, "assigned_at": at, "answered_at": at + 2500,
        "rt_ms": 2000.0, "server_ms": 2500, "settings_id": 1, "version": "1",
    }  # fmt: skip


def _count(study: StudyFolder, pairs: np.ndarray, yes: np.ndarray, each: int) -> None:
    """The pairs' counters, as the answers would have left them."""
    with study.database.write() as c:
        for number, key in enumerate(pairs):
            k = int(yes[number])
            c.execute(update(pair).where(pair.c.id == int(key)).values(done=each, yes=k, no=each - k))
        if c.dialect.name == "postgresql":
            highest = select(func.max(assignment.c.id)).scalar_subquery()
            c.execute(select(func.setval("assignment_id_seq", highest)))
    if study.database.dialect == "postgresql":
        with study.database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as c:
            c.exec_driver_sql("ANALYZE")


def time_assignments(study: StudyFolder, rounds: int) -> list[float]:
    """Seconds of an answer with the assignment that follows, one by one, commit included."""
    from user_study.participant import joining

    with study.database.write() as c:
        facts = study_state.facts(c)
        joined = joining.join(c, facts.settings, "somebody new", "nickname", now_ms())
        past = {"step": "main", "training_passed_at": 1, "training_attempts": 1}
        c.execute(update(participant).where(participant.c.id == joined.id).values(past))
        state = assigning.current(Turn.begin(c, joined.id, now_ms()))
    rng, times = Random(0), []
    for _ in range(rounds):
        if state.trial is None:
            break
        sent = Submitted(trial=state.trial.token, answer=rng.choice(("yes", "no")), rt_ms=1500.0)

        def work(c: object, sent: Submitted = sent) -> Stored:
            return answering.answer(Turn.begin(c, joined.id, now_ms(), rng), sent, True)

        start = time.perf_counter()
        state = study.database.transact(work).state
        times.append(time.perf_counter() - start)
    return times


def time_pages(study: StudyFolder) -> dict[str, list[tuple[float, float]]]:
    """Seconds, and seconds of this process's processor time, of five visits to each page."""
    with study.database.write() as c:
        accounts.add(c, "bench", accounts.hashed(PASSWORD), "benchmark", now_ms())
    app = create_app(study.database, study.path, ServeOptions(plain_http=True, expiry_s=0))
    found: dict[str, list[tuple[float, float]]] = {}
    with TestClient(app, headers={"Sec-Fetch-Site": "same-origin"}, base_url="http://127.0.0.1") as client:
        client.post("/admin/login", data={"name": "bench", "password": PASSWORD})
        for path in ("/admin", "/admin/live.json", "/admin/pairs", "/admin/participants", "/admin/traps"):
            for _ in range(5):
                start, used = time.perf_counter(), time.process_time()
                reply = client.get(path)
                found.setdefault(path, []).append((time.perf_counter() - start, time.process_time() - used))
                if reply.status_code != 200:
                    raise SystemExit(f"{path}: {reply.status_code}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--answers", type=int, default=1_000_000)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="semfid-database-"))) / "study"
        url = stack.enter_context(postgres()) if arguments.database == "postgresql" else None
        pairs = max(300, arguments.answers // QUOTA + 1)
        rules = {"min_traps": 10_000, "repeat_min": 10_000, "timing_min": 100_000, "same_min": 100_000}
        study = make_study(
            folder, pairs, QUOTA + 3, url, per_person_cap=10_000, training={"items": 0, "pass": 0}, rules=rules
        )
        start = time.perf_counter()
        fill(study, arguments.answers)
        spent = time.perf_counter() - start
        print(
            f"{arguments.database}: {arguments.answers:,} answers to {pairs:,} pairs written in {spent:.0f} s",
            flush=True,
        )
        used = time.process_time()
        times = sorted(time_assignments(study, 300))
        used = (time.process_time() - used) / len(times)
        tail = times[int(0.95 * len(times))]
        print(
            f"  answer with the next assignment, {len(times)} times: p50 {1000 * times[len(times) // 2]:.1f} ms, "
            f"p95 {1000 * tail:.1f} ms (target 50), max {1000 * times[-1]:.1f} ms; processor time {1000 * used:.1f} ms each; "
            f"load {os.getloadavg()[0]:.0f}",
            flush=True,
        )
        for path, visits in time_pages(study).items():
            (first, first_used), (then, then_used) = visits[0], sorted(visits)[len(visits) // 2]
            print(
                f"  {path:20} first {first:.2f} s (processor {first_used:.2f}), then {then:.2f} s (processor {then_used:.2f}); "
                "target of /admin: 1",
                flush=True,
            )
        study.database.close()


if __name__ == "__main__":
    main()
