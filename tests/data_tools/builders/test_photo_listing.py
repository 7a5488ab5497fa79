"""Photos of folders from disks of all kinds, for the builders and the import of folders."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from sr_support import silent

from data_tools.builders.core.attempt import Made
from data_tools.builders.core.build_context import Call, open_build
from data_tools.builders.core.importing import import_folders
from data_tools.builders.core.photo_folder import PhotoSettings, list_photos
from data_tools.builders.core.work_items import Unit, make_unit
from semfid.errors import UserError
from semfid.io.pair_table import read_pairs

Photo = Callable[..., Path]


def test_photos_for_builders(tmp_path: Path, write_photo: Photo) -> None:
    name = "Café"
    for number, path in enumerate(
        ("a.png", f"{unicodedata.normalize('NFD', name)}.png", "@eaDir/a.png/SYNOPHOTO_THUMB_XL.jpg", ".trash/b.png")
    ):
        write_photo(tmp_path / "set" / path, number)
        write_photo(tmp_path / "store/more" / f"{number}.png", 10 + number)
    (tmp_path / "set/linked").symlink_to(tmp_path / "store")
    (tmp_path / "scores.csv").write_text(
        f"image_name,MOS\na.png,3\n{name}.png,4\n" + "".join(f"{n}.png,5\n" for n in range(4))
    )
    with pytest.warns(UserWarning, match="left out 1 image in @eaDir, 1 hidden image"):
        photos = list_photos(PhotoSettings(folder=str(tmp_path / "set"), scores=str(tmp_path / "scores.csv")), 0)
    assert [photo.name for photo in photos] == [name, "a", *(f"linked__more__{number}" for number in range(4))]
    assert [photo.score for photo in photos] == [4, 3, 5, 5, 5, 5] and not any(photo.reason for photo in photos)
    assert all((tmp_path / "set" / photo.path).is_file() for photo in photos)


def test_folders_that_are_imported(tmp_path: Path, write_photo: Photo) -> None:
    for name in ("a", "Café"):
        write_photo(tmp_path / "set/HQ" / f"{name}.png", 1)
        write_photo(tmp_path / "set/RealESRGAN" / f"{unicodedata.normalize('NFD', name)}_out.png", 2)
        write_photo(tmp_path / "store" / f"{name}.png", 3)
        write_photo(tmp_path / "set/RealESRGAN/@eaDir" / f"{name}.png", 4)
    write_photo(tmp_path / "set/@eaDir/HQ/SYNOPHOTO_THUMB_M.png", 5)
    (tmp_path / "set/Linked").symlink_to(tmp_path / "store")
    table, findings = import_folders(tmp_path / "set", tmp_path / "pairs.csv", silent)
    assert sorted(table.frame["pair_id"]) == sorted(
        f"{name}:{origin}" for name in ("a", "Café") for origin in ("Linked", "RealESRGAN")
    )
    assert all(
        path.is_file() for side in ("reference", "candidate") for path in read_pairs(tmp_path / "pairs.csv").paths(side)
    )
    assert findings.ignored == [f"{tmp_path / 'set/RealESRGAN'}: left out 2 images in @eaDir"] and not findings.extra


def test_two_outputs_of_one_photo_are_refused(tmp_path: Path, write_photo: Photo) -> None:
    for path in ("HQ/k.png", "M/k.png", "M/k_out.png"):
        write_photo(tmp_path / path, 1)
    with pytest.raises(UserError, match=r"k\.png and k_out\.png share a name; remove one of them"):
        import_folders(tmp_path, tmp_path / "pairs.csv", silent)


def test_a_name_that_is_too_long_costs_its_unit(tmp_path: Path) -> None:
    units = [make_unit("paint", name, "a", "recipe", [name]) for name in ("first", "x" * 300, "last")]

    def painted(batch: Sequence[Unit]) -> list[Made]:
        return [Made({f"out/{unit.sample}.png": b"1", f"maps/{unit.sample}.png": b"2"}, {}) for unit in batch]

    with open_build(tmp_path, "test", {}, Call(lambda _: None, silent)) as worker:
        worker.run(units, painted, lambda *_: None, batch_size=2)
        entries = [worker.entries[unit.slot] for unit in units]
    assert [entry.status for entry in entries] == ["done", "error", "done"]
    assert entries[1].reason.startswith("304 bytes are too long for a name on this disk; shorten")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["first.png", "last.png"]
