"""The rules, as a table of facts and verdicts, and how they act on people."""

from __future__ import annotations

import json
from dataclasses import replace
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select
from study_support import T0, Player, assert_consistent, honest, save_settings, wrong

from user_study.core import study_state
from user_study.core.folder import StudyFolder
from user_study.core.settings_sections import RuleSettings
from user_study.database.schema import pair, response, standing_event
from user_study.trial import exclusion, expiry_job, screening
from user_study.trial.pairs import set_active
from user_study.trial.person import lock
from user_study.trial.screening import PersonFacts, judge, rules_hash, traps_needed

RULES = RuleSettings()
GOOD = PersonFacts(
    traps_seen=12, traps_right=12, trials=120, median_ms=2500, fast_share=0.0, same_share=0.6, repeats=5, repeats_same=5
)


@pytest.mark.parametrize(
    ("change", "exclude", "flags"),
    [
        ({}, False, ()),
        ({"traps_right": 9}, False, ()),
        ({"traps_right": 8}, True, ("traps",)),
        ({"traps_seen": 7, "traps_right": 0}, False, ()),
        ({"median_ms": 699.0}, False, ("fast_median",)),
        ({"fast_share": 0.21}, False, ("fast_share",)),
        ({"fast_share": 0.2}, False, ()),
        ({"same_share": 0.96}, False, ("same_answer",)),
        ({"same_share": 0.96, "trials": 39}, False, ()),
        ({"repeats_same": 3}, False, ("repeats",)),
        ({"repeats": 3, "repeats_same": 0}, False, ()),
        ({"blur_share": 0.31}, False, ("blur",)),
        ({"median_ms": 300.0, "fast_share": 0.9}, True, ("fast_median", "fast_share")),
        ({"same_share": 1.0, "repeats_same": 1}, True, ("same_answer", "repeats")),
        ({"median_ms": 300.0, "fast_share": 0.9, "trials": 19}, False, ()),
    ],
)
def test_rules(change: dict, exclude: bool, flags: tuple[str, ...]) -> None:
    verdict = judge(replace(GOOD, **change), RULES)
    assert (verdict.exclude, verdict.flags) == (exclude, flags)
    assert bool(verdict.reason) == bool(flags)
    assert judge(PersonFacts(), RULES).flags == ()


def test_the_trap_rule_is_the_documented_table() -> None:
    """Chance that a coin-flipper passes n traps, and that an attentive person (p=.95) fails: notes, table of 3.2."""
    for seen, needed, coin, attentive in ((8, 6, 0.145, 0.006), (12, 9, 0.073, 0.002), (20, 15, 0.021, 0.0003)):
        assert traps_needed(seen, RULES) == needed
        passes = sum(comb(seen, k) for k in range(needed, seen + 1)) / 2**seen
        fails = sum(comb(seen, k) * 0.95**k * 0.05 ** (seen - k) for k in range(needed))
        assert passes == pytest.approx(coin, abs=6e-4) and fails == pytest.approx(attentive, abs=6e-4)


@given(st.integers(0, 40), st.integers(0, 40), st.floats(0, 1), st.floats(0, 1))
def test_better_is_never_judged_worse(seen: int, right: int, fast: float, blur: float) -> None:
    right = min(right, seen)
    worse = PersonFacts(seen, right, 100, 2000, fast, 0.5, 5, 5, blur)
    better = replace(worse, traps_right=seen, fast_share=fast / 2, blur_share=blur / 2)
    assert not (judge(better, RULES).exclude and not judge(worse, RULES).exclude)


def test_rules_are_named_by_their_content() -> None:
    assert rules_hash(RULES) == rules_hash(RuleSettings()) != rules_hash(RuleSettings(floor_ms=401))
    assert len(rules_hash(RULES)) == 16


def events(study: StudyFolder, number: int) -> list[tuple[str, str]]:
    with study.database.read() as c:
        query = select(standing_event.c.standing, standing_event.c.actor).where(
            standing_event.c.participant_id == number
        )
        return [tuple(row) for row in c.execute(query.order_by(standing_event.c.id))]


@pytest.mark.parametrize("backend", ["sqlite", "postgresql"], indirect=True)
def test_rules_act_and_undo_what_they_did(study: StudyFolder) -> None:
    """Failing the traps excludes and gives the quota back; retiring the traps restores; an admin's decision counts."""
    save_settings(study, trap_rate=0.5, rules={"min_traps": 4, "warn_after_misses": 2})
    player = Player(study, "Ann")
    notices = []
    state = player.next()
    while state.trial is not None:
        stored = player.answer(state.trial.token, wrong(state.trial))
        notices += [stored.notice] if stored.notice else []
        state = stored.state
    person = player.person()
    assert (person.standing, person.standing_by, state.phase) == ("excluded", "rules", "done")
    assert notices == [screening.WARNING] and person.traps_seen == 4 and person.traps_right == 0
    assert json.loads(person.flags) == ["traps"] and "0 of 4 traps" in str(person.standing_reason)
    assert_consistent(study.database)
    with study.database.read() as c:
        assert sum(c.execute(select(pair.c.done)).scalars()) == 0
        traps = list(c.execute(select(pair.c.id).where(pair.c.kind == "trap")).scalars())
    with study.database.write() as c:
        set_active(c, traps[0], False, "ambiguous", "me", T0)
    assert player.person().standing == "included" and player.person().traps_seen == 3
    with study.database.write() as c:
        set_active(c, traps[0], True, "", "me", T0)
    assert player.person().standing == "excluded"
    with study.database.write() as c:
        exclusion.restore(c, player.id, "spoke to her", "me", T0)
    with study.database.write() as c:
        assert screening.refresh_locked(c, study_state.facts(c).settings, lock(c, player.id), T0).exclude
        assert screening.refresh_all(c, study_state.facts(c).settings, T0) == 0
    assert player.person().standing == "included"
    assert events(study, player.id) == [
        ("excluded", "rules"), ("included", "rules"), ("excluded", "rules"), ("included", "me"),
    ]  # fmt: skip
    assert_consistent(study.database)


def test_facts_are_counted_from_the_answers(study: StudyFolder) -> None:
    save_settings(study, repeat_rate=0.25, repeat_gap=4)
    player = Player(study, "Ann")
    times = iter([300.0, 500.0, 900.0, 1500.0] * 10)
    state = player.next()
    while state.trial is not None:
        state = player.answer(state.trial.token, honest(state.trial), rt_ms=next(times), blurs=1).state
    with study.database.read() as c:
        found = screening.facts_of(c, player.id, RULES)
        rows = c.execute(select(response)).mappings().all()
    rts = sorted(row["rt_ms"] for row in rows)
    middle = len(rts) // 2
    assert found.median_ms == (rts[middle] if len(rts) % 2 else (rts[middle - 1] + rts[middle]) / 2)
    assert found.trials == len(rows) and found.blur_share == 1.0
    assert found.fast_share == sum(rt < 400 for rt in rts) / len(rts)
    assert found.repeats == sum(row["kind"] == "repeat" for row in rows) == found.repeats_same > 0
    counts = [sum(row["answer"] == word for row in rows) for word in ("yes", "no")]
    assert found.same_share == max(counts) / len(rows)


def test_honest_people_stay(study: StudyFolder) -> None:
    player = Player(study, "Ann")
    player.play(choose=lambda trial: trial.truth or ("yes" if trial.pair_id % 2 else "no"))
    assert player.person().standing == "included" and player.person().flags == "[]"


def test_new_rules_judge_everybody_in_the_sweeps(study: StudyFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stricter rules exclude people who answered under the old ones; looser rules take them back."""
    monkeypatch.setattr(expiry_job, "PEOPLE", 2)
    people = [Player(study, f"P{i}", seed=i) for i in range(3)]
    save_settings(study, trap_rate=0.5)
    for player in people:
        player.play(choose=wrong)

    def sweep(count: int) -> list[str]:
        for _ in range(count):
            with study.database.write() as c:
                expiry_job.run(c, T0)
        return [player.person().standing for player in people]

    assert sweep(3) == ["included"] * 3  # four traps are not eight
    save_settings(study, trap_rate=0.5, rules={"min_traps": 4})
    assert sweep(1) == ["excluded", "excluded", "included"] and sweep(1) == ["excluded"] * 3
    save_settings(study, trap_rate=0.5)
    assert sweep(2) == ["included"] * 3
    with study.database.write() as c:
        assert expiry_job.judge_by_new_rules(c, study_state.facts(c), T0) == 0
    assert_consistent(study.database)
