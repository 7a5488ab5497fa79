"""Settings: what is refused and how, hashes, locks."""

from __future__ import annotations

from pathlib import Path

import pytest

from semfid.errors import UserError
from user_study.core import settings_store, study_state
from user_study.core.errors import StudyError
from user_study.core.settings import PRESETS, StudySettings, from_dict, from_json, locked_changes, read_settings
from user_study.database.engine import Database
from user_study.trial.screening import rules_hash


def test_defaults_are_the_thesis() -> None:
    settings = StudySettings()
    assert (settings.quota, settings.answers, settings.choices) == (30, "binary", ("no", "yes"))
    assert from_dict({"preset": "thesis"}) == settings == from_dict({})
    for name in PRESETS:
        assert from_json(from_dict({"preset": name}).to_json()) == from_dict({"preset": name})


# computed before settings were a pydantic model: what is stored, and the hashes that answers refer to, stay
STORED = [
    ({}, "6d883409cb5ca61e", "06544ec3b67211e6"),
    ({"preset": "quick"}, "678215c48f8cdf5a", "06544ec3b67211e6"),
    ({"preset": "unsure"}, "6552701316b91fe9", "06544ec3b67211e6"),
    (
        {
            "title": "Äpfel", "quota": 7, "training": {"pass": 2, "items": 3}, "trap_rate": 0, "prizes": ["a", "b"],
            "game": {"wheel": [5, -5]}, "prolific": {"completion_code": "AB-1"},
            "rules": {"trap_pass": 1, "same_share": 0.9},
        },
        "13dbc96f1a3a867b",
        "36a94deeb9601f04",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("values", "settings", "rules"), STORED)
def test_what_is_stored_stays(values: dict[str, object], settings: str, rules: str) -> None:
    found = from_dict(values)
    assert (found.hash, rules_hash(found.rules)) == (settings, rules)
    assert from_json(found.to_json()) == found
    assert '"pass": ' in found.to_json() and "passing" not in found.to_json()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"quoat": 3}, "did you mean 'quota'"),
        ({"rules": {"min_trap": 3}}, "did you mean 'min_traps'"),
        ({"training": {"passing": 3}}, "training.passing"),
        ({"preset": "thesi"}, "did you mean 'thesis'"),
        ({"quota": "30"}, "should be int"),
        ({"quota": True}, "should be int"),
        ({"quota": 0}, "1 or more"),
        ({"leaderboard": 1}, "should be bool"),
        ({"rules": 3}, "a mapping of keys"),
        ({"game": {"wheel": 3}}, "should be tuple"),
        ({"game": {"wheel": [1]}}, "2 to 24"),
        ({"game": {"wheel": [1, "x"]}}, "game.wheel='x'"),
        ({"answers": "maybe"}, "binary"),
        ({"title": " "}, "empty"),
        ({"title": "x" * 201}, "at most 200 characters"),
        ({"question": "a\x00b"}, "control character"),
        ({"trap_rate": 0.6}, "0.5 or less"),
        ({"trap_rate": float("nan")}, "0.5 or less"),
        ({"training": {"items": 2, "pass": 3}}, "more than"),
        ({"prolific": {"completion_code": "a b"}}, "letters and digits"),
    ],
)
def test_a_mistake_is_named_with_its_key(values: dict[str, object], said: str) -> None:
    with pytest.raises(UserError, match=r"file\.yaml") as caught:
        from_dict(values, "file.yaml")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "is not a YAML file"),
        ("- a", "key: value"),
        ("\x00", "YAML"),
        ("quota: 7\nrules: {min_traps: 12}\nquota: 9\n", "'quota' stands twice, in lines 1 and 3"),
        ("rules: {min_traps: 12, trap_pass: 0.9, min_traps: 9}", "'min_traps' stands twice"),
    ],
)
def test_a_file_that_is_no_settings(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "s.yaml").write_text(text)
    with pytest.raises(UserError, match=said):
        read_settings(tmp_path / "s.yaml")
    with pytest.raises(UserError, match="path of a YAML"):
        read_settings(tmp_path / "none.yaml")


def test_a_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text("title: Äpfel\nquota: 7\ntraining: {pass: 2, items: 3}\ntrap_rate: 0\n")
    settings = read_settings(tmp_path / "s.yaml")
    assert (settings.title, settings.quota, settings.training.passing, settings.trap_rate) == ("Äpfel", 7, 2, 0.0)
    assert settings.hash != StudySettings().hash
    (tmp_path / "s.yaml").write_text("")
    assert read_settings(tmp_path / "s.yaml") == StudySettings()


def test_what_is_locked() -> None:
    old = from_dict({"quota": 5})
    assert locked_changes(old, from_dict({"quota": 6, "title": "other"})) == []
    assert locked_changes(old, from_dict({"quota": 4})) == ["quota"]
    assert locked_changes(old, from_dict({"quota": 5, "question": "Else?", "answers": "unsure"})) == [
        "question",
        "answers",
    ]


def test_versions_in_the_database(database: Database) -> None:
    with database.write() as c:
        study_state.create(c, "secret")
        first = settings_store.save(c, from_dict({"quota": 5}), "me", 1)
        assert settings_store.save(c, from_dict({"quota": 5}), "me", 2) == first
        second = settings_store.save(c, from_dict({"quota": 4, "answers": "unsure"}), "me", 3)
        study_state.set_state(c, "live", "me", 4)
    with database.write() as c:
        with pytest.raises(StudyError, match=r"quota, answers cannot change|answers, quota cannot change"):
            settings_store.save(c, from_dict({"quota": 3}), "me", 5)
        third = settings_store.save(c, from_dict({"quota": 9, "answers": "unsure"}), "me", 6)
        assert settings_store.current(c) == (from_dict({"quota": 9, "answers": "unsure"}), third)
        assert settings_store.version(c, first).quota == 5 and first < second < third
        with pytest.raises(StudyError, match="cannot become a draft"):
            study_state.set_state(c, "draft", "me", 7)
        with pytest.raises(StudyError, match="no state"):
            study_state.set_state(c, "open", "me", 7)
        study_state.set_state(c, "paused", "me", 8)
        assert study_state.state(c) == "paused" and study_state.live_since(c) == 4
