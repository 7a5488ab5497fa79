"""Bringing pairs into a study."""

from __future__ import annotations

import io
import multiprocessing
import os
import signal
import stat
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from data_support import ORIGINS, imported, pair_table, picture
from PIL import Image
from sqlalchemy import func, select

from semfid.errors import UserError
from user_study.analysis.checking import check
from user_study.core import settings_store, study_state
from user_study.core.errors import StudyError
from user_study.core.folder import StudyFolder, create_study, open_study
from user_study.core.pictures import PictureError, pixel_hash, read_picture
from user_study.core.settings import StudySettings
from user_study.database.engine import Database
from user_study.database.schema import image, pair
from user_study.imports import import_pairs as importing
from user_study.imports.archive import Limits
from user_study.imports.import_pairs import import_pairs, inspect
from user_study.imports.sources import ImportOptions


@pytest.fixture
def empty(tmp_path: Path):
    study = create_study(tmp_path / "study", StudySettings())
    yield study
    study.database.close()


def _count(database: Database) -> tuple[int, int]:
    with database.read() as c:
        return tuple(c.execute(select(func.count()).select_from(table)).scalar_one() for table in (pair, image))


def _rows(study: StudyFolder) -> pd.DataFrame:
    with study.database.read() as c:
        return pd.DataFrame(c.execute(select(pair).order_by(pair.c.id)).mappings().all())


def _folders(root: Path, photos: int = 3, models: tuple[str, ...] = ("Swin_IR", "BSRGAN")) -> tuple[Path, Path]:
    for number in range(photos):
        picture(root / "HQ" / f"img_{number}.jpg", number)
        for index, model in enumerate(models):
            picture(root / "SR" / f"{model}_img_{number}.png", 100 * (index + 1) + number)
    return root / "HQ", root / "SR"


def test_a_table_is_imported_on_both_databases(database: Database, tmp_path: Path) -> None:
    with database.write() as c:
        study_state.create(c, "0" * 64)
        settings_store.save(c, StudySettings(quota=7), "tests", 1)
    table = pair_table(tmp_path / "set", main=6, traps=2, training=2)
    report = import_pairs(database, tmp_path / "images", [table])
    assert report.applied and report.new == 10 and report.kinds == {"main": 6, "trap": 2, "training": 2}
    assert _count(database) == (10, 2 + 6 + 4 + 4)
    with database.read() as c:
        rows = c.execute(select(pair).order_by(pair.c.id)).all()
        assert study_state.facts(c).strata == dict.fromkeys(ORIGINS, 2)
    assert [row.pair_key for row in rows[:2]] == ["main000", "main001"] and all(row.quota == 7 for row in rows)
    assert rows[6].truth in ("yes", "no") and rows[0].truth is None and rows[8].explanation == "Look."
    assert '"true_rate": 0.0833' in rows[0].extra and 0 <= rows[0].shuffle < 1
    assert check(database, tmp_path / "images") == []
    again = import_pairs(database, tmp_path / "images", [table])
    assert (again.new, again.known) == (0, 10) and _count(database) == (10, 16)


def test_folders_are_matched_by_name(empty: StudyFolder, tmp_path: Path) -> None:
    hq, sr = _folders(tmp_path)
    picture(sr / "BSRGAN_lonely.png", 7)
    picture(hq / "unused.png", 8)
    (sr / "notes.txt").write_text("x")
    report = import_pairs(empty.database, empty.images, [hq, sr])
    assert report.new == 6 and report.origins == {"BSRGAN": 3, "Swin_IR": 3} and report.photos == 3
    codes = {(remark.code, remark.where) for remark in report.remarks}
    assert codes == {("unmatched", "BSRGAN_lonely.png"), ("unmatched", "unused.png"), ("no_picture", "notes.txt")}
    rows = _rows(empty)
    assert set(rows["source_key"]) == {"img_0", "img_1", "img_2"} and "Swin_IR_img_0.png" in set(rows["candidate_name"])


def test_the_source_project_s_layout_and_models_in_subfolders(empty: StudyFolder, tmp_path: Path) -> None:
    for number in range(2):
        picture(tmp_path / "static" / "GT" / f"{number:04}.png", number)
        for model in ("a", "b"):
            picture(tmp_path / "static" / "SR" / model / f"{number:04}.png", 10 + number + 100 * (model == "b"))
    report = import_pairs(empty.database, empty.images, [tmp_path / "static"])
    assert report.origins == {"a": 2, "b": 2} and set(_rows(empty)["candidate_name"]) == {
        "a_0000.png", "a_0001.png", "b_0000.png", "b_0001.png"
    }  # fmt: skip


def test_a_dry_run_changes_nothing_and_says_all_that_is_wrong(empty: StudyFolder, tmp_path: Path) -> None:
    table = pair_table(tmp_path / "set", main=9)
    folder = table.parent / "SR"
    picture(folder / f"{ORIGINS[0]}_photo000.png", 1, (16, 11))
    (folder / f"{ORIGINS[1]}_photo000.png").write_bytes(b"GIF89a nonsense")
    (folder / f"{ORIGINS[2]}_photo000.png").unlink()
    (folder / f"{ORIGINS[0]}_photo001.png").write_bytes((folder / f"{ORIGINS[1]}_photo001.png").read_bytes())
    content = (folder / f"{ORIGINS[0]}_photo002.png").read_bytes()
    (folder / f"{ORIGINS[0]}_photo002.png").write_bytes(content[: len(content) // 2])
    report = inspect(empty.database, [table])
    codes = sorted((remark.level, remark.code) for remark in report.remarks)
    assert codes == [
        ("error", "missing"), ("error", "size"), ("error", "undecodable"), ("error", "undecodable"), ("warning", "duplicate")
    ]  # fmt: skip
    assert report.errors == 4 and report.new == 4 and not report.applied
    assert _count(empty.database) == (0, 0) and list(empty.images.iterdir()) == []
    text = "\n".join(report.lines())
    assert "16 x 12" in text and "16 x 11" in text and "--fit crop" in text and "no such file" in text
    with pytest.raises(StudyError, match=r"nothing was imported.*3 more errors"):
        import_pairs(empty.database, empty.images, [table])
    assert _count(empty.database) == (0, 0) and list(empty.images.iterdir()) == []


def test_pairs_of_two_sizes_are_cropped_on_demand(empty: StudyFolder, tmp_path: Path) -> None:
    hq = picture(tmp_path / "HQ" / "a.png", 1, (64, 48)).parent
    sr = picture(tmp_path / "SR" / "x_a.png", 2, (62, 48)).parent
    report = import_pairs(empty.database, empty.images, [hq, sr], ImportOptions(fit="crop"))
    assert [remark.code for remark in report.remarks] == ["cropped"] and report.new == 1
    with empty.database.read() as c:
        files = c.execute(select(image.c.file, image.c.width, image.c.height)).all()
    assert {(row.width, row.height) for row in files} == {(62, 48)}
    original = np.asarray(Image.open(hq / "a.png"))[:, :62]
    assert any((np.asarray(Image.open(empty.images / row.file)) == original).all() for row in files)
    picture(tmp_path / "far" / "x_a.png", 2, (32, 24))
    assert inspect(empty.database, [hq, tmp_path / "far"], ImportOptions(fit="crop")).errors == 1


def test_a_taken_name_stops_the_import_and_later_pairs_are_added(empty: StudyFolder, tmp_path: Path) -> None:
    table = pair_table(tmp_path / "set", main=3)
    import_pairs(empty.database, empty.images, [table])
    other = pair_table(tmp_path / "other", main=6)
    picture(tmp_path / "other" / "SR" / f"{ORIGINS[0]}_photo000.png", 4711)
    report = inspect(empty.database, [other])
    assert report.errors == 1 and report.remarks[0].code == "id_taken" and report.remarks[0].where == "main000"
    picture(tmp_path / "other" / "SR" / f"{ORIGINS[0]}_photo000.png", 1000)
    assert import_pairs(empty.database, empty.images, [other]).new == 3 and _count(empty.database)[0] == 6


def test_traps_need_their_truth_and_kinds_are_known(empty: StudyFolder, tmp_path: Path) -> None:
    table = pair_table(tmp_path / "set", main=3)
    frame = pd.read_csv(table).drop(columns=["truth", "kind"])
    frame.to_csv(table, index=False)
    assert {remark.code for remark in inspect(empty.database, [table], ImportOptions(kind="trap")).remarks} == {"truth"}
    frame.assign(truth=["yes", "no", "maybe"]).to_csv(table, index=False)
    report = inspect(empty.database, [table], ImportOptions(kind="trap"))
    assert (report.errors, report.new) == (1, 2)
    frame.assign(truth="no", kind="example").to_csv(table, index=False)
    import_pairs(empty.database, empty.images, [table])
    rows = _rows(empty)
    assert set(rows["kind"]) == {"training"} and rows["extra"].str.contains('"example": true').all()


def killed_import(folder: Path, table: Path) -> None:
    """In a process of its own: dies between files and rows."""
    importing._add_rows = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    study = open_study(folder)
    import_pairs(study.database, study.images, [table])


def test_a_run_that_is_killed_leaves_a_usable_study(empty: StudyFolder, tmp_path: Path) -> None:
    table = pair_table(tmp_path / "set", main=6)
    empty.database.close()  # no connection goes into the other process
    process = multiprocessing.get_context("fork").Process(target=killed_import, args=(empty.path, table))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    with open_study(empty.path) as reopened:
        look_after_the_kill(reopened, table)


def look_after_the_kill(empty: StudyFolder, table: Path) -> None:
    assert _count(empty.database) == (0, 0)
    assert [fault.level for fault in check(empty.database, empty.images)] == ["note"]
    assert import_pairs(empty.database, empty.images, [table]).new == 6
    (left,) = empty.images.glob(".incoming-*")
    os.utime(left, (0, 0))
    import_pairs(empty.database, empty.images, [table])
    assert not list(empty.images.glob(".incoming-*")) and check(empty.database, empty.images) == []


def test_what_people_get_is_upright_srgb_and_without_metadata(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "secret place"
    turned = picture(tmp_path / "turned.jpg", 1, (40, 20), exif=exif)
    found = read_picture(turned)
    assert found.size == (20, 40) and found.notes == ("turned upright",) and b"secret" not in found.encoded()
    decoded = Image.open(io.BytesIO(found.encoded()))
    assert decoded.format == "WEBP" and pixel_hash(decoded.convert("RGB")) == found.digest()
    grey = tmp_path / "grey16.png"
    Image.fromarray((np.arange(12, dtype=np.uint16) * 5957).reshape(3, 4)).save(grey)
    np.testing.assert_array_equal(
        np.asarray(read_picture(grey).image)[..., 0].ravel(), np.arange(12) * 5957 // 256
    )  # as metrics
    glass = tmp_path / "glass.png"
    Image.new("RGBA", (4, 4), (255, 0, 0, 0)).save(glass)
    assert read_picture(glass).image.getpixel((0, 0)) == (255, 255, 255)
    plain = tmp_path / "palette.png"
    Image.new("P", (4, 4), 3).save(plain)
    assert read_picture(plain).image.mode == "RGB"


@pytest.mark.parametrize(
    ("name", "code"), [("moving.gif", "moving"), ("large.png", "pixels"), ("text.png", "undecodable")]
)
def test_what_cannot_be_shown_is_refused(tmp_path: Path, name: str, code: str) -> None:
    path = tmp_path / name
    if code == "moving":
        frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
        frames[0].save(path, save_all=True, append_images=frames[1:])
    elif code == "pixels":
        Image.new("L", (3000, 3000)).save(path)
    else:
        path.write_text("<svg onload=alert(1)>")
    with pytest.raises(PictureError) as refused:
        read_picture(path, most_pixels=1_000_000)
    assert refused.value.code == code


def _zip(path: Path, files: dict[str, bytes], **options: int) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, **options) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def _set_as_files(root: Path) -> dict[str, bytes]:
    table = pair_table(root, main=3)
    return {
        str(file.relative_to(root)): file.read_bytes() for file in sorted(table.parent.rglob("*")) if file.is_file()
    }


def test_a_zip_is_read_and_what_does_not_belong_is_left_out(empty: StudyFolder, tmp_path: Path) -> None:
    files = {f"my set/{name}": content for name, content in _set_as_files(tmp_path / "set").items()}
    files |= {"my set/more.zip": b"PK", "__MACOSX/x": b"", "my set/.DS_Store": b""}
    archive = _zip(tmp_path / "set.zip", files)
    with zipfile.ZipFile(archive, "a") as opened:
        link = zipfile.ZipInfo("my set/link.png")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        opened.writestr(link, "/etc/passwd")
    report = import_pairs(empty.database, empty.images, [archive])
    assert report.new == 3 and {remark.code for remark in report.remarks} == {"nested", "left_out"}


@pytest.mark.parametrize("name", ["../out.png", "/etc/out.png", "a/../../out.png", "C:\\out.png", "..\\out.png"])
def test_a_zip_cannot_write_elsewhere(empty: StudyFolder, tmp_path: Path, name: str) -> None:
    archive = _zip(tmp_path / "slip.zip", {name: b"x"})
    with pytest.raises(StudyError, match="leads out of the archive"):
        import_pairs(empty.database, empty.images, [archive])
    assert not (tmp_path / "out.png").exists() and list(empty.images.iterdir()) == []


def test_bombs_are_stopped_while_they_unpack(empty: StudyFolder, tmp_path: Path) -> None:
    bomb = _zip(tmp_path / "bomb.zip", {"HQ/a.png": bytes(30_000_000)})
    with pytest.raises(StudyError, match="unpacks to more than"):
        inspect(empty.database, [bomb])
    many = _zip(tmp_path / "many.zip", {f"HQ/{number}.png": b"x" for number in range(20)})
    with pytest.raises(StudyError, match="20 files; 10 at most"):
        inspect(empty.database, [many], ImportOptions(limits=Limits(files=10)))
    large = _zip(tmp_path / "large.zip", {f"HQ/{n}.png": np.random.default_rng(n).bytes(4000) for n in range(5)})
    with pytest.raises(StudyError, match="unpacks to more than"):
        inspect(empty.database, [large], ImportOptions(limits=Limits(total=10_000)))
    (tmp_path / "no.zip").write_bytes(b"PK nonsense")
    with pytest.raises(StudyError, match="cannot be read as a zip"):
        inspect(empty.database, [tmp_path / "no.zip"])


def test_a_table_that_was_sent_names_no_file_outside(empty: StudyFolder, tmp_path: Path) -> None:
    picture(tmp_path / "secret.png", 5)
    files = _set_as_files(tmp_path / "set")
    files["pairs.csv"] = files["pairs.csv"].replace(b"SR/swin_photo000.png", str(tmp_path / "secret.png").encode())
    report = inspect(empty.database, [_zip(tmp_path / "set.zip", files)])
    assert [remark.code for remark in report.remarks] == ["path"] and report.new == 2


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        (["nothing"], "not found"),
        (["empty"], "neither a pair table"),
        (["a.tar"], "only zip archives"),
        (["a.txt"], "neither a pair table"),
        (["empty", "a.txt"], "two folders"),
        (["empty", "empty"], "no file belongs to a photo"),
        (["bad.csv"], "lacks the column"),
    ],
)
def test_useless_sources_are_named(empty: StudyFolder, tmp_path: Path, sources: list[str], message: str) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("a.tar", "a.txt"):
        (tmp_path / name).write_text("x")
    (tmp_path / "bad.csv").write_text("pair_id,reference\n1,2\n")
    with pytest.raises(UserError, match=message):
        inspect(empty.database, [tmp_path / source for source in sources])


def test_control_characters_and_endless_names_are_refused(empty: StudyFolder, tmp_path: Path) -> None:
    table = pair_table(tmp_path / "set", main=3)
    frame = pd.read_csv(table)
    frame.loc[0, "pair_id"], frame.loc[1, "origin"] = "a\x00b\x1b[31m", "o" * 300
    frame.to_csv(table, index=False)
    report = inspect(empty.database, [table])
    assert sorted(remark.code for remark in report.remarks) == ["control", "long"]
    assert "\x1b" not in "\n".join(report.lines())


def test_real_photos(test_data, tmp_path: Path) -> None:
    """Decoded pixels of stored pictures are those of the photos."""
    photos = sorted(test_data("koniq_photos").glob("*.jpg"))[:2]
    rows = [(photo.stem, photo.stem, photo, photo) for photo in photos]
    table = tmp_path / "pairs.csv"
    pd.DataFrame(rows, columns=["pair_id", "source_id", "reference", "candidate"]).to_csv(table, index=False)
    study = imported(tmp_path / "study", table)
    with study.database.read() as c:
        files = c.execute(select(image.c.file).order_by(image.c.id)).scalars().all()
    study.database.close()
    stored = {pixel_hash(Image.open(study.images / file).convert("RGB")) for file in files}
    assert stored == {pixel_hash(Image.open(photo).convert("RGB")) for photo in photos}
