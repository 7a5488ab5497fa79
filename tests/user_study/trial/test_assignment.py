"""Which trial comes next: schedule, sides, strata, leases, quotas; on both databases."""

from __future__ import annotations

from collections import Counter
from itertools import islice, pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select, update
from study_support import T0, Player, assert_consistent, honest, save_settings

from user_study.core import study_state
from user_study.core.folder import StudyFolder
from user_study.core.settings import StudySettings
from user_study.database.schema import assignment, pair, response
from user_study.trial import expiry_job, schedule
from user_study.trial.assignment import NotReady
from user_study.trial.pairs import set_active

on_both = pytest.mark.parametrize("backend", ["sqlite", "postgresql"], indirect=True)


@settings(max_examples=30)
@given(st.integers(0, 2**32), st.sampled_from([0.1, 0.2, 0.25, 0.05, 0.5]))
def test_traps_one_a_block_never_adjacent_both_polarities(seed: int, rate: float) -> None:
    size = round(1 / rate)
    drawn = list(islice(schedule.traps(Random(seed), rate), 40))
    places = [place for place, _ in drawn]
    assert [(place - 1) // size for place in places] == list(range(40))
    assert all(b - a > 1 for a, b in pairwise(places))
    for first, second in zip(drawn[::2], drawn[1::2], strict=True):
        assert {first[1], second[1]} == {"yes", "no"}
    assert list(islice(schedule.traps(Random(seed), rate), 40)) == drawn


def test_traps_are_uniform_and_their_order_random() -> None:
    """First place of 4,000 schedules: chi-square over the ten places below its 99.9 % quantile (27.9)."""
    firsts = [next(schedule.traps(Random(seed), 0.1)) for seed in range(4_000)]
    counts = Counter(place for place, _ in firsts)
    assert sum((counts[place] - 400) ** 2 / 400 for place in range(1, 11)) < 27.9
    assert 1_850 < sum(truth == "yes" for _, truth in firsts) < 2_150
    assert next(schedule.traps(Random(0), 0), None) is None


@settings(max_examples=6)
@given(st.text(max_size=8), st.integers(5, 40))
def test_repeats_stand_late_enough_and_not_on_traps(seed: str, gap: int) -> None:
    wanted = StudySettings(repeat_gap=gap)
    places = [place for place in range(1, 101) if schedule.repeat_at(wanted, seed, place)]
    assert places and min(places) >= gap + 2
    assert len({(place - 1) // 20 for place in places}) == len(places) >= (100 - gap) // 20 - 1
    assert not any(schedule.trap_at(wanted, seed, place) for place in places)
    assert not any(schedule.repeat_at(StudySettings(repeat_rate=0), seed, place) for place in range(1, 100))


@on_both
def test_a_whole_session(study: StudyFolder) -> None:
    """Every main pair once, a trap in its block, nothing twice, the end with a code."""
    player = Player(study, "Ann")
    state = player.play(choose=honest)
    assert state.phase == "done" and state.trial is None and state.upcoming is None
    with study.database.read() as c:
        rows = c.execute(select(response.c.kind, response.c.pair_id, response.c.position).order_by(response.c.id)).all()
    kinds = Counter(row.kind for row in rows)
    assert kinds["main"] == 12 and kinds["trap"] in (1, 2) and len({row.pair_id for row in rows}) == len(rows)
    assert [row.position for row in rows] == list(range(1, len(rows) + 1))
    assert 1 <= next(row.position for row in rows if row.kind == "trap") <= 10
    person = player.person()
    assert person.step == "finished" and person.completion_code and person.valid == len(rows)
    assert player.next().phase == "done"
    assert_consistent(study.database)


@on_both
def test_the_least_answered_first_and_origins_balanced(study: StudyFolder) -> None:
    save_settings(study, trap_rate=0, repeat_rate=0)
    for number in range(4):
        Player(study, f"P{number}", seed=number).play(6)
        with study.database.read() as c:
            done = list(c.execute(select(pair.c.done).where(pair.c.kind == "main")).scalars())
            origins = Counter(
                c.execute(
                    select(pair.c.origin)
                    .join(response, response.c.pair_id == pair.c.id)
                    .where(response.c.kind == "main")
                ).scalars()
            )
        # the one on the screen and the one ahead are taken too: counts may differ by those
        assert max(done) - min(done) <= 2
        assert max(origins.values()) - min(origins.values()) <= number + 1
    assert_consistent(study.database)


@on_both
def test_sides_are_balanced_within_each_pair(study: StudyFolder) -> None:
    save_settings(study, trap_rate=0, repeat_rate=0)
    for number in range(6):
        Player(study, f"P{number}", seed=number).play()
    with study.database.read() as c:
        for row in c.execute(select(pair).where(pair.c.kind == "main")).mappings():
            assert (row["reference_left"], row["reference_right"]) == (3, 3)


def test_draws_depend_on_the_rng_alone(study: StudyFolder) -> None:
    """Chance is injected: the same seed chooses the same pairs on the same sides."""
    seen = []
    for number in range(2):
        player = Player(study, f"P{number}", seed=7)
        state = player.next()
        assert state.trial and state.upcoming
        seen.append((state.trial.kind, state.trial.reference_left))
        with study.database.write() as c:
            from user_study.participant.joining import erase

            erase(c, player.id, StudySettings(), T0)
    assert seen[0][1] == seen[1][1] or "trap" in (seen[0][0], seen[1][0])


@on_both
def test_repeats_come_late_with_sides_exchanged(study: StudyFolder) -> None:
    save_settings(study, repeat_rate=0.25, repeat_gap=5, trap_rate=0.1)
    Player(study, "Ann").play(choose=honest)
    with study.database.read() as c:
        rows = c.execute(select(response).order_by(response.c.id)).mappings().all()
    first = {row["pair_id"]: row for row in rows if row["kind"] == "main"}
    repeats = [row for row in rows if row["kind"] == "repeat"]
    assert repeats and len({row["pair_id"] for row in repeats}) == len(repeats)
    for row in repeats:
        before = first[row["pair_id"]]
        assert row["position"] - before["position"] >= 5
        assert row["reference_left"] == 1 - before["reference_left"]
        assert (row["correct"], row["counted"], row["why_not"]) == (1, 0, "kind")
    assert_consistent(study.database)


@on_both
def test_a_reload_and_a_second_tab_show_the_same(study: StudyFolder) -> None:
    player = Player(study, "Ann")
    first, again = player.next(), player.next()
    assert first.trial and again.trial and first.upcoming and again.upcoming
    assert (first.trial.token, first.upcoming.token) == (again.trial.token, again.upcoming.token)
    state = player.answer(first.trial.token).state
    assert state.trial and state.trial.token == first.upcoming.token and player.next().trial.token == state.trial.token


@on_both
def test_a_lease_that_runs_out_is_free_again(study: StudyFolder) -> None:
    player = Player(study, "Ann")
    state = player.next()
    with study.database.read() as c:
        assert sum(c.execute(select(pair.c.open)).scalars()) in (1, 2)
    with study.database.write() as c:
        assert expiry_job.run(c, T0 + 239_000) == 0
        assert expiry_job.run(c, T0 + 241_000) == 2
    with study.database.read() as c:
        assert sum(c.execute(select(pair.c.open)).scalars()) == 0
        assert sum(c.execute(select(pair.c.reference_left + pair.c.reference_right)).scalars()) == 0
    assert player.person().position == 0
    player.now += 241_000
    again = player.next()
    assert again.trial and state.trial and again.trial.token != state.trial.token and again.trial.position == 1
    player.now += 241_000  # not swept: the person's own call sees it
    third = player.next()
    assert third.trial and third.trial.token != again.trial.token
    assert_consistent(study.database)


def test_a_clock_that_was_turned_back_makes_no_lease_eternal(study: StudyFolder) -> None:
    """The server is started again with an earlier clock: leases of the future are cut to one lease from now."""
    player = Player(study, "Ann", now=T0 + 10_000_000_000)
    player.next()
    with study.database.write() as c:
        assert expiry_job.run(c, T0) == 0
        assert expiry_job.run(c, T0 + 241_000) == 2
    assert_consistent(study.database)


@on_both
def test_quota_full_and_reopened(study: StudyFolder) -> None:
    save_settings(study, quota=1, trap_rate=0, repeat_rate=0)
    first, second = Player(study, "Ann"), Player(study, "Bob")
    first.play()
    state = second.next()
    assert (state.phase, state.trial) == ("full", None)
    assert second.person().step == "main"
    with study.database.write() as c:
        from user_study.trial import exclusion

        exclusion.exclude(c, first.id, "test", "me", T0)
    assert second.next().phase == "main"
    assert first.next().phase == "done"
    assert_consistent(study.database)


def test_the_cap_ends_a_session(study: StudyFolder) -> None:
    save_settings(study, per_person_cap=5)
    player = Player(study, "Ann")
    assert player.play(3).phase == "main"
    state = player.next()
    assert state.valid == 3 and state.upcoming is not None
    assert player.play(1).upcoming is None
    state = player.play()
    assert (state.phase, state.valid) == ("done", 5)


def test_states_of_the_study(study: StudyFolder) -> None:
    player, tester = Player(study, "Ann"), Player(study, "Tess", role="tester")
    state = player.next()
    assert state.trial
    for new, phase in (("paused", "paused"), ("closed", "closed")):
        with study.database.write() as c:
            study_state.set_state(c, new, "me", T0)
        assert player.next().phase == phase
    stored = player.answer(state.trial.token)
    assert stored.state.phase == "closed" and (stored.counted or state.trial.kind == "trap")  # nothing is lost
    assert tester.play(3).phase == "main"
    with study.database.read() as c:
        assert not any(c.execute(select(response.c.counted).where(response.c.participant_id == tester.id)).scalars())
    assert_consistent(study.database)


def test_consent_comes_first(study: StudyFolder) -> None:
    with pytest.raises(NotReady):
        Player(study, "Ann", ready=False).next()


def test_without_traps_or_with_retired_pairs(study: StudyFolder) -> None:
    with study.database.write() as c:
        for number in c.execute(select(pair.c.id).where(pair.c.kind == "trap")).scalars().all():
            set_active(c, number, False, "bad", "me", T0)
        victim = c.execute(select(pair.c.id).where(pair.c.kind == "main")).scalars().first()
        set_active(c, victim, False, "broken image", "me", T0)
        assert sum(study_state.facts(c).strata.values()) == 11
    Player(study, "Ann").play()
    with study.database.read() as c:
        rows = c.execute(select(response.c.kind, response.c.pair_id)).all()
    assert len(rows) == 11 and {row.kind for row in rows} == {"main"} and victim not in {row.pair_id for row in rows}


@on_both
def test_training_with_feedback_and_two_tries(study: StudyFolder) -> None:
    good, bad = Player(study, "Ann", ready=False), Player(study, "Bob", ready=False)
    with study.database.write() as c:
        from user_study.database.schema import participant

        c.execute(update(participant).values(step="training"))
    state = good.next()
    assert state.phase == "training" and state.training and (state.training.item, state.training.of) == (1, 6)
    truths = []
    for item in range(6):
        assert state.trial and state.training and state.training.item == item + 1
        truths.append(state.trial.truth)
        stored = good.answer(state.trial.token, honest(state.trial) if item else "yes")
        assert stored.feedback and "Look at it." in stored.feedback.text
        state = stored.state
    assert Counter(truths) == {"yes": 3, "no": 3} and state.phase == "main"
    assert good.person().training_passed_at
    state = bad.play(6, choose=lambda trial: "yes" if trial.truth == "no" else "no")
    assert state.phase == "training" and state.training and state.training.attempt == 2
    state = bad.play(6, choose=lambda trial: "yes")
    assert state.phase == "done" and bad.person().completion_code and not bad.person().training_passed_at
    assert bad.next().phase == "done"
    with study.database.read() as c:
        open_ = select(assignment.c.id).where(assignment.c.state == "open", assignment.c.participant_id == bad.id)
        assert c.execute(open_).first() is None
    assert_consistent(study.database)
