"""Who may see the admin pages: accounts by command, sessions, limits."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import pytest
from admin_support import enter, notes, text_of
from sqlalchemy import select
from starlette.testclient import TestClient
from study_support import SAME_ORIGIN

from semfid.cli import main
from user_study.core import accounts
from user_study.core.clock import now_ms
from user_study.core.errors import StudyError
from user_study.core.folder import StudyFolder
from user_study.database.schema import admin, session
from user_study.web.app import ServeOptions, create_app
from user_study.web.routes import ADMIN

PASSWORD = "four words at random"


def routes(method: str) -> list[str]:
    """Addresses of all admin pages that take the method, the login left out."""
    found = [route.path for route in ADMIN if method in route.methods and route.path != "/admin/login"]
    return [path.replace("{id:int}", "1").replace("{code}", "P-00000").replace("{token}", "x") for path in found]


def add_account(study: StudyFolder, name: str = "ada") -> None:
    with study.database.write() as c:
        accounts.add(c, name, accounts.hashed(PASSWORD), "command line", now_ms())


def sign_in(client: TestClient, name: str = "ada", password: str = PASSWORD, **more: str) -> Any:
    return client.post("/admin/login", data={"name": name, "password": password, **more})


def test_nothing_is_shown_or_done_without_signing_in(client: TestClient) -> None:
    assert len(routes("GET")) > 10 and len(routes("POST")) > 10
    for page in routes("GET"):
        response = client.get(page)
        assert response.status_code == 303, page
        assert response.headers["location"].startswith("/admin/login?next=%2Fadmin"), page
    for path in routes("POST"):
        if path != "/admin/logout":
            assert client.post(path).status_code == 403, path
    client.cookies.set("study_admin", "forged-" + "y" * 40)
    assert client.get("/admin").status_code == 303


def test_every_change_is_refused_from_elsewhere_and_by_get(client: TestClient, study: StudyFolder) -> None:
    enter(client, study)
    for path in (*routes("POST"), "/admin/login"):
        for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}):
            assert client.post(path, headers=headers).status_code == 403, path
    for path in set(routes("POST")) - set(routes("GET")) - {"/admin/import/x"}:
        assert client.get(path).status_code == 405, path
    assert client.get("/admin").status_code == 200  # nobody was signed out


def test_signing_in_and_out(client: TestClient, study: StudyFolder) -> None:
    add_account(study)
    response = sign_in(client, next="/admin/pairs?page=2")
    assert (response.status_code, response.headers["location"]) == (303, "/admin/pairs?page=2")
    cookie = response.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=lax" in cookie and PASSWORD not in cookie
    value = client.cookies["study_admin"]
    with study.database.read() as c:
        assert value not in str(c.execute(select(session)).all())  # only its hash
    assert "Overview" in text_of(client.get("/admin"))
    assert client.get("/admin/login").headers["location"] == "/admin"
    client.post("/admin/logout")
    client.cookies.set("study_admin", value)  # somebody kept a copy
    assert client.get("/admin").status_code == 303
    assert [action for _, action, _ in notes(study)][-2:] == ["signed in", "signed out"]


@pytest.mark.parametrize(
    "elsewhere", ["https://evil.example/", "//evil.example", "/admin\\@evil", "/join", "/admin\n/x"]
)
def test_signing_in_leads_nowhere_else(client: TestClient, study: StudyFolder, elsewhere: str) -> None:
    enter(client, study)
    assert client.get("/admin/login", params={"next": elsewhere}).headers["location"] == "/admin"


def test_wrong_names_and_passwords_look_alike(client: TestClient, study: StudyFolder) -> None:
    add_account(study)
    refused = [sign_in(client, name, word) for name, word in (("ada", "wrong wrong"), ("bob", PASSWORD), ("ada", ""))]
    assert {response.status_code for response in refused} == {403}
    pages = {response.text.replace("bob", "ada") for response in refused}
    assert len(pages) == 1 and "do not fit" in pages.pop()
    assert all("set-cookie" not in response.headers for response in refused)
    assert "wrong wrong" not in str(notes(study)) and ("nobody", "sign-in refused", "") in notes(study)


class CountingHasher:
    """Notes the cost of every hash that is checked: memory, passes, lanes."""

    def __init__(self) -> None:
        self.true, self.costs = accounts._HASHER, []

    def verify(self, known: str, password: str) -> bool:
        self.costs.append(known.split("$")[3])
        return self.true.verify(known, password)


def test_an_unknown_name_takes_as_long_as_a_wrong_password(study: StudyFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """One hash of the same cost is checked in both cases, and that is nearly all the time."""
    add_account(study)
    hasher = CountingHasher()
    monkeypatch.setattr(accounts, "_HASHER", hasher)
    for name in ("ada", "nobody at all"):
        with study.database.read() as c:
            known = accounts.look_up(c, name)
        assert not accounts.right_password(known, "wrong wrong")
    assert len(hasher.costs) == 2 and hasher.costs[0] == hasher.costs[1]
    assert re.fullmatch(r"m=\d+,t=\d+,p=\d+", hasher.costs[0])


def test_logins_are_limited(study: StudyFolder) -> None:
    app = create_app(study.database, study.path, ServeOptions(plain_http=True, expiry_s=0))
    with TestClient(app, headers=SAME_ORIGIN, follow_redirects=False) as client:
        codes = [sign_in(client, "ada", "guess").status_code for _ in range(14)]
    assert codes[:10] == [403] * 10 and codes[-1] == 429


def test_the_password_of_a_disabled_account_opens_nothing(client: TestClient, study: StudyFolder) -> None:
    add_account(study)
    assert sign_in(client).status_code == 303
    with study.database.write() as c:
        accounts.disable(c, "ada", "command line", now_ms())
    assert client.get("/admin").status_code == 303  # the open session is over too
    assert sign_in(client).status_code == 403
    with study.database.write() as c:
        accounts.set_password(c, "ada", accounts.hashed("another four words"), "command line", now_ms())
    assert sign_in(client).status_code == 403 and sign_in(client, password="another four words").status_code == 303


def test_accounts_by_command(
    study: StudyFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(study.path)

    def run(*arguments: str, typed: str = "") -> int:
        monkeypatch.setattr("sys.stdin", io.StringIO(typed))
        return main(["study", "admin", *arguments])

    assert run("add", folder, "ada", "--password-stdin", typed=PASSWORD + "\n") == 0
    assert run("add", folder, "ada", "--password-stdin", typed=PASSWORD + "\n") == 2
    assert run("add", folder, "bob", "--password-stdin", typed="short\n") == 2
    assert run("add", folder, "bob") == 2  # no terminal to ask at
    assert run("disable", folder, "carol") == 2
    error = capsys.readouterr().err
    for fix in ("semfid study admin password", "use 10 to 500", "--password-stdin", "semfid study admin list"):
        assert fix in error
    assert run("disable", folder, "ada") == 0 and run("list", folder) == 0
    assert "ada" in (out := capsys.readouterr().out) and "disabled" in out and PASSWORD not in out
    with study.database.read() as c:
        stored = c.execute(select(admin.c.password_hash)).scalar_one()
    assert stored.startswith("$argon2id$")
    assert {actor for actor, action, _ in notes(study) if "account" in action} == {"command line"}


def test_names_and_passwords_that_cannot_be(study: StudyFolder) -> None:
    for name in ("", " ", "a\nb", "x" * 81, "\u202e"):
        with pytest.raises(StudyError, match="use 1 to 80"):
            accounts.clean_name(name)
    for word in ("", "123456789", "x" * 501):
        with pytest.raises(StudyError, match="use 10 to 500"):
            accounts.hashed(word)


def test_no_account_exists_from_the_start(tmp_path: Path, study: StudyFolder) -> None:
    with study.database.read() as c:
        assert accounts.everyone(c) == []
