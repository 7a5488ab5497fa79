"""Which images a folder holds: helper folders, hidden names, links, Unicode; what is left out is counted."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from semfid.io.listing import ENDINGS, HELPERS, list_images, nfc, on_disk, unlisted


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def listed(root: Path, deep: bool = True, apart: Path | None = None) -> list[str]:
    return [path.relative_to(root).as_posix() for path in list_images(root, deep, apart).paths]


def test_images_of_all_folders_by_ending_sorted_by_parts(tmp_path: Path) -> None:
    touch(tmp_path, "b/x.png", "a.PNG", "b/c/y.jpg", "b.jpeg", "notes.txt", "b/z", "deep.png/in.webp")
    assert listed(tmp_path) == ["a.PNG", "b/c/y.jpg", "b/x.png", "b.jpeg", "deep.png/in.webp"]
    assert listed(tmp_path, deep=False) == ["a.PNG", "b.jpeg"]
    found = list_images(tmp_path)
    assert [path.name for path in found.others] == ["z", "notes.txt"] and found.summary() == ""


@pytest.mark.parametrize(
    "name", ["@eaDir", "__MACOSX", ".thumbnails", "lost+found", "$RECYCLE.BIN", "#recycle", "@Recycle", ".git"]
)
def test_helper_folders_are_left_out_and_counted(tmp_path: Path, name: str) -> None:
    touch(
        tmp_path,
        "k.png",
        f"{name}/k.png/SYNOPHOTO_THUMB_M.jpg",
        f"{name}/a.png",
        f"{name}/notes",
        f"m/{name}/b.png",
        "m/l.png",
    )
    found = list_images(tmp_path)
    assert [path.name for path in found.paths] == ["k.png", "l.png"] and found.others == []
    assert sum(one.images for one in found.left_out) == 3
    told = "3 hidden images" if name.startswith(".") else f"3 images in {name}"
    assert found.summary() == f"{tmp_path}: left out {told}"


def test_files_of_file_managers_are_no_images_and_not_worth_a_word(tmp_path: Path) -> None:
    touch(tmp_path, "k.png", "Thumbs.db", "desktop.ini", ".DS_Store")
    found = list_images(tmp_path)
    assert [path.name for path in found.paths] == ["k.png"] and found.others == [] and found.summary() == ""
    touch(tmp_path, "._k.png")
    assert list_images(tmp_path).summary() == f"{tmp_path}: left out 1 hidden image"


def test_names_that_a_user_may_choose_are_listed(tmp_path: Path) -> None:
    names = ["@home/k.png", "#1/k.png", "_x/k.png", "thumbnails/k.png", "recycle/k.png", "MACOSX/k.png"]
    touch(tmp_path, *names)
    assert listed(tmp_path) == sorted(names)
    assert all(name == name.lower() for name in (*HELPERS, *ENDINGS)) and unlisted("@EADIR") and not unlisted("eadir")


def test_links_are_followed(tmp_path: Path) -> None:
    touch(tmp_path / "store", "modelb/k.png", "modelb/deep/l.png")
    touch(tmp_path / "SR", "ModelA/k.png")
    (tmp_path / "SR/ModelB").symlink_to("../store/modelb")
    (tmp_path / "SR/one.png").symlink_to("../store/modelb/k.png")
    found = list_images(tmp_path / "SR")
    assert (
        listed(tmp_path / "SR") == ["ModelA/k.png", "ModelB/deep/l.png", "ModelB/k.png", "one.png"]
        and not found.left_out
    )
    (tmp_path / "only").mkdir()
    (tmp_path / "only/m").symlink_to(tmp_path / "SR")
    assert len(listed(tmp_path / "only")) == 4
    (tmp_path / "root").symlink_to("SR")
    assert len(listed(tmp_path / "root")) == 4


def test_links_do_not_go_round(tmp_path: Path) -> None:
    root = touch(tmp_path / "SR", "A/k.png", "B/l.png")
    (root / "A/self").symlink_to(".")
    (root / "A/up").symlink_to("..")
    (root / "B/above").symlink_to("../..")
    (root / "0 latest").symlink_to("B")
    (root / "B/other").symlink_to("../A")
    found = list_images(root)
    assert listed(root) == ["A/k.png", "B/l.png"]
    assert {one.path.name: one.why for one in found.left_out} == dict.fromkeys(
        ["self", "up", "above", "0 latest", "other"], "round"
    )
    assert found.summary().startswith(f"{root}: left out 5 links that lead to a folder that is listed already (")


def test_two_links_that_lead_to_each_other(tmp_path: Path) -> None:
    for one, other in (("x", "y"), ("y", "x")):
        touch(tmp_path / one, f"{one}.png")
        (tmp_path / one / "to").symlink_to(tmp_path / other)
    (tmp_path / "root").mkdir()
    (tmp_path / "root/in").symlink_to(tmp_path / "x")
    assert listed(tmp_path / "root") == ["in/to/y.png", "in/x.png"]


def test_links_that_lead_nowhere_are_said(tmp_path: Path) -> None:
    touch(tmp_path, "k.png")
    (tmp_path / "gone").symlink_to("nowhere")
    (tmp_path / "ring.png").symlink_to("ring.png")
    assert list_images(tmp_path).summary() == f"{tmp_path}: left out 2 links that lead nowhere (gone, ring.png)"


def test_the_other_side_is_passed_over(tmp_path: Path) -> None:
    touch(tmp_path, "k.png", "in/l.png", "store/m.png")
    assert listed(tmp_path, apart=tmp_path / "in") == ["k.png", "store/m.png"]
    (tmp_path / "link").symlink_to("in")
    assert list_images(tmp_path, apart=tmp_path / "link").left_out == []
    assert listed(tmp_path, apart=tmp_path) == ["in/l.png", "k.png", "store/m.png"]
    assert listed(tmp_path / "in", apart=tmp_path) == ["l.png"]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        list_images(tmp_path / "gone")


def test_a_folder_that_cannot_be_read_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "k.png", "shut/l.png")
    scandir = os.scandir

    def refusing(path: Path) -> Any:
        if path == tmp_path / "shut":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    assert listed(tmp_path) == ["k.png"]
    assert list_images(tmp_path).summary() == f"{tmp_path}: left out 1 folder that cannot be read (shut)"


def test_paths_in_the_spelling_of_the_disk(tmp_path: Path) -> None:
    composed = "Café/Zürich.png"
    decomposed = unicodedata.normalize("NFD", composed)
    assert composed != decomposed and nfc(decomposed) == composed
    touch(tmp_path, decomposed)
    assert on_disk(tmp_path / composed) == tmp_path / decomposed
    assert on_disk(tmp_path / decomposed) == tmp_path / decomposed
    assert on_disk(tmp_path / "Café/no.png") == tmp_path / "Café/no.png"
    assert on_disk(tmp_path / "é/ü/ö.png") == tmp_path / "é/ü/ö.png"
