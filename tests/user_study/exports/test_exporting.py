"""What comes out of a study."""

from __future__ import annotations

import csv
import hashlib
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from data_support import imported, pair_table
from scipy.stats import binomtest
from sqlalchemy import insert, select, update
from study_rows import fill_answers

from registry import DATAMODULES
from semfid.io.pair_table import read_pairs
from user_study.core.errors import StudyError
from user_study.core.folder import StudyFolder
from user_study.database.schema import assignment, pair, participant, response
from user_study.exports.dictionary import COLUMNS
from user_study.exports.export import NAMES, export
from user_study.exports.options import Options, guarded
from user_study.participant import roles
from user_study.trial import exclusion

HOUR = 3_600_000
FILES = {
    "pairs.csv",
    "responses.csv",
    "participants.csv",
    "traps.csv",
    "legacy.csv",
    "crowdkit.csv",
    "study.json",
    "README.md",
}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StudyFolder]:
    """Twelve pairs of four photos and four traps; six people, one of them excluded, one a tester, one with a wicked name."""
    root = tmp_path_factory.mktemp("export")
    made = imported(root / "study", pair_table(root / "set", main=12, traps=4, training=2))
    fill_answers(made.database, people=6, careless=0)
    with made.database.write() as c:
        people = list(c.execute(select(participant.c.id).order_by(participant.c.id)).scalars())
        exclusion.exclude(c, people[4], "=cmd|' /C calc'!A1", "admin", 100 * HOUR)
        roles.set_role(c, people[5], "tester", "admin", 100 * HOUR)
        c.execute(update(participant).where(participant.c.id == people[0]).values(nickname="=HYPERLINK(1)"))
        one = c.execute(
            select(response.c.id).where(response.c.participant_id == people[1], response.c.kind == "main").limit(1)
        )
        c.execute(
            update(response)
            .where(response.c.id == one.scalar_one())
            .values(rt_ms=1234.5, category="detail", where_x=0.25)
        )
    yield made
    made.database.close()


@pytest.fixture(scope="module")
def clean(study: StudyFolder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "clean"
    files = export(study.database, study.images, out)
    assert {file.name for file in files} == FILES and all(file.is_file() for file in files)
    return out


@pytest.fixture(scope="module")
def raw(study: StudyFolder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "raw"
    export(study.database, study.images, out, options=Options(raw=True, names=True))
    return out


def _read(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, keep_default_na=False)


def test_legacy_is_the_reference_s_file_byte_for_byte(tmp_path: Path) -> None:
    made = imported(tmp_path / "study", pair_table(tmp_path / "set", main=3), answers="unsure")
    moments = [
        (0, "yes", 1_741_860_605_900),
        (1, "no", 1_741_860_606_000),
        (2, "unsure", 1_741_860_607_000),
        (0, "no", 0),
    ]
    with made.database.write() as c:
        pairs = list(c.execute(select(pair.c.id).order_by(pair.c.id)).scalars())
        for number, (which, answer, at) in enumerate(moments):
            person = c.execute(
                insert(participant).values(
                    code=f"P-{number:05}", nickname=f"n{number}", nickname_key=f"n{number}", resume_hash=f"{number}",
                    door="nickname", created_at=0, last_seen_at=0,
                )
            ).inserted_primary_key[0]  # fmt: skip
            c.execute(
                insert(response).values(
                    participant_id=None if number == 3 else person, pair_id=pairs[which], kind="main", answer=answer, counted=1,
                    reference_left=0, position=1, assigned_at=0, answered_at=at, server_ms=1, settings_id=1, version="1",
                )
            )  # fmt: skip
    export(made.database, made.images, tmp_path / "legacy.csv", "legacy")
    made.database.close()
    assert (tmp_path / "legacy.csv").read_bytes() == (
        b"User Code,Ground Truth Image,Super Resolution Image,Answer,Timestamp\r\n"
        b"P-00001,photo000.png,bsrgan_photo000.png,No,2025-03-13 10:10:06\r\n"
        b"P-00000,photo000.png,swin_photo000.png,Yes,2025-03-13 10:10:05\r\n"
        b",photo000.png,swin_photo000.png,No,1970-01-01 00:00:00\r\n"
    )


def test_the_datamodule_reads_pairs_and_legacy_as_they_are(clean: Path) -> None:
    ours = DATAMODULES.build("user_study", answers=str(clean / "pairs.csv")).load_table()
    legacy = DATAMODULES.build(
        "user_study", answers=str(clean / "legacy.csv"), references=str(clean / "HQ"), candidates=str(clean / "SR")
    ).load_table()
    assert len(ours) == len(legacy) == 12
    for table in (ours, legacy):
        assert all(path.is_file() for column in ("reference", "candidate") for path in table.paths(column))
    both = ours.frame.merge(
        legacy.frame, left_on="img_names", right_on=legacy.frame["pair_id"] + ".png", suffixes=("", "_old")
    )
    assert len(both) == 12
    np.testing.assert_allclose(both["difference"], both["difference_old"], atol=1e-6)
    assert (both["votes"] == both["votes_old"]).all() and (both["votes"] == 4).all()
    assert (both["source_id"] == both["source_id_old"]).all() and (both["origin"] == both["origin_old"]).all()


def test_the_source_project_s_loader_finds_its_columns(clean: Path) -> None:
    scores = pd.read_csv(clean / "pairs.csv")
    assert (
        list(scores.columns[:2]) == ["img_names", "userStudyScores"] and scores["userStudyScores"].between(0, 1).all()
    )
    rows = pd.read_csv(clean / "legacy.csv")
    for _, row in rows.iterrows():  # as the source project's sweep reads them
        stem = row["Super Resolution Image"].split("_")[-1].replace(".png", "")
        assert row["Ground Truth Image"].startswith(stem) and row["Answer"] in ("Yes", "No")


def test_figures_of_pairs(clean: Path) -> None:
    frame = _read(clean / "pairs.csv")
    for row in frame.to_dict("records"):
        low, high = binomtest(row["yes_votes"], row["votes"]).proportion_ci(method="wilson")
        assert (row["wilson_low"], row["wilson_high"]) == pytest.approx((low, high), abs=1e-6)
        assert row["beta_mean"] == pytest.approx((row["yes_votes"] + 0.5) / (row["votes"] + 1), abs=1e-6)
        p = row["yes_votes"] / row["votes"]
        bits = -sum(q * np.log2(q) for q in (p, 1 - p) if q > 0)
        assert row["entropy"] == pytest.approx(bits, abs=1e-6)
    assert set(frame["split"]) == {"train", "val", "test"} and frame.groupby("source_id")["split"].nunique().max() == 1
    assert frame["true_rate"].notna().all()


def test_excluded_people_and_testers_are_out_of_clean_and_in_raw(clean: Path, raw: Path) -> None:
    excluded, tester = "P-00004", "P-00005"
    columns = {"responses": "participant", "participants": "participant", "crowdkit": "worker", "legacy": "User Code"}
    for name, column in columns.items():
        inside = set(_read(clean / f"{name}.csv")[column])
        assert inside == {f"P-{number:05}" for number in range(4)}, name
        assert inside | {excluded, tester} == set(_read(raw / f"{name}.csv")[column]), name
    people = _read(raw / "participants.csv").set_index("participant")
    assert people.loc[excluded, "standing"] == "excluded" and people.loc[tester, "role"] == "tester"
    assert (_read(raw / "pairs.csv")["votes"] == 6).all()
    responses = _read(clean / "responses.csv")
    assert set(responses["kind"]) == {"main", "trap"} and (responses["counted"] == (responses["kind"] == "main")).all()
    assert set(_read(raw / "responses.csv")["why_not"]) == {"", "kind", "excluded", "tester"}


def test_only_pseudonyms_and_no_formulae(clean: Path, raw: Path) -> None:
    text = "".join(path.read_text() for path in clean.glob("*.csv"))
    assert "HYPERLINK" not in text and "person 1" not in text and ",nickname\n" not in text
    assert not {"nickname", "external_id"} & set(_read(clean / "participants.csv").columns)
    people = _read(raw / "participants.csv")
    assert people["nickname"][0] == "'=HYPERLINK(1)" and people["standing_reason"][4] == "'=cmd|' /C calc'!A1"
    for path in raw.glob("*.csv"):
        with path.open(newline="") as file:
            cells = [cell for row in csv.reader(file) for cell in row]
        assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t"))], path


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1", " =1", "\n=1"])
def test_texts_that_people_typed_start_no_formula(text: str) -> None:
    assert guarded(text).startswith("'") and "\n" not in guarded(text)


def test_logged_columns_arrive(clean: Path) -> None:
    row = _read(clean / "responses.csv").query("category == 'detail'").iloc[0]
    assert float(row["rt_ms"]) == 1234.5 and float(row["where_x"]) == 0.25 and row["participant"] == "P-00001"
    assert row["answered_at"].endswith("Z") and len(row["settings_hash"]) == 16


def test_crowdkit_s_columns(clean: Path) -> None:
    frame = _read(clean / "crowdkit.csv")
    assert list(frame.columns) == ["task", "worker", "label"] and len(frame) == 4 * 12
    majority = frame.groupby("task")["label"].apply(lambda labels: (labels == "yes").mean())
    labels = _read(clean / "pairs.csv").set_index("pair_id")["difference"]
    np.testing.assert_allclose(majority[labels.index], labels, atol=1e-6)


def test_study_json_proves_the_files(clean: Path) -> None:
    facts = json.loads((clean / "study.json").read_text())
    for name, said in facts["files"].items():
        content = (clean / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == said["sha256"] and content.count(b"\n") == said["rows"] + 1
    assert facts["kind"] == "clean" and facts["counts"]["answers_counted"] == 48 and facts["counts"]["main_pairs"] == 12
    assert facts["counts"]["participants"] == {
        "participant excluded": 1,
        "participant included": 4,
        "tester included": 1,
    }
    assert (
        facts["exclusion"]["rules"]["min_traps"] == 8
        and facts["settings_versions"][0]["hash"] == facts["settings_hash"]
    )
    assert facts["reliability"]["answers"] == 48


def test_every_column_is_in_the_dictionary(raw: Path) -> None:
    readme = (raw / "README.md").read_text()
    for name, columns in COLUMNS.items():
        known = {column for names in columns for column in names.split(", ")}
        header = set(pd.read_csv(raw / name, nrows=0).columns) - {"true_rate"}
        assert header <= known, (name, header - known)
        assert f"## {name}" in readme


def test_an_export_is_the_same_again_and_replaces_itself(study: StudyFolder, clean: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    export(study.database, study.images, again)
    for name in FILES - {"study.json", "README.md"}:
        assert (again / name).read_bytes() == (clean / name).read_bytes(), name
    export(study.database, study.images, again, options=Options(seed=5))
    assert _read(again / "pairs.csv")["split"].tolist() != _read(clean / "pairs.csv")["split"].tolist()
    assert not list(tmp_path.glob(".*"))


def test_zip_and_single_files(study: StudyFolder, clean: Path, tmp_path: Path) -> None:
    export(study.database, study.images, tmp_path / "all.zip")
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        assert set(archive.namelist()) >= FILES and "SR/swin_photo000.webp" in archive.namelist()
        archive.extractall(tmp_path / "unpacked")
    assert len(DATAMODULES.build("user_study", answers=str(tmp_path / "unpacked" / "pairs.csv")).load_table()) == 12
    for name in NAMES:
        single = tmp_path / "single" / f"{name}.{'json' if name == 'study' else 'csv'}"
        single.parent.mkdir(exist_ok=True)
        assert export(study.database, study.images, single, name) == [single]
    table = read_pairs(tmp_path / "single" / "pairs.csv")
    assert all(
        path.is_file() and path.parent == study.images for path in (p.resolve() for p in table.paths("candidate"))
    )
    export(study.database, study.images, tmp_path / "lean", with_images=False)
    assert not (tmp_path / "lean" / "SR").exists()
    assert all(path.is_file() for path in read_pairs(tmp_path / "lean" / "pairs.csv").paths("reference"))


def test_places_that_are_taken_and_names_that_are_wrong(study: StudyFolder, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    with pytest.raises(StudyError, match=r"holds other things \(thesis.tex\)"):
        export(study.database, study.images, tmp_path / "mine")
    with pytest.raises(StudyError, match="did you mean 'legacy'"):
        export(study.database, study.images, tmp_path / "x.csv", "legcy")
    with pytest.raises(StudyError, match="--what says which table"):
        export(study.database, study.images, tmp_path / "x.csv")


def test_a_study_without_answers_and_not_sure_as_half(tmp_path: Path) -> None:
    made = imported(tmp_path / "study", pair_table(tmp_path / "set", main=3), answers="unsure")
    export(made.database, made.images, tmp_path / "none")
    assert len((tmp_path / "none" / "pairs.csv").read_text().splitlines()) == 1
    with made.database.write() as c:
        c.execute(update(pair).where(pair.c.pair_key == "main000").values(done=3, yes=1, unsure=1, no=1))
    export(made.database, made.images, tmp_path / "pairs.csv", "pairs")
    made.database.close()
    row = read_pairs(tmp_path / "pairs.csv").frame.iloc[0]
    assert (row["yes_votes"], row["votes"], row["difference"]) == (1.5, 3, 0.5)


def test_a_table_s_own_columns_come_back(tmp_path: Path) -> None:
    table = pair_table(tmp_path / "set", main=6)
    frame = pd.read_csv(table).assign(
        split=["train"] * 3 + ["test"] * 3, map="maps/x.png", difference=0.25, note="kept"
    )
    frame.to_csv(table, index=False)
    made = imported(tmp_path / "study", table)
    with made.database.write() as c:
        c.execute(update(pair).values(done=2, yes=1, no=1))
    export(made.database, made.images, tmp_path / "pairs.csv", "pairs")
    made.database.close()
    found = read_pairs(tmp_path / "pairs.csv").frame
    assert found["split"].tolist() == ["train"] * 3 + ["test"] * 3 and (found["difference"] == 0.5).all()
    assert (
        (found["imported_difference"] == 0.25).all()
        and (found["imported_map"] == "maps/x.png").all()
        and "map" not in found
    )
    assert (found["note"] == "kept").all()


def test_all_files_on_both_databases(database: Any, tmp_path: Path) -> None:
    from user_study.core import settings_store, study_state
    from user_study.core.settings import StudySettings
    from user_study.imports.import_pairs import import_pairs

    with database.write() as c:
        study_state.create(c, "0" * 64)
        settings_store.save(c, StudySettings(), "tests", 1)
    import_pairs(database, tmp_path / "images", [pair_table(tmp_path / "set", main=3, traps=2)])
    fill_answers(database, people=3, careless=0)
    export(database, tmp_path / "images", tmp_path / "out", options=Options(raw=True))
    assert (_read(tmp_path / "out" / "pairs.csv")["votes"] == 3).all() and len(
        _read(tmp_path / "out" / "responses.csv")
    ) == 15
    with database.read() as c:
        assert len(c.execute(select(assignment.c.id)).all()) == 15
