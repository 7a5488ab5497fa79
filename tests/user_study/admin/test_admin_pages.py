"""The pages that researchers look at: what they show, what they refuse, and that nothing in them is executed."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from admin_support import enter, notes, text_of
from sqlalchemy import func, select, update
from starlette.testclient import TestClient
from study_rows import fill_answers
from study_support import newcomer

from user_study.admin import charts
from user_study.analysis import pair_list, participant_list
from user_study.core import study_state
from user_study.core.clock import now_ms
from user_study.core.folder import StudyFolder, create_study, open_study
from user_study.core.settings import StudySettings
from user_study.database.schema import invitation, pair, participant, response
from user_study.participant import invitations
from user_study.web.app import ServeOptions, create_app

MARKUP = '<script>alert(1)</script>=1+1|"&'


@pytest.fixture
def desk(client: TestClient, study: StudyFolder) -> TestClient:
    """A researcher of a study with 64 answers."""
    fill_answers(study.database, people=4, now=now_ms(), careless=1)
    return enter(client, study)


def test_overview_shows_the_figures(desk: TestClient, study: StudyFolder) -> None:
    page = text_of(desk.get("/admin"))
    for words in (
        "48 of 360 answers",
        "13.3 %",
        "0 / 12 pairs complete",
        "4 participants",
        "Krippendorff's alpha",
        "Live",
    ):
        assert words in page
    live = desk.get("/admin/live.json").json()
    assert (live["numbers"]["answers"], live["numbers"]["target"], live["numbers"]["pairs"]) == (48, 360, 12)
    assert live["shown"]["answers"] == "48" and live["charts"]["scores"].startswith("<svg")
    html = desk.get("/admin").text
    for name, shown in live[
        "shown"
    ].items():  # the script finds a place for each, and the same words stand in it already
        assert f'data-live="{name}"' in html
        assert name in ("at", "per_hour", "time_left", "active") or f'data-live="{name}">{shown}<' in html, name


def test_a_study_without_anything(tmp_path: Any, client: TestClient) -> None:
    made = create_study(tmp_path / "new", StudySettings())
    with TestClient(
        create_app(made.database, made.path, ServeOptions(plain_http=True, expiry_s=0)),
        headers={"Sec-Fetch-Site": "same-origin"},
        follow_redirects=False,
    ) as empty:
        enter(empty, made)
        page = text_of(empty.get("/admin"))
        assert "Draft" in page and "There are no pairs yet." in page and "Drawn once there are answers." in page
        assert json.loads(empty.get("/admin/live.json").text)["numbers"]["alpha"] is None
        for path in ("pairs", "participants", "traps", "settings", "invitations", "import", "export", "audit"):
            assert empty.get(f"/admin/{path}").status_code == 200, path
    made.database.close()


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
def test_pages_and_changes_on_postgresql(desk: TestClient, study: StudyFolder) -> None:
    person = "/admin/participants/P-00001"
    for path, form in (
        (f"{person}/exclude", {"reason": "x"}),
        (f"{person}/restore", {"reason": "y"}),
        ("/admin/participants/P-00000/tester", {}),
        ("/admin/pairs/13/retire", {"reason": "z"}),
        ("/admin/pairs/13/return", {}),
        ("/admin/state", {"state": "paused"}),
        ("/admin/try", {}),
        ("/admin/backup", {}),
    ):
        assert desk.post(path, data=form).status_code == 303, path
    assert desk.post("/admin/invitations", data={"links": "2", "uses": "3"}).status_code == 200
    for order in pair_list.ORDERS:
        assert desk.get(f"/admin/pairs?order={order}&flag=divided&search=m&down=1").status_code == 200
    for order in participant_list.ORDERS:
        assert desk.get(f"/admin/participants?order={order}&search=person&down=0").status_code == 200
    for path in (
        "",
        "/live.json",
        "/pairs/1",
        "/participants/P-00001",
        "/traps",
        "/settings",
        "/invitations",
        "/audit",
    ):
        assert desk.get(f"/admin{path}").status_code == 200, path
    assert "36 of 360 answers" in text_of(desk.get("/admin"))


def test_first_start_asks_and_locks(desk: TestClient, study: StudyFolder) -> None:
    with study.database.write() as c:
        study_state.put(c, "state", "draft")
        study_state.drop(c, "live_since")
    assert "I have read the settings" in text_of(desk.get("/admin"))
    assert desk.post("/admin/state", data={"state": "live"}).status_code == 400
    assert desk.post("/admin/state", data={"state": "live", "sure": "yes"}).headers["location"] == "/admin?said=live"
    for state in ("paused", "live", "closed", "live"):
        assert desk.post("/admin/state", data={"state": state}).status_code == 303
        with study.database.read() as c:
            assert study_state.state(c) == state
    for state in ("draft", "nonsense"):
        refused = desk.post("/admin/state", data={"state": state})
        assert refused.status_code == 409 and "Nothing was changed" in text_of(refused)
    assert notes(study)[-1] == ("ada", "state", "live")


def test_pairs_with_filters_pages_and_answers(desk: TestClient, study: StudyFolder) -> None:
    page = text_of(desk.get("/admin/pairs"))
    assert "12 pairs" in page and "m000" in page and "4 / 30" in page
    assert "m001" not in text_of(desk.get("/admin/pairs?origin=model0"))
    assert "No pair fits" in text_of(desk.get("/admin/pairs?search=nowhere"))
    for strange in ("?page=0", "?page=99", "?page=x", "?order=;drop&down=1", "?state='&flag=%22", "?search=%25"):
        assert desk.get(f"/admin/pairs{strange}").status_code == 200
    html = desk.get("/admin/pairs?order=score&down=1").text
    assert 'aria-sort="descending"' in html and 'href="/admin/pairs?order=score"' in html
    one = desk.get("/admin/pairs/1")
    assert "4 stored" in text_of(one) and one.text.count("/image/") == 4 and "/admin/participants/P-00003" in one.text
    with study.database.read() as c:
        token = one.text.split("/image/")[1].split('"')[0]
        assert c.execute(select(pair.c.id)).first() is not None
    assert desk.get(f"/image/{token}").headers["content-type"] == "image/png"
    assert desk.get("/admin/pairs/999").status_code == 404


def test_a_trap_is_retired_and_comes_back(desk: TestClient, study: StudyFolder) -> None:
    with study.database.read() as c:
        key = c.execute(select(pair.c.id).where(pair.c.pair_key == "t000")).scalar_one()
    assert desk.post(f"/admin/pairs/{key}/retire", data={"reason": "  "}).status_code == 400
    response = desk.post(f"/admin/pairs/{key}/retire", data={"reason": MARKUP, "next": "/admin/traps"})
    assert response.headers["location"] == "/admin/traps?said=retired"
    page = desk.get("/admin/traps").text
    assert "<script>alert" not in page and "&lt;script&gt;" in page
    with study.database.read() as c:
        assert c.execute(select(pair.c.active).where(pair.c.id == key)).scalar_one() == 0
        assert set(c.execute(select(participant.c.traps_seen)).scalars()) == {3}  # judged again without it
    assert desk.post(f"/admin/pairs/{key}/return", data={"next": "https://evil.example"}).headers["location"] == (
        f"/admin/pairs/{key}?said=returned"
    )
    with study.database.read() as c:
        assert set(c.execute(select(participant.c.traps_seen)).scalars()) == {4}
    assert [action for _, action, _ in notes(study)][-2:] == ["pair retired", "pair taken back"]


def test_markup_and_formulae_in_names_stay_text(desk: TestClient, study: StudyFolder) -> None:
    with study.database.write() as c:
        c.execute(
            update(participant).where(participant.c.code == "P-00001").values(nickname=MARKUP, standing_reason=MARKUP)
        )
        c.execute(update(pair).where(pair.c.id == 1).values(pair_key=MARKUP, candidate_name=MARKUP, origin=MARKUP))
        c.execute(update(response).where(response.c.pair_id == 1).values(category="<b>"))
    paths = ["/admin", "/admin/pairs", "/admin/pairs/1", "/admin/participants", "/admin/participants/P-00001"]
    for path in (*paths, f"/admin/pairs?search={MARKUP}", f"/admin/participants?search={MARKUP}"):
        page = desk.get(path)
        assert page.status_code == 200 and "<script>alert" not in page.text and "<b>=" not in page.text, path
        assert " style=" not in page.text and "<style" not in page.text and "onclick" not in page.text, path
    assert MARKUP in desk.get("/admin/participants").text.replace("&lt;", "<").replace("&gt;", ">").replace(
        "&#34;", '"'
    ).replace("&amp;", "&")


def test_words_of_a_link_are_not_ours(desk: TestClient) -> None:
    assert "Call 555" not in desk.get("/admin?said=Call 555").text
    assert "The study is paused." in desk.get("/admin?said=paused").text


def test_invitations_are_shown_once(desk: TestClient, study: StudyFolder) -> None:
    made = desk.post("/admin/invitations", data={"label": MARKUP, "links": "3", "uses": "2"})
    links = [line for line in made.text.split() if "/invite/" in line]
    assert made.status_code == 200 and len(links) == 3 and "<script>alert" not in made.text
    token = links[0].split("/invite/")[1].split("<")[0]
    again = desk.get("/admin/invitations").text
    assert token not in again and "/invite/" not in again and again.count("Withdraw …") == 3
    with study.database.read() as c:
        assert invitations.is_good(c, token)
        key = c.execute(select(invitation.c.id).order_by(invitation.c.id)).scalars().first()
        assert token not in str(c.execute(select(invitation)).all())
    assert desk.post(f"/admin/invitations/{key}/withdraw").status_code == 303
    with study.database.read() as c:
        assert not invitations.is_good(c, token)
    for links_wanted, uses in (("0", "1"), ("501", "1"), ("1", "0"), ("x", "1"), ("-1", "1"), ("1", "1e3")):
        assert desk.post("/admin/invitations", data={"links": links_wanted, "uses": uses}).status_code == 400


def test_a_researcher_tries_the_study(desk: TestClient, study: StudyFolder) -> None:
    with study.database.write() as c:
        study_state.set_state(c, "paused", "tests", now_ms())
    assert desk.post("/admin/try").headers["location"] == "/study"
    assert desk.post("/admin/try").headers["location"] == "/study"  # the same tester
    with study.database.read() as c:
        assert c.execute(select(func.count()).where(participant.c.role == "tester")).scalar_one() == 1
    assert desk.get("/admin").status_code == 200 and "1 tester left out" in text_of(desk.get("/admin"))


def test_exports(desk: TestClient, study: StudyFolder) -> None:
    page = desk.get("/admin/export").text
    tables = {link.split("&")[0].split('"')[0] for link in page.split("/admin/export/file?what=")[1:]}
    assert {"all", "pairs", "legacy", "responses", "participants", "traps", "crowdkit", "study"} <= tables
    legacy = desk.get("/admin/export/file?what=legacy")
    rows = list(csv.reader(io.StringIO(legacy.text)))
    assert rows[0] == ["User Code", "Ground Truth Image", "Super Resolution Image", "Answer", "Timestamp"]
    assert len(rows) == 1 + 48 and "study_results_" in legacy.headers["content-disposition"]
    packed = zipfile.ZipFile(io.BytesIO(desk.get("/admin/export/file?what=all&raw=1").content))
    assert {"pairs.csv", "responses.csv", "study.json"} <= set(packed.namelist())
    assert desk.get("/admin/export/file?what=../x").status_code == 404
    assert not list(study.path.glob(".export-*"))  # nothing is left behind
    assert ("ada", "export", "legacy") in notes(study)


def test_a_backup_is_a_study(desk: TestClient, study: StudyFolder, tmp_path: Path) -> None:
    assert desk.post("/admin/backup").headers["location"] == "/admin?said=backup"
    (made,) = (study.path / "backups").iterdir()
    assert made.stat().st_mode & 0o077 == 0 and f"backups/{made.name}" in text_of(desk.get("/admin"))
    assert desk.get(f"/static/../backups/{made.name}").status_code == 404  # nothing serves it
    with zipfile.ZipFile(made) as packed:
        packed.extractall(tmp_path / "copy")
    copy = open_study(tmp_path / "copy")
    with copy.database.read() as c:
        assert c.execute(select(func.count()).select_from(response)).scalar_one() == 64
    copy.database.close()


def test_the_audit_log_is_shown_newest_first(desk: TestClient, study: StudyFolder) -> None:
    newcomer(study, "somebody")
    desk.post("/admin/state", data={"state": "paused"})
    desk.post("/admin/state", data={"state": "live"})
    page = text_of(desk.get("/admin/audit"))
    assert page.index("ada state live") < page.index("ada state paused")
    assert desk.get("/admin/audit?page=99").status_code == 200


def test_pages_of_strangers_are_not_framed_or_cached(desk: TestClient) -> None:
    headers = desk.get("/admin").headers
    assert "frame-ancestors 'none'" in headers["content-security-policy"] and headers["cache-control"] == "no-store"


def test_charts_say_in_words_what_they_show() -> None:
    drawn = charts.bars("Answers <b>", [0, 3, 1], ("0", "2 & more"))
    assert 'aria-label="Answers &lt;b&gt;"' in drawn and drawn.count("<rect") == 3 and "2 &amp; more" in drawn
    assert charts.bars("x", [0, 0], ("0", "1")) == charts.NOTHING
    assert "0.40, 95 % interval 0.20 to 0.60" in charts.interval(0.4, 0.2, 0.6)
    assert charts.interval(None, None, None) == ""
    assert "NaN" not in charts.line("x", [(5.0, 0.0), (5.0, 1.0)], ("a", "b"))
