"""The form of settings: every setting is in it, versions are kept, and what is locked stays."""

from __future__ import annotations

import re

import hypothesis
import hypothesis.strategies as st
import pytest
import yaml
from admin_support import enter, notes, text_of
from sqlalchemy import func, select, update
from starlette.testclient import TestClient
from study_rows import fill_answers

from user_study.admin.settings_form import FIELDS, GROUPS, FormFault, differences, flat, read, texts
from user_study.core import settings_store, study_state
from user_study.core.clock import now_ms
from user_study.core.folder import StudyFolder
from user_study.core.settings import StudySettings, from_dict
from user_study.database.schema import pair, participant, settings_version


def form_of(html: str) -> dict[str, str]:
    """What a browser would send of the settings page: fields as they stand, ticks that are set."""
    form = html.split('action="/admin/settings"')[1].split("</form>")[0]
    found = {}
    for tag in re.findall(r"<input[^>]*>", form):
        name, value = (re.search(rf' {key}="([^"]*)"', tag) for key in ("name", "value"))
        if name and " disabled" not in tag and ('type="checkbox"' not in tag or " checked" in tag):
            found[name[1]] = plain(value[1] if value else "")
    for name, text in re.findall(r'<textarea[^>]* name="([^"]*)"[^>]*>(.*?)</textarea>', form, re.DOTALL):
        found[name] = plain(text)
    for tag, options in re.findall(r"<select([^>]*)>(.*?)</select>", form, re.DOTALL):
        chosen = re.findall(r'value="([^"]*)" selected', options)
        if " disabled" not in tag and chosen:
            found[re.findall(r' name="([^"]*)"', tag)[0]] = chosen[0]
    return found


def plain(text: str) -> str:
    return (
        text.replace("&#39;", "'").replace("&#34;", '"').replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    )


@pytest.fixture
def draft(client: TestClient, study: StudyFolder) -> TestClient:
    """A researcher of a study that never was live."""
    with study.database.write() as c:
        study_state.put(c, "state", "draft")
        study_state.drop(c, "live_since")
    return enter(client, study)


def current(study: StudyFolder) -> StudySettings:
    with study.database.read() as c:
        return settings_store.current(c)[0]


def test_every_setting_is_in_the_form_with_help() -> None:
    assert set(FIELDS) == set(flat(StudySettings().to_dict()))
    assert sorted(field.key for group in GROUPS for field in group.fields) == sorted(FIELDS)
    assert all(field.title and field.help.endswith((".", "?")) for field in FIELDS.values())


def test_the_form_gives_back_what_it_shows() -> None:
    changed = from_dict(
        {
            "answers": "unsure", "phones": False, "prizes": ["a cake", "tea, milk"], "trap_rate": 0.125, "contact": "Ada\n<b>",
            "game": {"wheel": [5, -5], "enabled": True}, "rules": {"trap_pass": 1.0}, "prolific": {"completion_code": "C1"},
        }
    )  # fmt: skip
    for settings in (StudySettings(), changed):
        assert read(texts(settings), StudySettings()) == settings


@hypothesis.given(st.sampled_from(sorted(FIELDS)), st.text(max_size=30))
def test_no_text_breaks_the_form(key: str, text: str) -> None:
    plain = StudySettings()
    try:
        read(texts(plain) | {key: text}, plain)
    except FormFault as fault:
        assert fault.key == key or not fault.key
        assert str(fault)


def test_saving_makes_a_version_that_says_what_changed(draft: TestClient, study: StudyFolder) -> None:
    sent = form_of(draft.get("/admin/settings").text)
    assert draft.post("/admin/settings", data=sent).headers["location"] == "/admin/settings?said=same"
    sent |= {"quota": "20", "game.wheel": "5, \N{MINUS SIGN}5", "question": "What <changed>?"}
    del sent["phones"]
    assert draft.post("/admin/settings", data=sent).headers["location"] == "/admin/settings?said=saved"
    saved = current(study)
    assert (saved.quota, saved.game.wheel, saved.question, saved.phones) == (20, (5, -5), "What <changed>?", False)
    plain = StudySettings()
    back = {"quota": 30, "game": plain.game, "question": plain.question, "phones": True}
    assert saved.model_copy(update=back) == plain
    page = draft.get("/admin/settings").text
    assert "4 settings: Question, Answers per pair, Let phones take part, Wheel" in text_of(
        draft.get("/admin/settings")
    )
    assert "<del>30</del> <ins>20</ins>" in page and "What &lt;changed&gt;?" in page
    with study.database.read() as c:
        assert c.execute(select(func.count()).select_from(settings_version)).scalar_one() == 2
        assert set(c.execute(select(pair.c.quota).where(pair.c.kind == "main")).scalars()) == {20}
    assert notes(study)[-1][:2] == ("ada", "settings")


WRONG = (
    ("quota", "many", "write a whole number, not 'many'"),
    ("quota", "0", "must be 1 or more"),
    ("rules.trap_pass", "75 %", "write a number such as 0.1"),
    ("trap_rate", "nan", "must be 0.5 or less"),
    ("game.wheel", "1, x", "write whole numbers with commas"),
    ("game.wheel", "", "use 2 to 24"),
    ("training.pass", "7", "is more than training.items"),
    ("title", "  ", "title is empty"),
    ("answers", "five", "should be one of"),
    ("prolific.completion_code", "a b", "letters and digits"),
    ("consent_text", "x" * 40_001, "at most 40000 characters"),
)


def test_a_wrong_field_is_named_and_nothing_is_lost(draft: TestClient, study: StudyFolder) -> None:
    sent = form_of(draft.get("/admin/settings").text) | {"contact": "kept while typing"}
    for key, text, says in WRONG:
        response = draft.post("/admin/settings", data=sent | {key: text})
        assert response.status_code == 400 and says in plain(response.text) and "Not saved." in response.text, key
        assert form_of(response.text)["contact"] == "kept while typing", key
    assert current(study) == StudySettings()


def test_locked_fields_stay_and_the_quota_only_grows(client: TestClient, study: StudyFolder) -> None:
    enter(client, study)
    page = client.get("/admin/settings").text
    assert page.count('<span class="badge">locked</span>') == 2 and "At least 30 now." in page
    sent = form_of(page)
    assert "question" not in sent and "answers" not in sent  # a browser sends no disabled fields
    response = client.post("/admin/settings", data=sent | {"question": "Another?", "answers": "unsure", "quota": "31"})
    assert response.status_code == 303  # forged fields are not looked at
    saved = current(study)
    assert (saved.question, saved.answers, saved.quota) == (StudySettings().question, "binary", 31)
    fewer = client.post("/admin/settings", data=form_of(client.get("/admin/settings").text) | {"quota": "10"})
    assert fewer.status_code == 400 and "cannot change once answers come in" in fewer.text
    assert 'aria-invalid="true"' in fewer.text.split('name="quota"')[1].split(">")[0]
    assert current(study).quota == 31


def test_two_researchers_do_not_overwrite_each_other(draft: TestClient, study: StudyFolder) -> None:
    old = form_of(draft.get("/admin/settings").text)
    with study.database.write() as c:
        settings_store.save(c, StudySettings(contact="Bob"), "bob", now_ms())
    response = draft.post("/admin/settings", data=old | {"title": "Mine"})
    assert response.status_code == 400 and "Somebody else saved" in response.text and current(study).contact == "Bob"
    again = form_of(response.text)
    assert again["title"] == "Mine"
    assert draft.post("/admin/settings", data=again).status_code == 303 and current(study).title == "Mine"


def test_changed_rules_judge_everybody_again(client: TestClient, study: StudyFolder) -> None:
    fill_answers(study.database, people=3, now=now_ms(), careless=1)
    enter(client, study)
    with study.database.write() as c:
        c.execute(update(participant).where(participant.c.code == "P-00000").values(traps_right=0))
    sent = form_of(client.get("/admin/settings").text)
    rules = {"rules.min_traps": "4", "rules.fast_median_ms": "700", "rules.timing_min": "10", "rules.floor_ms": "390"}
    assert client.post("/admin/settings", data=sent | rules).status_code == 303
    with study.database.read() as c:
        standing = dict(c.execute(select(participant.c.code, participant.c.standing)).tuples().all())
        done = c.execute(select(func.sum(pair.c.done)).where(pair.c.kind == "main")).scalar_one()
    assert standing["P-00000"] == "included" and standing["P-00002"] == "excluded"  # half a second an answer
    assert done == 12 * sum(word == "included" for word in standing.values())


def test_settings_leave_as_a_file_that_init_reads(client: TestClient, study: StudyFolder) -> None:
    enter(client, study)
    response = client.get("/admin/settings.yaml")
    assert from_dict(yaml.safe_load(response.text)) == StudySettings()
    assert "attachment" in response.headers["content-disposition"]


def test_differences_are_in_words() -> None:
    new = StudySettings(answers="unsure", phones=False)
    assert differences(StudySettings(), new) == [
        ("Answers", "No, Yes", "No, Yes, Not sure"),
        ("Let phones take part", "on", "off"),
    ]
    assert differences(None, new) == []
