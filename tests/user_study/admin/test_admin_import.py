"""Import through the browser: a dry run, a confirmation, and nothing else."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from admin_support import enter, notes, text_of
from PIL import Image
from sqlalchemy import func, select, update
from starlette.testclient import TestClient

from user_study.core.folder import StudyFolder
from user_study.database.schema import pair, upload


def picture(seed: int, side: int = 32) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)).save(out, "PNG")
    return out.getvalue()


def packed(**files: bytes | str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "/"), content)
    return out.getvalue()


def two_folders(side: int = 32) -> bytes:
    return packed(
        **{"HQ/1.png": picture(1), "HQ/2.png": picture(2), "SR/esr_1.png": picture(3), "SR/esr_2.png": picture(4, side)}
    )


def pairs(study: StudyFolder) -> int:
    with study.database.read() as c:
        return int(c.execute(select(func.count()).select_from(pair)).scalar_one())


def send(client: TestClient, content: bytes, name: str = "new.zip", kind: str = "main", fit: str = "refuse") -> Any:
    return client.post(
        "/admin/import", files={"file": (name, content, "application/zip")}, data={"kind": kind, "fit": fit}
    )


@pytest.fixture
def desk(client: TestClient, study: StudyFolder) -> TestClient:
    return enter(client, study)


def test_a_zip_is_looked_at_then_taken_in(desk: TestClient, study: StudyFolder) -> None:
    before = pairs(study)
    response = send(desk, two_folders())
    report = response.headers["location"]
    assert response.status_code == 303 and pairs(study) == before
    page = text_of(desk.get(report))
    assert "Ready: 2 pairs of the study" in page and "Import 2 pairs" in page and "esr" in page
    assert "new.zip waits for your word" in text_of(desk.get("/admin/import"))
    assert desk.post(f"{report}/apply").headers["location"] == "/admin/pairs?said=imported"
    assert pairs(study) == before + 2 and list((study.path / "uploads").iterdir()) == []
    assert desk.get(report).status_code == 404  # and not twice
    again = send(desk, two_folders()).headers["location"]
    assert "There is nothing new" in text_of(desk.get(again)) and "/apply" not in desk.get(again).text
    assert ("ada", "import") in [(actor, action) for actor, action, _ in notes(study)]


def test_errors_stop_the_import_and_are_shown(desk: TestClient, study: StudyFolder) -> None:
    before = pairs(study)
    report = send(desk, two_folders(side=24), name="<b>.zip").headers["location"]
    page = desk.get(report)
    assert "Errors stop the import" in text_of(page) and "/apply" not in page.text and "<b>.zip" not in page.text
    assert desk.post(f"{report}/apply").status_code == 409 and pairs(study) == before  # who asks anyway
    assert desk.post(f"{report}/discard").status_code == 303
    assert list((study.path / "uploads").iterdir()) == []


def test_what_is_no_study_is_refused_in_words(desk: TestClient, study: StudyFolder) -> None:
    climbs, no_pictures = packed(**{"../../evil.png": picture(1)}), packed(**{"HQ/1.txt": "text"})
    for content, says in (
        (b"no zip at all", "cannot be read as a zip"),
        (b"", "cannot be read as a zip"),
        (climbs, "leads out of the archive"),
        (no_pictures, "neither a pair table"),
    ):
        response = send(desk, content, name="odd.zip")
        assert response.status_code == 409 and "odd.zip" in response.text and says in response.text, says
        assert str(study.path) not in response.text and "/tmp" not in response.text
    assert pairs(study) == 24 and not Path(study.path.parent / "evil.png").exists()


def test_a_bomb_does_not_go_off(desk: TestClient, study: StudyFolder) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("HQ/1.png", b"\0" * 30_000_000)
    response = send(desk, out.getvalue())
    assert response.status_code == 409 and "that is no picture" in response.text
    assert list((study.path / "uploads").iterdir()) == []


def test_forms_that_are_not_ours(desk: TestClient) -> None:
    assert desk.post("/admin/import", data={"kind": "main", "fit": "refuse"}).status_code == 400
    assert send(desk, two_folders(), kind="../x").status_code == 400
    assert send(desk, two_folders(), fit="stretch").status_code == 400
    for path in ("/admin/import/nope", "/admin/import/..%2Fstudy.db"):
        assert desk.get(path).status_code == 404


def test_an_upload_is_its_senders_and_does_not_wait_for_ever(desk: TestClient, study: StudyFolder) -> None:
    first = send(desk, two_folders()).headers["location"]
    enter(desk, study, "bob")
    assert desk.get(first).status_code == 404 and desk.post(f"{first}/apply").status_code == 404
    assert "waits for your word" not in text_of(desk.get("/admin/import"))
    with study.database.write() as c:
        c.execute(update(upload).values(created_at=0))
    second = send(desk, two_folders()).headers["location"]
    with study.database.read() as c:
        assert c.execute(select(upload.c.token)).scalars().all() == [second.rsplit("/", 1)[1]]
    assert len(list((study.path / "uploads").iterdir())) == 1
