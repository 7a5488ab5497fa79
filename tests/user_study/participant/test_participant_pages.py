"""Participant pages without a browser: forms, redirects, what is escaped, and that looking changes nothing."""

from __future__ import annotations

import re
from typing import Any

import pytest
from sqlalchemy import func, select, update
from starlette.testclient import TestClient
from study_support import newcomer, sign_in

from user_study.core import settings_store, study_state
from user_study.core.clock import now_ms
from user_study.core.folder import StudyFolder
from user_study.core.settings_sections import ProlificSettings
from user_study.database.schema import metadata, pair, participant, response
from user_study.participant import invitations
from user_study.web.rendering import STATIC, paragraphs


def code_of(text: str) -> str:
    found = re.search(r'id="code">([^<]+)<', text)
    assert found
    return found[1]


def change_settings(study: StudyFolder, **changes: Any) -> None:
    with study.database.write() as c:
        before, _ = settings_store.current(c)
        settings_store.save(c, before.model_copy(update=changes), "tests", now_ms())


def row_of(study: StudyFolder, number: int) -> Any:
    with study.database.read() as c:
        return c.execute(select(participant).where(participant.c.id == number)).first()


def counts(study: StudyFolder) -> dict[str, int]:
    with study.database.read() as c:
        return {
            table.name: c.execute(select(func.count()).select_from(table)).scalar_one()
            for table in metadata.sorted_tables
        }


def step_to(study: StudyFolder, number: int, step: str) -> None:
    with study.database.write() as c:
        c.execute(update(participant).where(participant.c.id == number).values(step=step))


@pytest.fixture
def signed_in(client: TestClient, study: StudyFolder) -> int:
    """A participant who has done nothing yet, signed in."""
    number = newcomer(study, "Calm Owl", ready=False)
    sign_in(client, study, number)
    return number


def test_the_whole_way_by_plain_forms(client: TestClient, study: StudyFolder) -> None:
    assert '<form method="post" action="/join"' in client.get("/").text
    joined = client.post("/join", data={"nickname": "Calm Owl"})
    assert joined.status_code == 200
    code = code_of(joined.text)
    assert client.get("/instructions").headers["location"] == "/consent"
    assert client.get("/study").headers["location"] == "/consent"
    version = re.search(r'name="version" value="([0-9a-f]+)"', client.get("/consent").text)[1]  # type: ignore[index]
    assert client.post("/consent", data={"version": version, "adult": "yes"}).status_code == 400
    agreed = client.post("/consent", data={"version": version, "adult": "yes", "agree": "yes"})
    assert (agreed.status_code, agreed.headers["location"]) == (303, "/instructions")
    text = client.get("/instructions").text
    assert "Yes: the meaning changed" in text and "No: the meaning is the same" in text
    assert client.post("/instructions").headers["location"] == "/study"
    assert client.get("/study").status_code == 200
    assert client.post("/logout").headers["location"] == "/"
    assert client.get("/study").headers["location"] == "/"
    assert client.post("/resume", data={"code": "AAAAA-BBBBB"}).status_code == 400
    assert client.post("/resume", data={"code": f" {code.lower()} "}).headers["location"] == "/"
    assert client.get("/").text.count("Welcome back, Calm Owl") == 1
    with study.database.read() as c:
        row = c.execute(select(participant)).one()
    assert (row.step, row.consent_hash) == ("training", version)
    assert code not in str(row)


def test_a_form_sent_twice_makes_one_participant(client: TestClient, study: StudyFolder) -> None:
    client.post("/join", data={"nickname": "Calm Owl"})
    assert client.post("/join", data={"nickname": "Calm Owl"}).headers["location"] == "/consent"
    assert counts(study)["participant"] == 1


@pytest.mark.parametrize("name", ["", "x", "x" * 25, "<b>bold</b>", "=1+1", "a\x00b", '"><script>alert(1)</script>'])
def test_a_bad_nickname_is_explained_and_comes_back_escaped(client: TestClient, study: StudyFolder, name: str) -> None:
    refused = client.post("/join", data={"nickname": name})
    assert refused.status_code == 400
    assert 'role="alert"' in refused.text and 'aria-invalid="true"' in refused.text
    assert "<b>" not in refused.text.replace("<b>0</b>", "").partition('id="nickname"')[2].partition("</form>")[0]
    assert "<script>alert" not in refused.text
    assert counts(study)["participant"] == 0


def test_texts_of_the_study_are_escaped(client: TestClient, study: StudyFolder, signed_in: int) -> None:
    change_settings(
        study,
        title="<i>Title</i>",
        contact="<img src=x>",
        definition="a < b\n\n- <u>one</u>\n- two",
        consent_text="<script>1</script>",
    )
    for path in ("/", "/consent", "/privacy", "/me"):
        text = client.get(path).text
        assert not re.search(r"<i>|<img src=x|<u>|<script>1", text), path
    assert "<ul><li>&lt;u&gt;one&lt;/u&gt;</li><li>two</li></ul>" in client.get("/").text


def test_a_taken_nickname(client: TestClient, study: StudyFolder) -> None:
    newcomer(study, "Calm Owl")
    refused = client.post("/join", data={"nickname": "cALM oWL"})
    assert refused.status_code == 400
    assert "Somebody has that nickname" in refused.text
    assert 'value="cALM oWL"' in refused.text


def test_looking_changes_nothing(client: TestClient, study: StudyFolder, signed_in: int) -> None:
    with study.database.write() as c:
        token = invitations.create(c, "class", 1, "tests", now_ms())
    before, row = counts(study), row_of(study, signed_in)
    for path in (
        "/",
        "/consent",
        "/instructions",
        "/study",
        "/finish",
        "/me",
        "/me/data.json",
        "/privacy",
        "/resume",
        f"/invite/{token}",
    ):
        assert client.get(path).status_code in (200, 303), path
    for path in ("/join", "/logout", "/me/delete", "/me/leaderboard"):
        assert client.get(path).status_code in (404, 405), path
    assert counts(study) == before
    assert row_of(study, signed_in) == row


def test_a_form_of_another_site_is_refused(client: TestClient, study: StudyFolder, signed_in: int) -> None:
    foreign = {"Sec-Fetch-Site": "cross-site", "Origin": "https://elsewhere.example"}
    for path in ("/join", "/consent", "/logout", "/me/delete", "/me/leaderboard", "/instructions"):
        assert client.post(path, data={"sure": "yes"}, headers=foreign).status_code == 403, path
    assert row_of(study, signed_in) is not None


def test_an_invitation_is_spent_once(client: TestClient, study: StudyFolder) -> None:
    change_settings(study, open_registration=False)
    assert "By invitation only" in client.get("/").text
    assert client.post("/join", data={"nickname": "Calm Owl"}).status_code == 400
    with study.database.write() as c:
        token = invitations.create(c, "class", 1, "tests", now_ms())
    for _ in range(2):
        assert f'value="{token}"' in client.get(f"/invite/{token}").text
    assert client.post("/join", data={"nickname": "Calm Owl", "invitation": token}).status_code == 200
    client.post("/logout")
    assert "has been used" in client.get(f"/invite/{token}").text
    assert client.post("/join", data={"nickname": "Keen Fox", "invitation": token}).status_code == 400


def test_prolific_people_come_in_by_one_button_and_come_back(client: TestClient, study: StudyFolder) -> None:
    landing = client.get("/?PROLIFIC_PID=abc123&STUDY_ID=s1&SESSION_ID=e1").text
    assert 'name="PROLIFIC_PID" value="abc123"' in landing and 'id="nickname"' not in landing
    sent = {"PROLIFIC_PID": "abc123", "STUDY_ID": "s1", "SESSION_ID": "e1"}
    assert client.post("/join", data=sent).status_code == 200
    client.post("/logout")
    assert client.post("/join", data={**sent, "SESSION_ID": "e2"}).headers["location"] == "/consent"
    assert counts(study)["participant"] == 1
    assert client.post("/join", data={"PROLIFIC_PID": "<script>"}).status_code in (303, 400)


def test_declining_erases(client: TestClient, study: StudyFolder, signed_in: int) -> None:
    declined = client.post("/consent", data={"decline": "yes"})
    assert "You do not take part" in declined.text
    assert row_of(study, signed_in) is None
    assert client.get("/me").headers["location"] == "/"


def test_a_consent_text_that_changed_is_shown_again(client: TestClient, study: StudyFolder, signed_in: int) -> None:
    again = client.post("/consent", data={"version": "0" * 16, "adult": "yes", "agree": "yes"})
    assert again.status_code == 400 and "The text has changed" in again.text
    assert row_of(study, signed_in).consented_at is None


def test_my_data(client: TestClient, study: StudyFolder, signed_in: int) -> None:
    page = client.get("/me").text
    assert "Calm Owl" in page and row_of(study, signed_in).code in page
    data = client.get("/me/data.json")
    assert data.headers["content-disposition"].startswith("attachment")
    assert data.json()["participant"]["nickname"] == "Calm Owl"
    assert client.post("/me/leaderboard", data={"show": "no"}).headers["location"] == "/me"
    assert row_of(study, signed_in).on_leaderboard == 0
    assert client.post("/me/delete").status_code == 400
    assert row_of(study, signed_in) is not None
    deleted = client.post("/me/delete", data={"sure": "yes"})
    assert "Your data is deleted" in deleted.text and "Signed in as" not in deleted.text
    assert row_of(study, signed_in) is None
    assert counts(study)["session"] == 0


def test_the_leaderboard_shows_the_best_and_oneself(client: TestClient, study: StudyFolder, signed_in: int) -> None:
    assert "Nobody has points yet" in client.get("/").text
    people = [newcomer(study, f"person {number}") for number in range(11)]
    with study.database.write() as c:
        for score, number in enumerate([signed_in, *people], start=1):
            c.execute(update(participant).where(participant.c.id == number).values(score=score * 1000))
    text = client.get("/").text
    assert "12,000" in text and "person 10" in text
    assert "Calm Owl (you)" in text and ">12</td>" in text  # below the best ten, with the true rank
    change_settings(study, leaderboard=False)
    assert "person 10" not in client.get("/").text


def test_the_last_page(client: TestClient, study: StudyFolder, signed_in: int) -> None:
    assert client.get("/finish").headers["location"] == "/consent"
    step_to(study, signed_in, "main")
    assert "You may go on at any time" in client.get("/finish").text
    with study.database.write() as c:
        done = {
            "step": "finished",
            "completion_code": "ABC123",
            "training_passed_at": 1,
            "traps_seen": 9,
            "traps_right": 8,
            "valid": 25,
        }
        c.execute(update(participant).where(participant.c.id == signed_in).values(**done))
    text = client.get("/finish").text
    assert "ABC123" in text and "Of 9 such pairs with a known answer you answered 8 as expected." in text
    assert 'data-spins="2"' in text
    assert client.get("/").text.count("See your result") == 1
    change_settings(study, prolific=ProlificSettings(completion_code="ABC123"))
    with study.database.write() as c:
        c.execute(update(participant).where(participant.c.id == signed_in).values(door="prolific"))
    assert 'href="https://app.prolific.com/submissions/complete?cc=ABC123"' in client.get("/finish").text


def study_settings(study: StudyFolder) -> Any:
    with study.database.read() as c:
        return settings_store.current(c)[0]


def test_an_excluded_person_reads_what_everybody_reads(client: TestClient, study: StudyFolder, signed_in: int) -> None:
    done = {"step": "finished", "completion_code": "ABC123", "training_passed_at": 1}
    texts = []
    for standing in ("included", "excluded"):
        with study.database.write() as c:
            c.execute(update(participant).where(participant.c.id == signed_in).values(standing=standing, **done))
        texts.append(client.get("/finish").text)
    assert texts[0] == texts[1]


@pytest.mark.parametrize(("state", "said"), [("paused", "The study is paused"), ("closed", "This study is over")])
def test_a_study_that_takes_nobody_says_so(client: TestClient, study: StudyFolder, state: str, said: str) -> None:
    with study.database.write() as c:
        study_state.set_state(c, state, "tests", now_ms())
    assert said in client.get("/").text
    assert client.post("/join", data={"nickname": "Calm Owl"}).status_code == 400
    assert counts(study)["participant"] == 0


def test_progress_is_what_was_answered(client: TestClient, study: StudyFolder) -> None:
    with study.database.write() as c:
        c.execute(update(pair).where(pair.c.pair_key == "m000").values(done=7, yes=7))
    assert re.search(r"<b>7</b> of 360 answers", client.get("/").text)


def test_errors_are_pages_with_a_way_on(client: TestClient) -> None:
    missing = client.get("/nowhere")
    assert missing.status_code == 404
    assert 'href="/"' in missing.text and "<h1>" in missing.text
    assert client.post("/join", content=b"x" * 300_000).status_code == 413


def test_no_page_holds_a_script_or_style_of_its_own(client: TestClient, study: StudyFolder, signed_in: int) -> None:
    step_to(study, signed_in, "main")
    for path in ("/", "/instructions", "/study", "/finish", "/me", "/privacy", "/resume", "/nowhere"):
        answer = client.get(path)
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=|javascript:", answer.text), path
        for address in re.findall(r'(?:src|href)="([^"#]*)"', answer.text):
            assert address.startswith("/"), (path, address)
            if address.startswith("/static/"):
                assert client.get(address).status_code == 200, address


def test_paragraphs_and_lists() -> None:
    assert paragraphs("one\ntwo\n\n- a\n- <b>") == "<p>one<br>two</p>\n<ul><li>a</li><li>&lt;b&gt;</li></ul>"


def test_responses_stay_where_the_study_keeps_them(client: TestClient, study: StudyFolder, signed_in: int) -> None:
    change_settings(study, keep_answers_on_delete=True)
    assert "your answers stay" in client.get("/me").text
    assert "Nothing says any more" in client.post("/me/delete", data={"sure": "yes"}).text
    with study.database.read() as c:
        assert c.execute(select(func.count()).select_from(response)).scalar_one() == 0


def luminance(colour: str) -> float:
    """Relative luminance of #rrggbb (WCAG 2.2)."""
    parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_can_be_read_in_both_themes(theme: str) -> None:
    style = (STATIC / "style.css").read_text(encoding="utf-8")
    roots = re.findall(r":root \{(.*?)\}", style, re.S)
    tokens = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", roots[theme == "dark"]))
    grounds = {
        "ground": ("ink", "quiet", "point", "label", "warning", "accent"),
        "panel": ("ink", "quiet"),
        "chosen": ("ink",),
        "rule": ("ink",),
        "point": ("on-point",),
        "point-soft": ("ink",),
        "label-soft": ("ink", "label"),
        "warning-soft": ("ink", "warning"),
        "accent-soft": ("ink", "accent"),
    }
    for ground, inks in grounds.items():
        for ink in inks:
            low, high = sorted((luminance(tokens[ground]), luminance(tokens[ink])))
            assert (high + 0.05) / (low + 0.05) >= 4.5, (ink, ground)
    low, high = sorted((luminance(tokens["ground"]), luminance(tokens["edge"])))
    assert (high + 0.05) / (low + 0.05) >= 3  # edges of buttons and fields
