"""Exclusion re-opens quotas in the same transaction; restored answers count where there is room."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from study_support import T0, Player, assert_consistent, save_settings

from user_study.core.folder import StudyFolder
from user_study.database.schema import audit, pair, response
from user_study.trial import exclusion

on_both = pytest.mark.parametrize("backend", ["sqlite", "postgresql"], indirect=True)


def why(study: StudyFolder, number: int) -> list[str | None]:
    with study.database.read() as c:
        query = select(response.c.why_not).where(response.c.participant_id == number, response.c.kind == "main")
        return list(c.execute(query.order_by(response.c.id)).scalars())


@on_both
def test_excluded_restored_and_surplus(study: StudyFolder) -> None:
    save_settings(study, quota=1, trap_rate=0, repeat_rate=0)
    ann, bob = Player(study, "Ann"), Player(study, "Bob")
    ann.play()
    assert why(study, ann.id) == [None] * 12
    with study.database.write() as c:
        exclusion.exclude(c, ann.id, "bot", "me", T0)
        exclusion.exclude(c, ann.id, "bot, I am sure", "me", T0)
    assert why(study, ann.id) == ["excluded"] * 12
    assert_consistent(study.database)
    bob.play(5)
    with study.database.write() as c:
        exclusion.restore(c, ann.id, "no bot", "me", T0)
    assert_consistent(study.database)
    found = why(study, ann.id)
    # Bob has five, and two more are on and behind his screen
    assert found.count("surplus") == 7 and found.count(None) == 5
    with study.database.write() as c:
        exclusion.exclude(c, bob.id, "bot", "me", T0)
    assert why(study, ann.id) == [None] * 12  # her surplus answers fill what became free
    assert_consistent(study.database)
    with study.database.write() as c:
        exclusion.restore(c, bob.id, "no bot", "me", T0)
        assert c.execute(select(audit.c.action).where(audit.c.target == ann.person().code)).scalars().all() == [
            "exclude", "exclude", "restore",
        ]  # fmt: skip
    assert why(study, bob.id) == ["surplus"] * 5
    assert_consistent(study.database)


@settings(max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 2), st.booleans()), max_size=12))
def test_any_order_of_exclusions_keeps_the_quota(study: StudyFolder, steps: list[tuple[int, bool]]) -> None:
    """And once everybody is included again, as many answers count as the quota takes."""
    save_settings(study, quota=2, trap_rate=0, repeat_rate=0)
    people = [Player(study, f"P{i}", seed=i) for i in range(3)]
    for player in people:
        player.play(6)
    for who, out in steps:
        with study.database.write() as c:
            (exclusion.exclude if out else exclusion.restore)(c, people[who].id, "x", "me", T0)
        assert_consistent(study.database)
    with study.database.write() as c:
        for player in people:
            exclusion.restore(c, player.id, "x", "me", T0)
    assert_consistent(study.database)
    with study.database.write() as c:
        given_ = {}
        for row in c.execute(select(response.c.pair_id).where(response.c.kind == "main")).scalars():
            given_[row] = given_.get(row, 0) + 1
        for row in c.execute(select(pair).where(pair.c.kind == "main")).mappings():
            assert row["done"] == min(given_.get(row["id"], 0), 2) or row["open"] > 0
        from user_study.core.settings import StudySettings
        from user_study.participant.joining import erase

        for player in people:
            erase(c, player.id, StudySettings(), T0)
