"""Participants as researchers see and judge them."""

from __future__ import annotations

import pytest
from admin_support import enter, notes, text_of
from sqlalchemy import func, select, update
from starlette.testclient import TestClient
from study_rows import fill_answers

from user_study.core.clock import now_ms
from user_study.core.folder import StudyFolder
from user_study.database.schema import pair, participant, response, standing_event


@pytest.fixture
def desk(client: TestClient, study: StudyFolder) -> TestClient:
    """A researcher of a study in which four people gave 64 answers, the last one carelessly."""
    fill_answers(study.database, people=4, now=now_ms(), careless=1)
    return enter(client, study)


def done(study: StudyFolder) -> int:
    """Answers that count, by the pairs; checked against the answers themselves."""
    with study.database.read() as c:
        counters = c.execute(select(func.sum(pair.c.done)).where(pair.c.kind == "main")).scalar_one()
        rows = c.execute(select(func.count()).select_from(response).where(response.c.counted == 1)).scalar_one()
    assert counters == rows
    return int(counters)


def test_the_list_names_what_matters_and_no_addresses(desk: TestClient, study: StudyFolder) -> None:
    with study.database.write() as c:
        c.execute(
            update(participant)
            .where(participant.c.code == "P-00001")
            .values(external_id="prolific-77", door="prolific")
        )
    page = desk.get("/admin/participants")
    words = text_of(page)
    assert "4 people" in words and "matter of its own" in words and "Prolific" in words and "P-00002" in words
    assert "@" not in page.text and "prolific-77" not in page.text
    assert "prolific-77" in desk.get("/admin/participants/P-00001").text
    for query in ("?who=excluded", "?who=flagged", "?who=testers", "?who=finished", "?search=%3Cb%3E"):
        assert "Nobody fits." in text_of(desk.get(f"/admin/participants{query}")), query
    assert "P-00002" in desk.get("/admin/participants?who=nonsense&order=x&page=-3").text
    assert desk.get("/admin/participants/P-NOONE").status_code == 404


def test_excluding_and_restoring_by_hand(desk: TestClient, study: StudyFolder) -> None:
    before = done(study)
    path = "/admin/participants/P-00003"
    assert desk.post(f"{path}/exclude", data={"reason": ""}).status_code == 400 and done(study) == before
    assert desk.post(f"{path}/exclude", data={"reason": "x" * 501}).status_code == 400
    assert (
        desk.post(f"{path}/exclude", data={"reason": "tosses <coins>"}).headers["location"] == f"{path}?said=excluded"
    )
    assert done(study) == before - 12
    page = text_of(desk.get(path))
    assert "Excluded by ada: tosses &lt;coins&gt;" in page and "person excluded" in page
    assert "P-00003" in desk.get("/admin/participants?who=excluded").text
    assert desk.post(f"{path}/restore", data={"reason": "spoke to her"}).status_code == 303
    assert done(study) == before and "included" in text_of(desk.get(path))
    with study.database.read() as c:
        events = c.execute(select(standing_event).order_by(standing_event.c.id)).all()
    assert [(row.standing, row.actor, row.reason) for row in events] == [
        ("excluded", "ada", "tosses <coins>"),
        ("included", "ada", "spoke to her"),
    ]
    assert all(len(row.rules_hash) == 16 for row in events)
    assert [(actor, action) for actor, action, _ in notes(study)][-2:] == [("ada", "exclude"), ("ada", "restore")]
    assert desk.post("/admin/participants/P-NOONE/exclude", data={"reason": "x"}).status_code == 404


def test_testers_do_not_count_and_are_not_listed(desk: TestClient, study: StudyFolder) -> None:
    before = done(study)
    assert desk.post("/admin/participants/P-00000/tester").status_code == 303
    assert done(study) == before - 12
    assert (
        "P-00000" not in desk.get("/admin/participants").text
        and "P-00000" in desk.get("/admin/participants?who=testers").text
    )
    page = text_of(desk.get("/admin/participants/P-00000"))
    assert "A tester" in page and "Exclude" not in page
    assert "P-00000" not in desk.get("/admin/export/file?what=participants").text
    assert desk.post("/admin/participants/P-00000/participant").status_code == 303
    assert done(study) == before - 12 and "P-00000" in desk.get("/admin/participants").text


def test_one_person_with_times_and_answers(desk: TestClient) -> None:
    page = desk.get("/admin/participants/P-00002")
    words = text_of(page)
    assert "Response times" in words and "16 stored" in words and "of the others answer the same" in words
    assert page.text.count('class="vote ') >= 16 and 'href="/admin/pairs/' in page.text
    assert "must not depend on image traps" in words


def test_erased_people_leave_no_name(desk: TestClient, study: StudyFolder) -> None:
    with study.database.write() as c:
        key = c.execute(select(participant.c.id).where(participant.c.code == "P-00001")).scalar_one()
        c.execute(
            update(response).where(response.c.participant_id == key).values(participant_id=None, assignment_id=None)
        )
    assert "erased" in text_of(desk.get("/admin/pairs/1")) and desk.get("/admin/participants").status_code == 200
