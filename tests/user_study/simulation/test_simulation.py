"""Simulated people: what they are, and a whole study of them by the real interface."""

from __future__ import annotations

from pathlib import Path
from random import Random

import numpy as np
import pandas as pd
import pytest
from data_support import imported, pair_table
from sqlalchemy import select

from semfid.cli import main
from user_study.analysis.checking import check
from user_study.core.errors import StudyError
from user_study.database.schema import pair
from user_study.simulation.people import KINDS, SimulatedPerson, cast, parse_mix
from user_study.simulation.running import Plan
from user_study.simulation.study import demo_settings, simulate, simulated_study
from user_study.simulation.truth import read_truth


@pytest.mark.parametrize("rate", [0.05, 0.3, 0.5, 0.9])
def test_honest_people_say_yes_at_the_true_rate(rate: float) -> None:
    answers = [SimulatedPerson("honest", Random(f"{seed}")).judge("a", rate) for seed in range(4000)]
    assert np.mean([answer == "yes" for answer in answers]) == pytest.approx(rate, abs=0.025)


def test_kinds_do_what_they_are_called() -> None:
    people = {kind: SimulatedPerson(kind, Random(1)) for kind in KINDS}
    said = {kind: [person.judge(f"pair{number}", 0.97) for number in range(300)] for kind, person in people.items()}
    yes = {kind: np.mean([answer == "yes" for answer in answers]) for kind, answers in said.items()}
    assert yes["honest"] > 0.9 and 0.4 < yes["coin"] < 0.6 and len(set(said["one_key"])) == 1
    again = [people["honest"].judge(f"pair{number}", 0.97) for number in range(300)]
    assert np.mean([a == b for a, b in zip(said["honest"], again, strict=True)]) > 0.95
    again = [people["inconsistent"].judge(f"pair{number}", 0.97) for number in range(300)]
    assert np.mean([a == b for a, b in zip(said["inconsistent"], again, strict=True)]) < 0.75
    times = {kind: np.median([person.seconds() for _ in range(200)]) for kind, person in people.items()}
    assert times["hasty"] < 0.7 < times["one_key"] < times["honest"]


def test_a_cast_has_everybody_and_repeats() -> None:
    mix = {"honest": 0.8, "coin": 0.1, "one_key": 0.01, "hasty": 0}
    kinds = [person.kind for person in cast(20, mix, 3)]
    assert len(kinds) == 20 and kinds.count("one_key") == 1 and kinds.count("coin") == 2 and "hasty" not in kinds
    assert kinds == [person.kind for person in cast(20, mix, 3)] != [person.kind for person in cast(20, mix, 4)]
    assert parse_mix("honest=0.5, coin=1") == {"honest": 0.5, "coin": 1.0}
    for wrong in ("honest", "honest=x", ""):
        with pytest.raises(StudyError, match="--mix"):
            parse_mix(wrong)
    with pytest.raises(StudyError, match="kinds are honest"):
        cast(5, {"lazy": 1.0}, 0)


def test_a_study_of_simulated_people(tmp_path: Path) -> None:
    """The right people are excluded, quotas are exact, and the database is sound."""
    table = pair_table(tmp_path / "set", main=15, traps=8, training=4)
    rules = {"min_traps": 6, "timing_min": 10, "floor_ms": 500, "fast_share": 0.1}
    study = imported(
        tmp_path / "study",
        table,
        quota=4,
        trap_rate=0.5,
        repeat_rate=0.0,
        training={"items": 4, "pass": 3},
        rules=rules,
    )
    people = [
        SimulatedPerson(of, Random(f"{number}")) for number, of in enumerate(["one_key", "hasty", *["honest"] * 4])
    ]
    report = simulate(study, people, plan=Plan(together=1))  # the others fill what the first two leave behind
    text = "\n".join(report.lines())
    assert report.people["excluded"].to_dict() == {"honest": 0, "one_key": 1, "hasty": 1}, text
    assert report.wrongly_excluded == 0 and (report.over, report.miscounted) == (0, 0)
    assert (report.full, report.pairs) == (15, 15), text
    assert report.clean is not None and report.raw is not None and report.clean.votes == 4
    assert report.clean.srcc > 0.4 and report.raw.votes > 4, text
    assert check(study.database, study.images) == []
    with study.database.read() as c:
        assert set(c.execute(select(pair.c.open)).scalars()) == {0}
    study.database.close()


def test_people_s_own_answers_are_never_mixed_with_simulated_ones(tmp_path: Path) -> None:
    from study_rows import fill_answers

    study = imported(tmp_path / "study", pair_table(tmp_path / "set", main=3))
    fill_answers(study.database, people=2, careless=0)
    study.database.close()
    with pytest.raises(StudyError, match="people take part in this study"), simulated_study(tmp_path / "study", 3):
        pass
    assert main(["study", "simulate", str(tmp_path / "study"), "--participants", "4", "--mix", "honest=1"]) == 2


def test_what_people_would_see_must_be_known(tmp_path: Path) -> None:
    table = pair_table(tmp_path / "set", main=3)
    pd.read_csv(table).drop(columns="true_rate").to_csv(table, index=False)
    study = imported(tmp_path / "study", table)
    with study.database.read() as c, pytest.raises(StudyError, match="column true_rate"):
        read_truth(c)
    study.database.close()


def test_no_server_no_simulation(tmp_path: Path) -> None:
    study = imported(tmp_path / "study", pair_table(tmp_path / "set", main=3))
    with pytest.raises(StudyError, match="does a study's server run there"):
        simulate(study, cast(1, {"honest": 1.0}, 0), url="http://127.0.0.1:9")
    study.database.close()


@pytest.mark.parametrize("words", [["--participants", "0"], ["--train"], ["--url", "http://x"], ["--mix", "honest"]])
def test_wrong_words_are_refused(words: list[str]) -> None:
    assert main(["study", "simulate", *words]) == 2


def test_settings_of_a_simulation_judge_everybody() -> None:
    settings = demo_settings(5)
    demo_pairs, traps = 40, 12
    trials = demo_pairs / (1 - settings.trap_rate - settings.repeat_rate)
    assert settings.quota == 5 and settings.rules.min_traps <= min(traps, trials * settings.trap_rate)
