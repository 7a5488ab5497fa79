"""The JSON interface over HTTP: shapes, errors, and what it does not tell; on both databases."""

from __future__ import annotations

import json
import re

import pytest
from sqlalchemy import select
from starlette.testclient import TestClient
from study_support import T0, assert_consistent, newcomer, save_settings, sign_in

from user_study.core import study_state
from user_study.core.clock import now_ms
from user_study.core.folder import StudyFolder
from user_study.database.schema import image, participant, response
from user_study.trial.answer_body import browser
from user_study.web.limits import RATES, Rate

on_both = pytest.mark.parametrize("backend", ["sqlite", "postgresql"], indirect=True)
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
CHROME = "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/150.0.0.0 Safari/537.36"


def player(client: TestClient, study: StudyFolder, name: str = "Ann") -> int:
    number = newcomer(study, name, now=now_ms())
    sign_in(client, study, number)
    return number


def answer(client: TestClient, state: dict, word: str = "yes", **more):
    body = {"trial": state["trial"]["id"], "answer": word, "rt_ms": 900.5, "load_ms": 20, "input": "key", **more}
    return client.post("/api/answer", json=body, headers={"User-Agent": FIREFOX})


@on_both
def test_a_session_over_http(client: TestClient, study: StudyFolder) -> None:
    save_settings(study, game={"spin_every": 5})
    number = player(client, study)
    state = client.post("/api/next", json={}).json()
    assert set(state) == {
        "phase", "trial", "upcoming", "break_due", "can_undo", "score", "valid", "cap", "answered", "spins", "server_time",
        "training", "follow_up", "answers",
    }  # fmt: skip
    assert set(state["trial"]) == {"id", "kind", "left", "right", "candidate_side", "expires_in_ms", "number"}
    assert state["answers"] == ["no", "yes"] and state["trial"]["candidate_side"] is None
    for side in ("left", "right"):
        shown = client.get(state["trial"][side]["url"])
        assert shown.status_code == 200 and shown.headers["content-type"] == "image/png" and len(shown.content) > 100
        assert "immutable" in shown.headers["cache-control"]
    for _ in range(5):
        upcoming = state["upcoming"]["id"]
        reply = answer(client, state).json()
        assert set(reply) == {"stored", "duplicate", "late", "counted", "notice", "feedback", "state"}
        assert answer(client, state, "no").json()["duplicate"]
        state = reply["state"]
        assert state["trial"]["id"] == upcoming and state["can_undo"]
    beat = client.post("/api/heartbeat", json={"trial": state["trial"]["id"]}).json()
    assert 0 < beat["expires_in_ms"] <= 240_000
    spin = client.post("/api/spin", json={}).json()
    assert spin["wheel"][spin["segment"]] == spin["points"] and spin["spins_left"] == 0
    refused = client.post("/api/spin", json={})
    assert refused.status_code == 409 and refused.json()["error"]["code"] == "no_spin"
    board = client.get("/api/leaderboard").json()
    assert spin["score"] == 0 or (board["rows"][0]["you"] and board["you"]["score"] == spin["score"])
    with study.database.read() as c:
        last = c.execute(select(response).order_by(response.c.id.desc())).mappings().first()
        token = client.post("/api/undo", json={"trial": "x"})
        assert token.status_code == 409
        assert (last["browser"], last["participant_id"], last["rt_ms"]) == ("Firefox 140", number, 900.5)
    released = client.post("/api/release", content=b"")
    assert released.status_code == 204 and released.content == b""
    assert_consistent(study.database)


def test_nothing_tells_a_trap_a_repeat_or_the_photo(client: TestClient, study: StudyFolder) -> None:
    save_settings(study, trap_rate=0.5, repeat_rate=0.5, repeat_gap=2)
    player(client, study)
    state = client.post("/api/next", json={}).json()
    seen = []
    while state["trial"]:
        seen.append(json.dumps([state["trial"], state["upcoming"]]))
        reply = answer(client, state, "no").json()
        seen.append(json.dumps({key: value for key, value in reply.items() if key != "state"}))
        assert (reply["counted"], reply["notice"]) in ((True, None), (False, None)) or reply["notice"]
        state = reply["state"]
    with study.database.read() as c:
        kinds = set(c.execute(select(response.c.kind)).scalars())
        hashes = set(c.execute(select(image.c.sha256)).scalars())
    assert kinds == {"main", "trap", "repeat"}
    text = " ".join(seen)
    assert not re.search(r"trap|repeat|truth|reference|candidate_name|_hq|_sr|model\d|main", text)
    assert not any(sha[:12] in text for sha in hashes)


def test_where_it_is_asked_the_side_is_told(client: TestClient, study: StudyFolder) -> None:
    save_settings(study, follow_up_where=True, follow_up_category=True)
    player(client, study)
    state = client.post("/api/next", json={}).json()
    assert state["follow_up"] == {"category": True, "where": True}
    assert state["trial"]["candidate_side"] in ("left", "right")
    assert answer(client, state, where=[0.5, 1], category="meaning").status_code == 200


def test_who_is_not_signed_in_or_not_ready(client: TestClient, study: StudyFolder) -> None:
    for path in ("next", "answer", "undo", "heartbeat", "release", "spin"):
        body = (
            {"trial": "x"}
            if path in ("undo", "heartbeat")
            else {"trial": "x", "answer": "yes"}
            if path == "answer"
            else {}
        )
        reply = client.post(f"/api/{path}", json=body)
        assert (reply.status_code, reply.json()["error"]["code"]) == (401, "not_signed_in"), path
    assert client.get("/api/leaderboard").status_code == 401
    sign_in(client, study, newcomer(study, "Ann", ready=False))
    reply = client.post("/api/next", json={})
    assert (reply.status_code, reply.json()["error"]["code"]) == (403, "not_ready")


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"null", b'"x"', b"1", b"\xff\xfe", b'{"trial": 5, "answer": "yes"}', b'{"trial": "x"}',
        b'{"trial": "x", "answer": "RESERVED"}', b'{"trial": "x", "answer": null}', b'{"trial": "x", "answer": ["yes"]}',
        b'{"trial": "x", "answer": "yes", "rt_ms": "fast"}', b'{"trial": "x", "answer": "yes", "rt_ms": -1}',
        b'{"trial": "x", "answer": "yes", "rt_ms": NaN}', b'{"trial": "x", "answer": "yes", "rt_ms": Infinity}',
        b'{"trial": "x", "answer": "yes", "held": 1}', b'{"trial": "x", "answer": "yes", "toggles": 1.5}',
        b'{"trial": "x", "answer": "yes", "viewport": [1]}', b'{"trial": "x", "answer": "yes", "where": [2, 0]}',
        b'{"trial": "x", "answer": "yes", "score_multiplier": 9}', b'{"trial": "\\u0000", "answer": "yes"}',
        b'{"trial": "' + b"x" * 33 + b'", "answer": "yes"}', b"[" * 4000, b'{"trial": "x", "answer": "yes", "input": "eyes"}',
        b'{"trial": "x", "answer": "yes", "rt_ms": ' + b"9" * 400 + b"}",
    ],
)  # fmt: skip
def test_bodies_that_are_no_answer(client: TestClient, study: StudyFolder, body: bytes) -> None:
    player(client, study)
    client.post("/api/next", json={})
    reply = client.post("/api/answer", content=body)
    assert reply.status_code in (400, 404) and reply.json()["error"]["message"], reply.text
    with study.database.read() as c:
        assert c.execute(select(response.c.id)).first() is None


def test_too_long_too_fast_and_not_there(
    client: TestClient, study: StudyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(RATES, "api", Rate(5, 0.1))
    player(client, study)
    long_ = client.post("/api/answer", content=b'{"trial": "' + b"x" * 9000 + b'"}')
    assert (long_.status_code, long_.json()["error"]["code"]) == (413, "too_large")
    chunks = client.post("/api/answer", content=iter([b"x" * 5000] * 3))
    assert chunks.status_code == 413
    assert client.get("/api/nothing").status_code == 404 and client.get("/api/next").status_code == 405
    replies = [client.post("/api/heartbeat", json={"trial": "x"}) for _ in range(7)]
    assert {reply.status_code for reply in replies} == {409, 429}
    assert int(replies[-1].headers["retry-after"]) >= 1 and replies[-1].json()["error"]["code"] == "rate_limited"


def test_states_and_a_person_who_is_erased(client: TestClient, study: StudyFolder) -> None:
    number = player(client, study)
    state = client.post("/api/next", json={}).json()
    with study.database.write() as c:
        study_state.set_state(c, "paused", "me", T0)
    assert client.post("/api/next", json={}).json()["phase"] == "paused"
    assert answer(client, state).json()["state"]["phase"] == "paused"
    with study.database.write() as c:
        from user_study.participant.joining import erase

        erase(c, number, study_state.facts(c).settings, T0)
        assert c.execute(select(participant.c.id)).first() is None
    assert client.post("/api/next", json={}).status_code == 401


@pytest.mark.parametrize(
    ("agent", "said"),
    [
        (FIREFOX, "Firefox 140"),
        (f"{CHROME} Edg/150.0", "Edge 150"),
        ("Mozilla/5.0 (iPhone) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.1 Mobile Safari/604.1", "Safari 19"),
        (CHROME, "Chrome 150"),
        ("curl/8", None),
        ("=1+1", None),
    ],
)
def test_only_the_family_of_the_browser_is_kept(agent: str, said: str | None) -> None:
    assert browser(agent) == said
