"""Sessions, foreign pages, headers, names with markup, secrets: what an attacker would try first."""

from __future__ import annotations

import logging
import re

import pytest
from sqlalchemy import select, update
from starlette.testclient import TestClient
from study_support import newcomer, sign_in

from user_study.commands.serve import run as serve_command
from user_study.core.clock import now_ms
from user_study.core.errors import StudyError
from user_study.core.folder import StudyFolder
from user_study.database.schema import metadata, participant, session
from user_study.web import sessions
from user_study.web.app import ServeOptions, create_app
from user_study.web.errors import Problem
from user_study.web.limits import RATES, RateLimits
from user_study.web.serving import check_address

HERE = {"Sec-Fetch-Site": "same-origin"}


def paths(app, method: str) -> list[str]:
    of_method = [route for route in app.routes if method in (getattr(route, "methods", None) or ())]
    return [re.sub(r"\{[a-z_]+(:int)?\}", "1", route.path) for route in of_method]


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://testserver"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://testserver.evil.example"},
        {"Origin": ""},
        {},
    ],
)
def test_no_change_from_a_foreign_page(app, study: StudyFolder, headers: dict[str, str]) -> None:
    client = TestClient(app, follow_redirects=False)
    sign_in(client, study, newcomer(study, "Ann", now=now_ms()))
    posts = paths(app, "POST")
    assert "/api/answer" in posts and "/join" in posts and len(posts) > 10
    for path in posts:
        assert client.post(path, headers=headers).status_code == 403, path
    with study.database.read() as c:
        assert c.execute(select(participant.c.position)).scalars().all() == [0]


@pytest.mark.parametrize(
    "headers", [HERE, {"Sec-Fetch-Site": "none"}, {"Origin": "http://testserver"}, {"Origin": "HTTP://TESTSERVER"}]
)
def test_our_own_pages_may(app, study: StudyFolder, headers: dict[str, str]) -> None:
    client = TestClient(app)
    sign_in(client, study, newcomer(study, "Ann", now=now_ms()))
    assert client.post("/api/next", json={}, headers=headers).status_code == 200


def test_no_get_changes_anything(client: TestClient, app, study: StudyFolder) -> None:
    """Every GET, signed in; the tables are the same afterwards."""
    sign_in(client, study, newcomer(study, "Ann", now=now_ms()))

    def everything() -> dict[str, list]:
        with study.database.read() as c:
            return {name: [tuple(row) for row in c.execute(select(table))] for name, table in metadata.tables.items()}

    before = everything()
    gets = paths(app, "GET")
    assert len(gets) > 10
    for path in gets:
        assert client.get(path).status_code < 500, path
    assert everything() == before
    for path in paths(app, "POST"):
        if path not in gets:
            assert client.get(path).status_code in (404, 405), path


def test_every_answer_carries_the_headers(client: TestClient) -> None:
    for path in ("/", "/nothing", "/api/next", "/static/style.css", "/image/x", "/admin"):
        reply = client.get(path)
        policy = reply.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
        assert reply.headers["x-content-type-options"] == "nosniff" and "server" not in reply.headers
        assert "strict-transport-security" not in reply.headers
    foreign = client.post("/join", headers={"Sec-Fetch-Site": "cross-site"})
    assert "content-security-policy" in foreign.headers and foreign.status_code == 403
    assert client.request("DELETE", "/").status_code == 405


@pytest.mark.parametrize(
    "value",
    [
        "",
        "1",
        "x" * 5000,
        "session-of-1",
        "a.b.c" * 10,
        "eyJkYXNoYm9hcmRfYXV0aGVudGljYXRlZCI6dHJ1ZX0.x.y",
        "' OR 1=1 --" * 3,
    ],
)
def test_forged_cookies_are_nobody(client: TestClient, study: StudyFolder, value: str) -> None:
    newcomer(study, "Ann", now=now_ms())
    for name in ("study", "study_admin", "__Host-study", "session"):
        client.cookies.set(name, value)
    assert client.post("/api/next", json={}).status_code == 401
    assert client.get("/admin/participants").status_code in (302, 303, 401, 403)
    assert client.get("/me").status_code in (302, 303, 401, 403)
    assert client.get("/image/x").status_code == 403


def test_sessions_end(client: TestClient, study: StudyFolder) -> None:
    number = newcomer(study, "Ann", now=now_ms())
    sign_in(client, study, number)
    assert client.post("/api/next", json={}).status_code == 200
    with study.database.read() as c:
        stored = c.execute(select(session.c.id_hash)).scalar_one()
    assert stored != client.cookies["study"] and stored == sessions.digest(client.cookies["study"])
    # the hash from a stolen database is no cookie
    thief = TestClient(client.app, headers=HERE)
    thief.cookies.set("study", stored)
    assert thief.post("/api/next", json={}).status_code == 401
    with study.database.write() as c:
        c.execute(update(session).values(expires_at=now_ms() - 1))
    assert client.post("/api/next", json={}).status_code == 401
    sign_in_again = TestClient(client.app, headers=HERE, follow_redirects=False)
    with study.database.write() as c:
        c.execute(session.delete())
    sign_in(sign_in_again, study, number)
    assert sign_in_again.post("/logout").status_code in (302, 303)
    with study.database.read() as c:
        assert c.execute(select(session.c.id_hash)).first() is None


def test_cookies_over_https_and_http(study: StudyFolder) -> None:
    app = create_app(study.database, study.path, ServeOptions(plain_http=True, expiry_s=0))
    for scheme, name in (("https", "__Host-study"), ("http", "study")):
        client = TestClient(app, base_url=f"{scheme}://testserver", headers=HERE, follow_redirects=False)
        reply = client.post("/join", data={"nickname": f"Ann {scheme}"})
        cookie = reply.headers["set-cookie"]
        assert (
            cookie.startswith(f"{name}=")
            and "HttpOnly" in cookie
            and "samesite=lax" in cookie.lower()
            and "Path=/" in cookie
        )
        assert ("Secure" in cookie) == (scheme == "https") == ("strict-transport-security" in reply.headers)
        assert client.get("/me").status_code == 200


def test_other_machines_need_https_unless_it_is_said(study: StudyFolder) -> None:
    app = create_app(study.database, study.path, ServeOptions(expiry_s=0))
    assert TestClient(app, client=("192.168.0.7", 5)).get("/").status_code == 403
    assert TestClient(app, client=("127.0.0.1", 5)).get("/").status_code == 200
    assert TestClient(app, client=("192.168.0.7", 5), base_url="https://testserver").get("/").status_code == 200


def test_a_nickname_with_markup_is_refused_and_shown_as_text(client: TestClient, study: StudyFolder) -> None:
    reply = client.post("/join", data={"nickname": "<script>alert(1)</script>"})
    assert reply.status_code == 400 and "<script>alert" not in reply.text
    with study.database.write() as c:  # past the check: pages escape all the same
        number = newcomer_row(c)
    sign_in(client, study, number)
    for path in ("/me", "/"):
        page = client.get(path)
        assert page.status_code == 200 and "<b>x" not in page.text and "&lt;b&gt;x" in page.text


def newcomer_row(c) -> int:
    key = c.execute(
        participant.insert().values(
            code="P-XXXXX",
            nickname="<b>x",
            nickname_key="<b>x",
            resume_hash="h",
            door="nickname",
            step="finished",
            score=5,
            created_at=1,
            last_seen_at=1,
            completion_code="c",
            training_passed_at=1,
        )
    ).inserted_primary_key
    return int(key[0])


@pytest.mark.parametrize("name", ["x" * 200_000, "a\x00b", "=1+1", "\u202eevil", "%00", "\ud83d"])
def test_odd_names_get_a_clear_answer(client: TestClient, study: StudyFolder, name: str) -> None:
    body = f"nickname={name}".encode("utf-8", "surrogatepass")
    reply = client.post("/join", content=body, headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert reply.status_code in (400, 413)
    with study.database.read() as c:
        assert c.execute(select(participant.c.id)).first() is None


def test_bodies_of_forms_are_bounded(client: TestClient) -> None:
    assert client.post("/join", content=b"nickname=" + b"x" * 300_000).status_code == 413
    assert (
        client.post("/join", content=b"\xff" * 100, headers={"Content-Type": "multipart/form-data"}).status_code == 400
    )
    assert client.post("/join", headers={"Content-Length": "-5"}, content=b"").status_code in (400, 413)


def test_images_are_for_people_of_the_study_and_reveal_nothing(client: TestClient, study: StudyFolder) -> None:
    assert client.get("/image/whatever").status_code == 403
    sign_in(client, study, newcomer(study, "Ann", now=now_ms()))
    for token in ("whatever", "..%2f..%2fstudy.db", "%2e%2e%2fstudy.db", "..\\study.db", "x" * 3000, "a%00b"):
        assert client.get(f"/image/{token}").status_code == 404, token
    assert client.get("/static/../rendering.py").status_code == 404
    assert client.get("/static/%2e%2e/rendering.py").status_code == 404


def test_rate_limits_per_client(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = RateLimits()
    for _ in range(int(RATES["login"].burst)):
        limits.take("login", "1.2.3.4")
    with pytest.raises(Problem) as caught:
        limits.take("login", "1.2.3.4")
    assert caught.value.status == 429 and caught.value.retry_after
    limits.take("login", "5.6.7.8")
    limits.take("join", "1.2.3.4")
    later = now_ms() + 60_000
    monkeypatch.setattr("user_study.web.limits.now_ms", lambda: later)
    limits.take("login", "1.2.3.4")
    assert b"1.2.3.4" not in repr(vars(limits)).encode()


def test_a_failure_shows_and_logs_no_secret(
    client: TestClient, study: StudyFolder, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        with study.database.write() as c:
            c.execute(participant.insert().values(code="topsecretcode"))

    sign_in(client, study, newcomer(study, "Ann", now=now_ms()))
    monkeypatch.setattr("user_study.trial.trial_api.study_state.facts", broken)
    with caplog.at_level(logging.DEBUG):
        reply = client.get("/api/leaderboard")
        assert reply.status_code == 500 and "Traceback" not in reply.text and "sqlite" not in reply.text.lower()
    assert "topsecretcode" not in caplog.text


def test_addresses_that_cannot_be_served(tmp_path, study: StudyFolder) -> None:
    import argparse
    import socket

    with pytest.raises(StudyError, match="--plain-http"):
        check_address("0.0.0.0", 8000, False, [])
    with pytest.raises(StudyError, match="IP address"):
        check_address("127.0.0.1", 8000, False, ["proxy.example"])
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(StudyError, match=rf"port {port} is taken.*is free"):
            check_address("127.0.0.1", port, False, [])
    with pytest.raises(StudyError, match="not an address of this machine"):
        check_address("203.0.113.7", 8000, True, [])
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("x")
    asked = argparse.Namespace(
        folder=str(tmp_path / "full"), host="127.0.0.1", port=port, plain_http=False, proxy=[], workers=1, database=None
    )
    with pytest.raises(StudyError, match="neither a study nor an empty folder"):
        serve_command(asked)
    asked.folder, asked.workers = str(study.path), 2
    with pytest.raises(StudyError, match="PostgreSQL"):
        serve_command(asked)
