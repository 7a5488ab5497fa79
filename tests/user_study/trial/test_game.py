"""Points, spins and the leaderboard: paid once, drawn on the server, never below the floor."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from study_support import T0, Player, assert_consistent, honest, save_settings, wrong

from user_study.core.folder import StudyFolder
from user_study.core.settings import from_dict
from user_study.database.schema import ledger
from user_study.participant import joining
from user_study.trial import exclusion, game
from user_study.trial.game import NoSpin
from user_study.trial.turn import Turn

on_both = pytest.mark.parametrize("backend", ["sqlite", "postgresql"], indirect=True)


def points(study: StudyFolder, number: int) -> Counter:
    with study.database.read() as c:
        return Counter(c.execute(select(ledger.c.kind).where(ledger.c.participant_id == number)).scalars())


@on_both
def test_points_and_one_spin_for_ten_valid_answers(study: StudyFolder) -> None:
    player = Player(study, "Ann")
    with pytest.raises(NoSpin):
        player.spin()
    state = player.play(9, choose=honest)
    assert (state.score, state.valid, state.spins) == (9, 9, 0)
    state = player.play(1, choose=honest)
    assert (state.valid, state.spins) == (10, 1)
    assert state.score == 10 + 3  # the trap of the round was passed
    spin = player.spin()
    assert spin.points == spin.wheel[spin.segment] == spin.applied or spin.score == 0
    assert spin.score == 13 + spin.applied and spin.spins_left == 0
    with pytest.raises(NoSpin):
        player.spin()
    assert player.next().spins == 0
    assert points(study, player.id) == {"answer": 10, "streak": 1, "spin": 1}
    assert_consistent(study.database)


def test_no_streak_after_a_missed_trap_and_no_points_for_haste(study: StudyFolder) -> None:
    player = Player(study, "Ann")
    state = player.play(10, choose=wrong)
    assert state.score == 10 and "streak" not in points(study, player.id)
    hasty = Player(study, "Bob")
    state = hasty.play(10, choose=honest, rt_ms=100.0)
    assert (state.score, state.valid, state.spins) == (0, 0, 0)


def test_a_spin_is_drawn_evenly_and_the_floor_holds(study: StudyFolder) -> None:
    save_settings(study, game={"wheel": [10, -10, 3, -3], "max_spins": 10_000, "spin_every": 1})
    player = Player(study, "Ann")
    seen = Counter()
    with study.database.write() as c:
        turn = Turn.begin(c, player.id, T0, Random(1))
        person = turn.person
        person.valid = 2_000
        for _ in range(2_000):
            before = person.score
            spin = game.spin(turn)
            seen[spin.segment] += 1
            assert person.score == spin.score == max(0, before + spin.points) == before + spin.applied
        assert game.score(c, player.id) == person.score
    assert sum((seen[segment] - 500) ** 2 / 500 for segment in range(4)) < 16.3  # 99.9 % of chi-square, 3 degrees


def test_spins_end(study: StudyFolder) -> None:
    save_settings(study, game={"spin_every": 2, "max_spins": 2})
    player = Player(study, "Ann")
    assert player.play(8, choose=honest).spins == 2
    player.spin()
    player.spin()
    with pytest.raises(NoSpin):
        player.spin()
    save_settings(study, game={"enabled": False})
    other = Player(study, "Bob")
    state = other.play(5, choose=honest)
    assert (state.score, state.spins, state.valid) == (0, 0, 5)


@on_both
def test_the_ledger_takes_an_entry_once(study: StudyFolder) -> None:
    player = Player(study, "Ann")
    player.play(1)
    with study.database.read() as c:
        row = c.execute(select(ledger)).mappings().one()
    with pytest.raises(IntegrityError), study.database.write() as c:
        c.execute(ledger.insert().values({key: row[key] for key in ("participant_id", "kind", "ref", "points", "at")}))


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(["answer", "again", "undo", "spin"]), min_size=5, max_size=40))
def test_the_score_is_the_ledgers_sum_whatever_is_sent_twice(study: StudyFolder, steps: list[str]) -> None:
    save_settings(study, game={"spin_every": 2}, break_every=0)
    player, tokens, spins = Player(study, "Ann"), [], 0
    for step in steps:
        state = player.next()
        if step == "answer" and state.trial:
            tokens.append(state.trial.token)
            player.answer(state.trial.token, honest(state.trial))
        elif step == "again" and tokens:
            before = player.person().score
            player.answer(tokens[-1], "yes")
            assert player.person().score == before
        elif step == "undo" and state.can_undo:
            player.undo(tokens[-1])
        elif step == "spin" and state.spins:
            player.spin()
            spins += 1
    assert_consistent(study.database)
    kinds = points(study, player.id)
    assert kinds["spin"] == spins <= player.person().valid // 2 + kinds["undo"]
    assert player.person().score >= 0
    with study.database.write() as c:
        joining.erase(c, player.id, from_dict({}), T0)


@on_both
def test_the_leaderboard(study: StudyFolder) -> None:
    names = ["Ann", "Bob", "Cid", "Dan", "Eve"]
    people = {name: Player(study, name, seed=i, now=T0 + i) for i, name in enumerate(names)}
    tester = Player(study, "Tess", role="tester")
    for player, count in zip(people.values(), (3, 5, 3, 4, 0), strict=True):
        player.play(count, choose=honest)
    tester.play(8, choose=honest)
    with study.database.write() as c:
        exclusion.exclude(c, people["Dan"].id, "x", "me", T0)
    with study.database.read() as c:
        board = game.leaderboard(c, 10, ("Cup",))
        assert [(row.rank, row.nickname, row.score, row.prize) for row in board] == [
            (1, "Bob", 5, "Cup"), (2, "Ann", 3, ""), (3, "Cid", 3, ""),
        ]  # fmt: skip
        for row in board:
            assert game.place(c, row.participant_id, ("Cup",)) == row
        assert [game.place(c, one.id) for one in (people["Dan"], people["Eve"], tester)] == [None] * 3
    with study.database.write() as c:
        joining.show_on_leaderboard(c, people["Bob"].id, False)
    with study.database.read() as c:
        assert [row.nickname for row in game.leaderboard(c, 1)] == ["Ann"]
        assert game.place(c, people["Cid"].id).rank == 2
