"""Backups that are whole, also while people answer."""

from __future__ import annotations

import shutil
import subprocess
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from data_support import imported, pair_table
from sqlalchemy import func, select
from study_rows import fill_answers
from study_support import Postgres

from semfid.cli import main
from user_study.analysis.checking import check
from user_study.core.audit import note
from user_study.core.errors import StudyError
from user_study.core.folder import StudyFolder, open_study
from user_study.database.schema import audit, response
from user_study.exports import backup as backing_up
from user_study.exports.backup import backup


@pytest.fixture
def filled(tmp_path: Path) -> Iterator[StudyFolder]:
    study = imported(tmp_path / "study", pair_table(tmp_path / "set", main=6, traps=2))
    fill_answers(study.database, people=3, careless=0)
    yield study
    study.database.close()


def _count(study: StudyFolder, table: Any = response) -> int:
    with study.database.read() as c:
        return int(c.execute(select(func.count()).select_from(table)).scalar_one())


def test_a_backup_is_a_study(filled: StudyFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study", "backup", str(filled.path), str(tmp_path / "copy")]) == 0
    assert "personal data" in capsys.readouterr().out
    assert (tmp_path / "copy").stat().st_mode & 0o777 == 0o700
    restored = open_study(tmp_path / "copy")
    assert check(restored.database, restored.images) == [] and _count(restored) == _count(filled) == 24
    restored.database.close()
    assert main(["study", "check", str(tmp_path / "copy")]) == 0


def test_it_is_of_one_moment_while_others_write(filled: StudyFolder, tmp_path: Path) -> None:
    """Each write adds two rows: a copy with an odd number of them would be of no moment."""
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            with filled.database.write() as c:
                note(c, "tests", "one", now=1)
                note(c, "tests", "two", now=1)

    before = _count(filled, audit)
    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(3):
            backup(filled.database, filled.images, tmp_path / f"copy{number}")
    finally:
        stop.set()
        writer.join()
    counts = []
    for number in range(3):
        restored = open_study(tmp_path / f"copy{number}")
        counts.append(_count(restored, audit) - before)
        restored.database.close()
    assert all(count % 2 == 0 for count in counts) and counts == sorted(counts) and counts[-1] > 0


def test_a_zip_and_what_is_refused(filled: StudyFolder, tmp_path: Path) -> None:
    backup(filled.database, filled.images, tmp_path / "copy.zip")
    with zipfile.ZipFile(tmp_path / "copy.zip") as archive:
        archive.extractall(tmp_path / "unpacked")
    restored = open_study(tmp_path / "unpacked")
    assert check(restored.database, restored.images) == []
    restored.database.close()
    with pytest.raises(StudyError, match="exists already"):
        backup(filled.database, filled.images, tmp_path / "copy.zip")
    next(filled.images.iterdir()).unlink()
    with pytest.raises(StudyError, match="would not be whole"):
        backup(filled.database, filled.images, tmp_path / "second")
    assert not (tmp_path / "second").exists() and not list(tmp_path.glob(".second*"))


def test_postgresql_is_dumped_and_restored(postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if postgres.reason:
        pytest.skip(postgres.reason)
    name, other = postgres.new(), postgres.new(empty=True)
    study = imported(tmp_path / "study", pair_table(tmp_path / "set", main=3), postgres.url(name))
    fill_answers(study.database, people=2, careless=0)
    try:
        backup(study.database, study.images, tmp_path / "copy")
        restore = shutil.which("pg_restore") or str(sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_restore"))[-1])
        subprocess.run(
            [restore, "--no-owner", "-d", postgres.address(other), str(tmp_path / "copy" / "study.dump")], check=True
        )
        (tmp_path / "copy" / "database.url").write_text(postgres.url(other))
        restored = open_study(tmp_path / "copy")
        assert _count(restored) == 6 and check(restored.database, restored.images) == []
        restored.database.close()
        monkeypatch.setattr(backing_up.shutil, "which", lambda _: None)
        monkeypatch.setattr(backing_up, "_installed_pg_dump", lambda: None)
        with pytest.raises(StudyError, match="pg_dump is not installed"):
            backup(study.database, study.images, tmp_path / "second")
    finally:
        study.database.close()
        postgres.drop(name)
        postgres.drop(other)
