"""Proving a study against itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from data_support import imported, pair_table, picture
from sqlalchemy import insert, select, text, update
from study_rows import fill_answers

from semfid.cli import main
from user_study.analysis.checking import check, repair
from user_study.core import study_state
from user_study.core.clock import now_ms
from user_study.core.errors import StudyError
from user_study.core.folder import StudyFolder
from user_study.database.schema import assignment, image, ledger, pair, participant, response, settings_version


@pytest.fixture
def filled(tmp_path: Path) -> Iterator[StudyFolder]:
    study = imported(tmp_path / "study", pair_table(tmp_path / "set", main=6, traps=2))
    fill_answers(study.database, people=3, careless=0)
    yield study
    study.database.close()


def _faults(study: StudyFolder) -> list[str]:
    return [f"{fault.level}: {fault.what}" for fault in check(study.database, study.images)]


def test_a_sound_study_has_no_fault(filled: StudyFolder, capsys: pytest.CaptureFixture[str]) -> None:
    assert _faults(filled) == []
    assert main(["study", "check", str(filled.path)]) == 0 and "sound" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            update(pair).where(pair.c.pair_key == "main001").values(done=pair.c.done + 1, yes=pair.c.yes + 1),
            "'main001': done 4",
        ),
        (update(pair).where(pair.c.pair_key == "main002").values(open=2), "open 2 instead of 0"),
        (update(participant).values(score=5), "score is not the sum"),
        (
            update(participant).where(participant.c.code == "P-00001").values(standing="excluded"),
            "answers of excluded people",
        ),
        (
            update(participant).where(participant.c.code == "P-00002").values(role="tester"),
            "or testers count (first: P-00002)",
        ),
        (update(settings_version).values(body="{"), "cannot be read"),
        (update(settings_version).values(hash="0"), "has the hash 0"),
        (update(pair).where(pair.c.pair_key == "main003").values(origin="new"), "list of origins"),
        (
            update(assignment).where(assignment.c.id == 1).values(state="open", expires_at=0),
            "does not fit their answer",
        ),
        (text("PRAGMA foreign_keys=OFF"), ""),
    ],
)
def test_what_is_wrong_is_named(filled: StudyFolder, change: object, said: str) -> None:
    with filled.database.write() as c:
        c.execute(change)
    found = "\n".join(_faults(filled))
    assert said in found and (found != "" or said == "")


def test_counters_are_repaired(filled: StudyFolder, capsys: pytest.CaptureFixture[str]) -> None:
    with filled.database.write() as c:
        c.execute(update(pair).where(pair.c.kind == "main").values(done=0, yes=0, no=0, open=1))
        c.execute(insert(ledger).values(participant_id=1, kind="answer", ref=1, points=7, at=0))
        study_state.put(c, "strata", "{}")
    assert main(["study", "check", str(filled.path)]) == 1
    shown = capsys.readouterr().out
    assert "6 pairs whose counters differ" in shown and "--repair" in shown and "3 errors" in shown
    assert main(["study", "check", str(filled.path), "--repair"]) == 0
    assert _faults(filled) == []
    with filled.database.read() as c:
        assert {row.done for row in c.execute(select(pair.c.done).where(pair.c.kind == "main"))} == {3}
        assert c.execute(select(participant.c.score).order_by(participant.c.id)).scalars().first() == 7


def test_more_answers_than_the_quota_cannot_be_repaired(filled: StudyFolder) -> None:
    with filled.database.write() as c:
        c.execute(update(pair).values(done=0, yes=0, no=0, quota=1))
    with pytest.raises(StudyError, match="above its quota 1"):
        repair(filled.database)


def test_pictures_are_held_against_their_hashes(filled: StudyFolder) -> None:
    with filled.database.read() as c:
        files = c.execute(select(image.c.file).order_by(image.c.id)).scalars().all()
    (filled.images / files[0]).unlink()
    (filled.images / files[1]).write_bytes((filled.images / files[2]).read_bytes())
    (filled.images / files[3]).write_bytes(b"RIFF")
    picture(filled.images / "stranger.png", 1)
    found = _faults(filled)
    assert [line.partition(" (")[0].replace(str(filled.images), "X") for line in found] == [
        "error: 1 pictures are missing from X",
        "error: 2 pictures do not show what they should",
        "note: 1 files in X belong to no pair",
    ]


def test_leases_that_nobody_swept_are_a_note(filled: StudyFolder) -> None:
    with filled.database.write() as c:
        number = c.execute(select(pair.c.id).where(pair.c.kind == "training").limit(1)).scalar_one_or_none() or 1
        c.execute(
            insert(assignment).values(
                token="old", participant_id=1, pair_id=number, kind="training", position=1, slot=0, reference_left=0,
                state="open", assigned_at=0, expires_at=now_ms() - 86_400_000,
            )
        )  # fmt: skip
    assert _faults(filled) == ["note: 1 pairs are out with people who left long ago"]


def test_both_databases_are_checked(database: object, tmp_path: Path) -> None:
    from user_study.core import settings_store
    from user_study.core.settings import StudySettings
    from user_study.imports.import_pairs import import_pairs

    with database.write() as c:
        study_state.create(c, "0" * 64)
        settings_store.save(c, StudySettings(), "tests", 1)
    import_pairs(database, tmp_path / "images", [pair_table(tmp_path / "set", main=3)])
    fill_answers(database, people=2, careless=0)
    assert check(database, tmp_path / "images") == []
    with database.write() as c:
        c.execute(update(response).where(response.c.id == 1).values(counted=0))
    assert len(check(database, tmp_path / "images")) == 1
    assert repair(database) == 1 and check(database, tmp_path / "images") == []
