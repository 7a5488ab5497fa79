"""Imports from disks of all kinds, of what cameras and networks write."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest
from data_support import picture
from image_damage import exif_faults, kinds
from PIL import Image, ImageCms

from user_study.core.folder import StudyFolder, create_study
from user_study.core.settings import StudySettings
from user_study.imports.archive import unpack
from user_study.imports.import_pairs import inspect
from user_study.imports.report import ImportReport


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[StudyFolder]:
    study = create_study(tmp_path / "study", StudySettings())
    yield study
    study.database.close()


def report_of(study: StudyFolder, *sources: Path) -> ImportReport:
    return inspect(study.database, sources)


def codes(report: ImportReport) -> list[tuple[str, str]]:
    return sorted((remark.level, remark.code) for remark in report.remarks)


def test_thumbnails_hidden_files_and_links(empty: StudyFolder, tmp_path: Path) -> None:
    for seed, side in enumerate(("HQ", "SR")):
        picture(tmp_path / side / "k.png", seed)
        picture(tmp_path / side / "@eaDir/k.png/SYNOPHOTO_THUMB_M.jpg", seed)
        picture(tmp_path / side / "@eaDir/l.png/SYNOPHOTO_THUMB_M.jpg", seed)
        (tmp_path / side / "Thumbs.db").touch()
    picture(tmp_path / "store/k.png", 5)
    (tmp_path / "SR/ModelB").symlink_to(tmp_path / "store")
    report = report_of(empty, tmp_path / "HQ", tmp_path / "SR")
    assert report.new == 2 and report.origins == {"unknown": 1, "ModelB": 1}
    assert codes(report) == [("warning", "left_out")] * 2
    assert all("left out 2 images in @eaDir" in remark.text for remark in report.remarks)


def test_names_of_networks_and_of_macos(empty: StudyFolder, tmp_path: Path) -> None:
    for seed, name in enumerate(("kitchen", "Café Zürich")):
        picture(tmp_path / "set/HQ" / f"{name}.png", seed)
        for place, output in enumerate((f"{name}_out.png", f"{name}_SwinIR.png", f"HAT_{name}.png")):
            picture(tmp_path / "set/SR" / unicodedata.normalize("NFD", output), 10 + 3 * seed + place)
    report = report_of(empty, tmp_path / "set")
    assert (
        report.new == 6
        and report.photos == 2
        and report.origins == {"out": 2, "SwinIR": 2, "HAT": 2}
        and not report.remarks
    )
    (tmp_path / "set/pairs.csv").write_text(
        "pair_id,source_id,reference,candidate\np,s,HQ/Café Zürich.png,SR/Café Zürich_out.png\n", encoding="utf-8"
    )
    report = report_of(empty, tmp_path / "set/pairs.csv")
    assert report.new == 1 and not report.remarks


def test_an_archive_with_helper_folders(tmp_path: Path) -> None:
    import zipfile

    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("HQ/k.png", "HQ/@eaDir/k.png/M.jpg", "__MACOSX/HQ/._k.png", "HQ/Thumbs.db", ".git/x"):
            archive.writestr(name, b"")
    left_out = unpack(tmp_path / "a.zip", tmp_path / "out")
    assert [path.name for path in (tmp_path / "out/HQ").iterdir()] == ["k.png"] and len(left_out) == 4


def test_previews_and_odd_metadata_stop_no_import(empty: StudyFolder, tmp_path: Path) -> None:
    (tmp_path / "HQ").mkdir()
    photo = Image.open(picture(tmp_path / "plain.png", 1))
    photo.save(tmp_path / "HQ/a.jpg", "MPO", save_all=True, append_images=[photo.resize((8, 6))])
    photo.save(tmp_path / "HQ/b.png", exif=exif_faults()["resolution unit text"][0])
    picture(tmp_path / "SR/M_a.png", 2)
    picture(tmp_path / "SR/M_b.png", 3, (12, 16))
    report = report_of(empty, tmp_path / "HQ", tmp_path / "SR")
    assert report.new == 2 and [(r.where, r.text) for r in report.remarks] == [("b.png", "turned upright")]


@pytest.mark.parametrize("kind", ["avif", "jpeg", "png", "webp", "jpeg 2000"])
def test_a_damaged_file_is_one_error_of_the_report(empty: StudyFolder, tmp_path: Path, kind: str) -> None:
    content = kinds()[kind]
    for side in ("HQ", "SR"):
        picture(tmp_path / side / "good.png", len(side + side[0]), (40, 28))
        (tmp_path / side / "bad.png").write_bytes(content if side == "HQ" else content[: len(content) // 2])
    report = report_of(empty, tmp_path / "HQ", tmp_path / "SR")
    assert report.new == 1 and [remark.code for remark in report.remarks if remark.level == "error"] == ["undecodable"]


def test_a_profile_on_one_side_names_the_pair(empty: StudyFolder, tmp_path: Path) -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    wide = srgb.replace("sRGB built-in".encode("utf-16-be"), "Wide built-in".encode("utf-16-be"))
    for seed, (name, left, right) in enumerate((("one", wide, None), ("both", wide, wide), ("same", srgb, None))):
        picture(tmp_path / f"HQ/{name}.png", seed, icc_profile=left)
        picture(tmp_path / f"SR/M_{name}.png", 10 + seed, icc_profile=right)
    report = report_of(empty, tmp_path / "HQ", tmp_path / "SR")
    (remark,) = (remark for remark in report.remarks if remark.code == "profile")
    assert report.new == 3 and remark.level == "warning" and remark.where == "M_one"
    assert remark.text.startswith("one.png has the colour profile Wide built-in, M_one.png none")
