"""Settings: what is refused and how, hashes, locks."""

from __future__ import annotations

from pathlib import Path

import pytest

from user_study.core import settings_store, study_state
from user_study.core.errors import StudyError
from user_study.core.settings import PRESETS, StudySettings, from_dict, from_json, locked_changes, read_settings
from user_study.database.engine import Database


def test_defaults_are_the_thesis() -> None:
    settings = StudySettings()
    assert (settings.quota, settings.answers, settings.choices) == (30, "binary", ("no", "yes"))
    assert from_dict({"preset": "thesis"}) == settings == from_dict({})
    for name in PRESETS:
        assert from_json(from_dict({"preset": name}).to_json()) == from_dict({"preset": name})


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"quoat": 3}, "did you mean 'quota'"),
        ({"rules": {"min_trap": 3}}, "did you mean 'min_traps'"),
        ({"training": {"passing": 3}}, "training.passing"),
        ({"preset": "thesi"}, "did you mean 'thesis'"),
        ({"quota": "30"}, "a whole number"),
        ({"quota": True}, "a whole number"),
        ({"quota": 0}, "between 1 and"),
        ({"leaderboard": 1}, "true or false"),
        ({"rules": 3}, "a group of keys"),
        ({"game": {"wheel": 3}}, "a list"),
        ({"game": {"wheel": [1]}}, "2 to 24"),
        ({"game": {"wheel": [1, "x"]}}, "a whole number"),
        ({"answers": "maybe"}, "binary"),
        ({"title": " "}, "empty"),
        ({"title": "x" * 201}, "200 at most"),
        ({"question": "a\x00b"}, "control character"),
        ({"trap_rate": 0.6}, "between 0 and 0.5"),
        ({"training": {"items": 2, "pass": 3}}, "more than"),
        ({"prolific": {"completion_code": "a b"}}, "letters and digits"),
    ],
)
def test_a_mistake_is_named_with_its_key(values: dict[str, object], said: str) -> None:
    with pytest.raises(StudyError, match=r"file\.yaml") as caught:
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
    with pytest.raises(StudyError, match=said):
        read_settings(tmp_path / "s.yaml")
    with pytest.raises(StudyError, match="path of a YAML"):
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
