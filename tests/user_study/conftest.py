"""Fixtures of the study: databases of both kinds, a small study, a client, a server, a browser."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from study_support import SAME_ORIGIN, LiveServer, Postgres, fill, quick_migrate

from user_study.core.folder import StudyFolder, create_study, open_study
from user_study.core.settings import StudySettings
from user_study.database.engine import SYNCHRONOUS, Database, open_database
from user_study.web.app import ServeOptions, create_app


@pytest.fixture(scope="session", autouse=True)
def quick_databases() -> Iterator[None]:
    """Commits do not wait for the disk, and the tables of a new study are copied: no test cuts the power.

    A test of what is synced asks for `synced`.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("user_study.database.engine.SYNCHRONOUS", "OFF")
        patch.setattr("user_study.core.folder.migrate", quick_migrate)
        yield


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commits as the program makes them."""
    monkeypatch.setattr("user_study.database.engine.SYNCHRONOUS", SYNCHRONOUS)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server; its `reason` says why there is none."""
    server = Postgres()
    yield server
    server.stop()


@pytest.fixture
def backend(request: pytest.FixtureRequest) -> str:
    """``sqlite``, unless the test is parametrised over `backend` (indirect): see `on_both` in the tests."""
    kind = str(getattr(request, "param", "sqlite"))
    if kind == "postgresql":
        reason = request.getfixturevalue("postgres").reason
        if reason:
            pytest.skip(reason)
    return kind


@pytest.fixture(scope="session")
def study_templates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Filled studies by kind of database, made once and copied."""
    return {"folder": tmp_path_factory.mktemp("templates")}


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty database with its tables, of both kinds."""
    name = ""
    if request.param == "postgresql":
        server: Postgres = request.getfixturevalue("postgres")
        if server.reason:
            pytest.skip(server.reason)
        name = server.new()
        opened = open_database(server.url(name))
    else:
        opened = open_database(f"sqlite:///{tmp_path}/empty.db")
    quick_migrate(opened)
    yield opened
    opened.close()
    if name:
        server.drop(name)


@pytest.fixture
def study(
    request: pytest.FixtureRequest, backend: str, tmp_path: Path, study_templates: dict[str, Any]
) -> Iterator[StudyFolder]:
    """A live study: 12 main pairs of three origins, 4 traps, 6 training pairs, 2 worked examples; quota 30."""
    server: Postgres | None = request.getfixturevalue("postgres") if backend == "postgresql" else None
    if backend not in study_templates:
        folder = study_templates["folder"] / backend
        name = server.new() if server else None
        made = create_study(folder, StudySettings(), server.url(str(name)) if server else None)
        with made.database.write() as c:
            fill(c, made.images)
        made.database.close()
        study_templates[backend] = name
    path = tmp_path / "study"
    path.mkdir()
    source: Path = study_templates["folder"] / backend
    (path / "images").symlink_to(source / "images")
    name = None
    if server:
        name = server.new(study_templates[backend])
        (path / "database.url").write_text(server.url(name))
    else:
        shutil.copy(source / "study.db", path / "study.db")
    opened = open_study(path)
    yield opened
    opened.database.close()
    if server and name:
        server.drop(name)


@pytest.fixture
def app(study: StudyFolder) -> Any:
    """The application of `study`, without its expiry job."""
    return create_app(study.database, study.path, ServeOptions(plain_http=True, trust_client_times=True, expiry_s=0))


@pytest.fixture
def client(app: Any) -> Iterator[TestClient]:
    """A browser on a page of the study: what it sends comes from the same origin. Redirects are not followed."""
    with TestClient(app, headers=SAME_ORIGIN, follow_redirects=False, raise_server_exceptions=False) as opened:
        yield opened


@pytest.fixture(scope="session")
def live_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server on a free port with a study of its own (`live_server.study`, `live_server.url`)."""
    made = create_study(tmp_path_factory.mktemp("live") / "study", StudySettings())
    with made.database.write() as c:
        fill(c, made.images)
    options = ServeOptions(trust_client_times=True)
    with LiveServer(create_app(made.database, made.path, options), made).running() as server:
        yield server
    made.database.close()


CHROMIUM = [  # nothing but the pages: no graphics process, no network of its own
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--disable-sync",
]


@pytest.fixture(scope="module")  # its event loop stays in the thread, where other files' tests run loops of their own
def browser() -> Iterator[Any]:
    """Chromium, driven by playwright."""
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        pytest.skip("playwright is not installed (make quickstart)")
    path = os.environ.get("SEMFID_TEST_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("no Chromium here (apt-get install chromium), and SEMFID_TEST_CHROMIUM is not set")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=CHROMIUM)
        yield opened
        opened.close()
