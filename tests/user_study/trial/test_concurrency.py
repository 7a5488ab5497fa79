"""Many at once: quotas exact, nothing twice, nothing lost; on both databases."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import pytest
from sqlalchemy import func, select
from study_support import T0, assert_consistent, fill, newcomer, submitted

from user_study.core import study_state
from user_study.core.folder import StudyFolder, create_study
from user_study.core.settings import from_dict
from user_study.database.schema import pair, response
from user_study.participant import joining
from user_study.trial import answering, assignment
from user_study.trial.turn import Turn

SETTINGS = {
    "quota": 5,
    "trap_rate": 0.1,
    "repeat_rate": 0,
    "lease_s": 3600,
    "rules": {"trap_pass": 0.0, "same_share": 1.0},
}


@pytest.fixture(params=["sqlite", "postgresql"])
def crowd(request: pytest.FixtureRequest, tmp_path: Path):
    """20 pairs under a quota of 5."""
    url, server, name = None, None, ""
    if request.param == "postgresql":
        server = request.getfixturevalue("postgres")
        if server.reason:
            pytest.skip(server.reason)
        name = server.new()
        url = server.url(name)
    made = create_study(tmp_path / "s", from_dict(SETTINGS), url)
    with made.database.write() as c:
        fill(c, made.images, main=20, traps=4)
    yield made
    made.database.close()
    if server:
        server.drop(name)


def test_sixteen_threads_fill_every_quota_exactly(crowd: StudyFolder) -> None:
    people = [newcomer(crowd, f"P{i}") for i in range(16)]
    together = threading.Barrier(16)

    def play(number: int) -> int:
        rng, now, accepted = Random(number), T0, 0
        together.wait()
        state = crowd.database.transact(lambda c: assignment.current(Turn.begin(c, number, now, rng)))
        while state.trial is not None:
            now += 2_000
            token, at = state.trial.token, now
            stored = crowd.database.transact(
                lambda c, token=token, at=at: answering.answer(
                    Turn.begin(c, number, at, rng), submitted(token, rng.choice(["yes", "no"]))
                )
            )
            accepted += not stored.duplicate
            state = stored.state
        return accepted

    with ThreadPoolExecutor(16) as threads:
        accepted = sum(threads.map(play, people))
    assert_consistent(crowd.database)
    with crowd.database.read() as c:
        assert c.execute(select(func.count()).select_from(response)).scalar_one() == accepted
        done = list(c.execute(select(pair.c.done).where(pair.c.kind == "main")).scalars())
        assert not any(c.execute(select(pair.c.open)).scalars())
    # 16 people for 5 answers each: everybody left has seen what was open last, at worst a place or two stay free
    assert max(done) == 5 and sum(done) >= 98


def test_a_stampede_of_joins_with_one_name_and_many(crowd: StudyFolder) -> None:
    together = threading.Barrier(24)

    def join(i: int) -> str:
        together.wait()
        name = "Same" if i % 2 else f"Other {i}"
        try:
            return crowd.database.transact(
                lambda c: joining.join(c, study_state.facts(c).settings, name, "nickname", T0)
            ).nickname
        except joining.NicknameTaken:
            return "taken"

    with ThreadPoolExecutor(24) as threads:
        names = list(threads.map(join, range(24)))
    assert names.count("Same") == 1 and names.count("taken") == 11 and len(set(names)) == 14


def test_one_person_in_many_tabs(crowd: StudyFolder) -> None:
    """The same answer sent ten times at once is stored once, and the same trial is on every screen."""
    number = newcomer(crowd, "Ann")
    together = threading.Barrier(10)

    def open_tab(_: int) -> tuple[str, str]:
        together.wait()
        state = crowd.database.transact(lambda c: assignment.current(Turn.begin(c, number, T0, Random(1))))
        return state.trial.token, state.upcoming.token

    with ThreadPoolExecutor(10) as threads:
        seen = set(threads.map(open_tab, range(10)))
    assert len(seen) == 1
    token = seen.pop()[0]

    def send(i: int) -> bool:
        together.wait()
        return crowd.database.transact(
            lambda c: answering.answer(
                Turn.begin(c, number, T0 + 3_000, Random(2)), submitted(token, "yes" if i % 2 else "no")
            )
        ).duplicate

    with ThreadPoolExecutor(10) as threads:
        assert sorted(threads.map(send, range(10))) == [False] + [True] * 9
    assert_consistent(crowd.database)
