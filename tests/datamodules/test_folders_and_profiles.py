"""What datamodules make of folders from disks of all kinds, and of colour profiles on one side of a pair."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageCms

from datamodules import PairDataModule
from datamodules.sources.image_folder import list_folder
from registry import DATAMODULES

Photo = Callable[..., Path]


def test_thumbnails_are_no_class(tmp_path: Path, write_photo: Photo) -> None:
    for number, name in enumerate(
        ("cat/a.png", "cat/b.png", "dog/a.png", "dog/b.png", "@eaDir/a.png/M.jpg", "@eaDir/b.png/M.jpg")
    ):
        write_photo(tmp_path / name, number)
    with pytest.warns(UserWarning, match="left out 2 images in @eaDir"):
        table = list_folder(tmp_path)
    assert table.paths == ["cat/a.png", "cat/b.png", "dog/a.png", "dog/b.png"] and set(table.classes) == {"cat", "dog"}


def test_classes_behind_links_and_in_two_spellings(tmp_path: Path, write_photo: Photo) -> None:
    name = "café"
    for number in range(2):
        write_photo(tmp_path / "set/train" / name / f"{number}.png", number)
        write_photo(tmp_path / "store" / f"{number}.png", 10 + number)
        write_photo(tmp_path / "set/val" / unicodedata.normalize("NFD", name) / f"{number}.png", 20 + number)
    (tmp_path / "set/train/dog").symlink_to(tmp_path / "store")
    table = list_folder(tmp_path / "set")
    assert sorted(table.classes) == [name] * 4 + ["dog"] * 2
    assert all((tmp_path / "set" / path).is_file() for path in table.paths)


def test_outputs_of_a_study_are_found_by_their_networks_names(tmp_path: Path, write_photo: Photo) -> None:
    for name in ("kitchen", "Café"):
        write_photo(tmp_path / "HQ" / f"{unicodedata.normalize('NFD', name)}.png", 1)
        for output in (f"{name}_SwinIR.png", f"RealESRGAN/{name}_out.png", "@eaDir/kitchen_SwinIR.png"):
            write_photo(tmp_path / "SR" / output, 2)
    names = [f"{name}_{suffix}.png" for name in ("kitchen", "Café") for suffix in ("SwinIR", "out")]
    pd.DataFrame({"img_names": names, "userStudyScores": [0.1, 0.2, 0.3, 0.4]}).to_csv(
        tmp_path / "scores.csv", index=False
    )
    folders = {"references": str(tmp_path / "HQ"), "candidates": str(tmp_path / "SR")}
    data = DATAMODULES.build("user_study", answers=str(tmp_path / "scores.csv"), image_size=16, **folders)
    with pytest.warns(UserWarning, match="left out 1 image in @eaDir"):
        frame = data.load_table().frame.set_index("pair_id")  # type: ignore[attr-defined]
    assert frame["source_id"].tolist() == ["kitchen", "kitchen", "Café", "Café"]
    assert frame["origin"].tolist() == ["SwinIR", "out", "SwinIR", "out"]
    assert all(Path(path).is_file() for side in ("reference", "candidate") for path in frame[side])


def test_check_says_which_pairs_have_a_profile_on_one_side(tmp_path: Path, write_photo: Photo) -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    wide = srgb.replace("sRGB built-in".encode("utf-16-be"), "Wide built-in".encode("utf-16-be"))
    rows = []
    for number, profile in enumerate((b"", srgb, wide, wide)):
        x, y = tmp_path / f"x{number}.png", write_photo(tmp_path / f"y{number}.png", number)
        Image.fromarray(np.asarray(Image.open(y))).save(x, icc_profile=profile)
        rows.append((f"p{number}", f"s{number}", x.name, y.name, number / 10))
    columns = ["pair_id", "source_id", "reference", "candidate", "difference"]
    pd.DataFrame(rows, columns=columns).to_csv(tmp_path / "pairs.csv", index=False)
    data = DATAMODULES.build("pairs", table=str(tmp_path / "pairs.csv"), image_size=16, split={"val": 0, "test": 0.5})
    assert isinstance(data, PairDataModule)
    data.prepare()
    assert "profile" not in data.describe()
    data.check_images(lambda *_: None)
    assert "pair 'p2': x2.png has the colour profile Wide built-in, y2.png none" in data.describe()
    assert data.describe().endswith("(and 1 more such pairs)")


def test_paths_of_a_table_in_the_other_spelling(tmp_path: Path, write_photo: Photo) -> None:
    """The table was written elsewhere: its names are composed, the disk's are not."""
    rows = []
    for number in range(4):
        names = [f"{side}/Zürich {number}.png" for side in ("HQ", "SR", "maps")]
        for seed, name in enumerate(names):
            path = write_photo(tmp_path / unicodedata.normalize("NFD", name), 10 * number + seed)
        Image.new("L", (24, 20), 128).save(path)
        rows.append((f"p{number}", f"s{number}", *names, number / 10))
    columns = ["pair_id", "source_id", "reference", "candidate", "map", "difference"]
    pd.DataFrame(rows, columns=columns).to_csv(tmp_path / "pairs.csv", index=False)
    data = DATAMODULES.build("pairs", table=str(tmp_path / "pairs.csv"), image_size=16, split={"val": 0, "test": 0.5})
    assert isinstance(data, PairDataModule)
    data.prepare()
    data.check_images(lambda *_: None)
    assert len(data.content_digest(maps=True)) == 16
