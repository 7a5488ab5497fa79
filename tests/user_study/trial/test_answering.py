"""What becomes of an answer: counted or not, once, late, taken back; on both databases."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from study_support import T0, Player, assert_consistent, honest, save_settings

from user_study.core import study_state
from user_study.core.folder import StudyFolder
from user_study.database.schema import assignment, ledger, pair, participant, response
from user_study.trial import exclusion, expiry_job, heartbeat
from user_study.trial.answers import Refused
from user_study.trial.game import NoSpin
from user_study.trial.turn import Turn

on_both = pytest.mark.parametrize("backend", ["sqlite", "postgresql"], indirect=True)


def first_main(player: Player):
    """Answer until a main pair is on the screen."""
    state = player.next()
    while state.trial.kind != "main":
        state = player.answer(state.trial.token, honest(state.trial)).state
    return state


def row_of(study: StudyFolder, token: str):
    with study.database.read() as c:
        return (
            c.execute(
                select(response)
                .join(assignment, assignment.c.id == response.c.assignment_id)
                .where(assignment.c.token == token)
            )
            .mappings()
            .one()
        )


@on_both
def test_an_answer_is_stored_with_all_that_came_with_it(study: StudyFolder) -> None:
    player = Player(study, "Ann")
    trial = first_main(player).trial
    stored = player.answer(
        trial.token, "yes", wait=3_000, rt_ms=1234.5, toggles=2, zoom_max=2.0, blurs=1, blur_ms=50.0, viewport=(800, 600),
        pixel_ratio=2.0, shown_width=380.5, browser="Firefox 140", category="detail", where=(0.25, 0.5),
    )  # fmt: skip
    row = row_of(study, trial.token)
    assert stored.counted and not stored.duplicate and not stored.late and stored.notice is None
    assert (row["answer"], row["counted"], row["why_not"], row["rt_ms"]) == ("yes", 1, None, 1234.5)
    assert (row["server_ms"], row["viewport_width"], row["browser"], row["toggles"]) == (3000, 800, "Firefox 140", 2)
    assert row["category"] is None and row["where_x"] is None  # the study does not ask
    save_settings(study, follow_up_category=True, follow_up_where=True)
    trial = first_main(player).trial
    player.answer(trial.token, "yes", category="detail", where=(0.25, 0.5))
    row = row_of(study, trial.token)
    assert (row["category"], row["where_x"], row["where_y"]) == ("detail", 0.25, 0.5)
    assert_consistent(study.database)


@on_both
def test_a_second_answer_is_a_duplicate(study: StudyFolder) -> None:
    """Two tabs, or a request that was sent again: the first answer stands."""
    player = Player(study, "Ann")
    trial = first_main(player).trial
    first = player.answer(trial.token, "yes")
    second = player.answer(trial.token, "no")
    assert second.duplicate and second.counted == first.counted
    assert second.state.trial.token == first.state.trial.token
    assert row_of(study, trial.token)["answer"] == "yes" and player.person().score == first.state.score
    assert_consistent(study.database)


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"rt_ms": 399.0}, "fast"),
        ({"held": True}, "held"),
        ({"rt_ms": None}, "unseen"),
        ({"rt_ms": 60_000.0}, "unseen"),
        ({"rt_ms": 5000.0, "wait": 5}, "unseen"),
    ],
)
def test_answers_that_nobody_can_mean_do_not_count(study: StudyFolder, more: dict, why: str) -> None:
    player = Player(study, "Ann")
    trial = first_main(player).trial
    before = player.person()
    stored = player.answer(trial.token, "yes", **more)
    assert not stored.counted and stored.notice and row_of(study, trial.token)["why_not"] == why
    assert (player.person().score, player.person().valid) == (before.score, before.valid)
    with study.database.read() as c:
        row = c.execute(select(pair.c.open, pair.c.done).where(pair.c.id == trial.pair_id)).one()
    assert tuple(row) == (0, 0)  # the place is free for others
    assert_consistent(study.database)


def test_a_script_that_does_not_wait_is_not_believed(study: StudyFolder) -> None:
    """It claims a second for each answer and sends them at once."""
    player = Player(study, "Bot")
    player.play(wait=3, rt_ms=1000.0)
    with study.database.read() as c:
        assert not any(c.execute(select(response.c.counted)).scalars())


@on_both
def test_late_answers_are_kept_where_there_is_room(study: StudyFolder) -> None:
    save_settings(study, quota=1, trap_rate=0, repeat_rate=0)
    ann, bob = Player(study, "Ann"), Player(study, "Bob")
    state = ann.next()
    tokens = [state.trial.token, state.upcoming.token]
    late_now = T0 + 300_000
    with study.database.write() as c:
        expiry_job.run(c, late_now)
    bob.now = late_now
    state = bob.next()
    # Bob takes everything but stops before Ann's first pair comes to him
    with study.database.read() as c:
        rows = c.execute(select(assignment.c.token, assignment.c.pair_id).where(assignment.c.token.in_(tokens)))
        pair_of = {row.token: row.pair_id for row in rows}
    taken = None
    while state.trial is not None and taken is None:
        if state.trial.pair_id == pair_of[tokens[0]]:
            taken = tokens[0]
        elif state.trial.pair_id == pair_of[tokens[1]]:
            taken = tokens[1]
        state = bob.answer(state.trial.token).state
    free = next(token for token in tokens if token != taken)
    ann.now = bob.now
    stored = ann.answer(taken)
    assert stored.late and not stored.counted and row_of(study, taken)["why_not"] == "surplus"
    with study.database.read() as c:
        room = c.execute(select(pair.c.done + pair.c.open).where(pair.c.id == pair_of[free])).scalar_one() == 0
    with study.database.read() as c:
        blocked = c.execute(
            select(assignment.c.id).where(
                assignment.c.participant_id == ann.id,
                assignment.c.pair_id == pair_of[free],
                assignment.c.state == "open",
            )
        ).first()
    if blocked:
        with pytest.raises(Refused, match="waited too long"):
            ann.answer(free)
    else:
        stored = ann.answer(free)
        assert stored.late and stored.counted == room and row_of(study, free)["late"] == 1
    assert ann.answer(taken).duplicate
    assert_consistent(study.database)


def test_a_late_answer_before_the_sweep_still_counts(study: StudyFolder) -> None:
    player = Player(study, "Ann")
    trial = first_main(player).trial
    stored = player.answer(trial.token, wait=400_000)
    assert stored.late and stored.counted and stored.state.trial
    assert_consistent(study.database)


@on_both
def test_undo_puts_the_trial_back(study: StudyFolder) -> None:
    player = Player(study, "Ann")
    state = first_main(player)
    trial, before = state.trial, player.person()
    stored = player.answer(trial.token, "yes")
    assert stored.state.can_undo and player.next().can_undo
    back = player.undo(trial.token)
    assert back.trial and (back.trial.pair_id, back.trial.reference_left, back.trial.position) == (
        trial.pair_id, trial.reference_left, trial.position,
    )  # fmt: skip
    assert back.trial.token != trial.token and not back.can_undo and back.upcoming.pair_id == stored.state.trial.pair_id
    after = player.person()
    assert (after.score, after.valid, after.position) == (before.score, before.valid, before.position)
    assert_consistent(study.database)
    with pytest.raises(Refused):
        player.undo(trial.token)
    again = player.answer(back.trial.token, "no")
    assert again.counted and row_of(study, trial.token)["why_not"] == "undone"
    assert player.answer(trial.token, "yes").duplicate
    with study.database.read() as c:
        row = c.execute(select(pair.c.yes, pair.c.no, pair.c.done).where(pair.c.id == trial.pair_id)).one()
        kinds = list(c.execute(select(ledger.c.kind).where(ledger.c.participant_id == player.id)).scalars())
    assert tuple(row) == (0, 1, 1) and "undo" in kinds
    assert_consistent(study.database)


def test_undo_is_only_for_the_last_answer(study: StudyFolder) -> None:
    save_settings(study, break_every=4)
    player = Player(study, "Ann")
    state = player.next()
    first = state.trial.token
    second = player.answer(first).state.trial.token
    player.answer(second)
    for token in (first, "nonsense", player.next().trial.token):
        with pytest.raises(Refused):
            player.undo(token)
    third = player.next().trial.token
    player.answer(third)
    last = player.next().trial.token
    stored = player.answer(last)
    assert stored.state.break_due and not stored.state.can_undo
    with pytest.raises(Refused):
        player.undo(last)


@on_both
def test_what_is_not_an_answer(study: StudyFolder) -> None:
    ann, bob = Player(study, "Ann"), Player(study, "Bob")
    state = ann.next()
    for token, word, code in (
        (state.trial.token, "unsure", "bad_request"),
        (state.trial.token, "RESERVED", "bad_request"),
        ("nonsense", "yes", "unknown_trial"),
        (state.upcoming.token, "yes", "not_yet"),
    ):
        with pytest.raises(Refused) as caught:
            ann.answer(token, word)
        assert caught.value.code == code
    with pytest.raises(Refused):
        bob.answer(state.trial.token)
    with study.database.read() as c:
        assert c.execute(select(response.c.id)).first() is None


def test_heartbeat_and_release(study: StudyFolder) -> None:
    player = Player(study, "Ann")
    token = player.next().trial.token

    def beat(at: int) -> int | None:
        with study.database.write() as c:
            return heartbeat.heartbeat(Turn.begin(c, player.id, at), token)

    assert beat(T0 + 100_000) == 240_000
    assert beat(T0 + 300_000) == 240_000
    assert beat(T0 + 500_000) == 240_000
    assert beat(T0 + 730_000) == 230_000  # four leases at most
    assert beat(T0 + 961_000) is None
    player.now = T0 + 961_000
    token = player.next().trial.token
    with study.database.write() as c:
        heartbeat.release(player.turn(c))
    player.now += 5_000
    assert player.next().trial.token == token  # a reload
    with study.database.write() as c:
        heartbeat.release(player.turn(c))
        assert expiry_job.run(c, player.now + 21_000) == 2


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.integers(0, 2),
            st.sampled_from(["next", "yes", "no", "fast", "undo", "again", "away", "out", "in", "sweep", "spin"]),
        ),
        min_size=10,
        max_size=60,
    )
)
def test_whatever_happens_the_counters_are_right(study: StudyFolder, steps: list[tuple[int, str]]) -> None:
    """Three people do anything in any order under a quota of two; rows and counters agree, and no quota is exceeded."""
    save_settings(study, quota=2, game={"spin_every": 3}, break_every=7, repeat_gap=3, repeat_rate=0.2)
    people = [Player(study, f"P{i}") for i in range(3)]  # each example erases its people
    clock, last = T0, {}
    for who, step in steps:
        player = people[who]
        clock = player.now = max(clock, player.now)
        try:
            if step in ("yes", "no", "fast"):
                state = player.next()
                if state.trial:
                    last[who] = state.trial.token
                    rt = 100.0 if step == "fast" else 900.0
                    player.answer(state.trial.token, "no" if step == "no" else "yes", rt_ms=rt)
            elif step == "undo" and who in last:
                player.undo(last[who])
            elif step == "again" and who in last:
                assert player.answer(last[who]).duplicate
            elif step == "next":
                player.next()
            elif step == "away":
                player.now += 250_000
            elif step == "spin":
                player.spin()
            elif step in ("out", "in", "sweep"):
                with study.database.write() as c:
                    if step == "sweep":
                        expiry_job.run(c, clock)
                    else:
                        change = exclusion.exclude if step == "out" else exclusion.restore
                        change(c, player.id, "test", "me", clock)
        except (Refused, NoSpin):
            pass
        clock = max(clock, player.now)
    assert_consistent(study.database)
    with study.database.write() as c:
        from user_study.participant.joining import erase

        for player in people:
            erase(c, player.id, study_state.facts(c).settings, clock)
    assert_consistent(study.database)
    with study.database.read() as c:
        assert sum(c.execute(select(pair.c.done + pair.c.open)).scalars()) == 0
        assert c.execute(select(participant.c.id)).first() is None
